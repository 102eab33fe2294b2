"""How large an effect must be to matter: the effects between past windows of the same log, which nobody calls drift."""

from collections.abc import Mapping, Sequence

import numpy as np

from tierrec_core.base.contracts import FloatArray

MIN_PAIRS = 4
_PRIOR_PAIRS = 2.0

# Never below the first; the second where the log is too short for MIN_PAIRS pairs of past windows. Shares in Cohen's h
# (.2 is small by his words), moves and arrivals in nats, embedding in standard deviations, volume in log of events.
BOUNDS: Mapping[str, tuple[float, float]] = {
    "shares": (0.02, 0.15),
    "interests": (0.02, 0.15),
    "moves": (0.02, 0.30),
    "arrivals": (0.01, 0.15),
    "embedding": (0.02, 0.20),
    "transitions": (0.05, 0.25),
    "volume": (0.05, 0.30),
    "new_items": (0.02, 0.20),
    "unseen_categories": (0.05, 0.15),
    "online": (0.03, 0.05),
}


def threshold(family: str, past: Sequence[FloatArray], size: int, quantile: float, side: int) -> FloatArray:
    """What each of M effects must exceed, from the same M effects between each of P pairs of past windows, [M].

    One limit serves the whole family: the quantile over pairs of the largest effect in units of its own usual size.
    Categories with seasons of their own so do not raise the limit for steady ones. A family of one effect has
    simply the quantile of its past. Effects against `side` count as none.
    """
    floor, default = BOUNDS[family]
    known = [counted(one, side) for one in past if np.isfinite(one).all()]
    if len(known) < MIN_PAIRS:
        return np.full(size, default)
    effects = np.stack(known)
    usual = usual_size(effects)
    limit = np.quantile((effects / usual).max(axis=1), quantile)
    found: FloatArray = np.maximum(limit * usual, floor)
    return found


def raised(
    limits: Mapping[str, FloatArray],
    pairs: Sequence[Mapping[str, FloatArray]],
    sides: Mapping[str, int],
    quantile: float,
) -> dict[str, FloatArray]:
    """The limits of all families, raised by one factor so that at most 1 - quantile of past pairs go beyond any.

    With forty limits, each beyond a quantile of its own, nearly every pair of calm windows goes beyond one of them.
    """
    if len(pairs) < MIN_PAIRS:
        return dict(limits)
    worst = [
        max(
            float(np.nan_to_num(counted(one[key], sides[key]) / limit).max()) for key, limit in limits.items()
        )
        for one in pairs
    ]
    factor = max(1.0, float(np.quantile(worst, quantile)))
    return {key: limit * factor for key, limit in limits.items()}


def counted(effects: FloatArray, side: int) -> FloatArray:
    """Size of effects on the side that counts; 0 counts both."""
    found: FloatArray = np.maximum(effects * side, 0.0) if side else np.abs(effects)
    return found


def usual_size(effects: FloatArray) -> FloatArray:
    """Root mean square of each column of effects [P, M] over past pairs, drawn to that of all columns, [M]."""
    square = (effects**2).sum(axis=0)
    everywhere = float((effects**2).mean())
    size: FloatArray = np.sqrt((square + _PRIOR_PAIRS * everywhere) / (len(effects) + _PRIOR_PAIRS))
    return np.maximum(size, 1e-12)
