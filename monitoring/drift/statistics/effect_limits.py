"""Minimum effect sizes for an alarm, from the effects between past windows of the same log."""

from collections.abc import Mapping, Sequence

import numpy as np

from tierrec_core.base.contracts import FloatArray

ALL = "all"  # the group of all users
MIN_PAIRS = 4
_PRIOR_PAIRS = 2.0
_QUIET, _OUTLIER = 0.25, 3.0  # a quantile over pairs, and how far beyond it an effect is no usual change

# Lower bound of the limit, and the limit where the log has fewer than MIN_PAIRS pairs of past windows. Units: shares
# in Cohen's h (.2 is small), moves and arrivals in nats, embedding in standard deviations, volume in log of events.
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


def effect_threshold(family: str, past: Sequence[FloatArray], size: int, quantile: float, side: int) -> FloatArray:
    """Limit of each of M effects, from the same M effects between each of P pairs of past windows, [M].

    Effects are standardized by their usual size over past pairs; the limit is the quantile over pairs of the family's
    largest standardized effect, so that seasonal categories do not raise the limit of steady ones. Effects against
    `side` count as 0.
    """
    lower_bound, default = BOUNDS[family]
    known = [one_sided(effects, side) for effects in past if np.isfinite(effects).all()]
    if len(known) < MIN_PAIRS:
        return np.full(size, default)
    effects = np.stack(known)
    usual = shrunken_rms(effects)
    limit = np.quantile((effects / usual).max(axis=1), quantile)
    threshold: FloatArray = np.maximum(limit * usual, lower_bound)
    return threshold


def without_outliers(pairs: Sequence[Mapping[str, FloatArray]]) -> list[Mapping[str, FloatArray]]:
    """The pairs but those with an effect far beyond that of the quietest quarter, in their order; at least MIN_PAIRS.

    A drift between past windows lies in all pairs that overlap it, up to two thirds of them, and would raise the limits
    until the next drift of its size is taken for usual. Effects among all users tell, also of a drift of one tier:
    those of single tiers vary so much that most pairs have one which is far beyond its usual size.
    """
    if len(pairs) <= MIN_PAIRS:
        return list(pairs)
    score = np.zeros(len(pairs))
    for key in (key for key in pairs[0] if key.endswith(f"/{ALL}")):
        size = np.array([float(np.nan_to_num(np.abs(effects[key])).max(initial=0.0)) for effects in pairs])
        lower_bound, _ = BOUNDS[key.partition("/")[0]]
        score = np.maximum(score, size / max(float(np.quantile(size, _QUIET)), lower_bound))
    limit = max(_OUTLIER, float(np.sort(score)[MIN_PAIRS - 1]))
    return [effects for effects, value in zip(pairs, score, strict=True) if value <= limit]


def scale_thresholds(
    limits: Mapping[str, FloatArray],
    pairs: Sequence[Mapping[str, FloatArray]],
    sides: Mapping[str, int],
    quantile: float,
) -> dict[str, FloatArray]:
    """Multiply all limits by one factor so that at most 1 - quantile of past pairs exceed any of them.

    Without it, nearly every pair of unchanged windows exceeds one of some forty limits.
    """
    if len(pairs) < MIN_PAIRS:
        return dict(limits)
    largest_ratios = [
        max(float(np.nan_to_num(one_sided(effects[key], sides[key]) / limit).max()) for key, limit in limits.items())
        for effects in pairs
    ]
    factor = max(1.0, float(np.quantile(largest_ratios, quantile)))
    return {key: limit * factor for key, limit in limits.items()}


def one_sided(effects: FloatArray, side: int) -> FloatArray:
    """Size of effects in the direction of `side` (1 or -1), 0 in the opposite one; absolute size if `side` is 0."""
    return np.maximum(effects * side, 0.0) if side else np.abs(effects)


def shrunken_rms(effects: FloatArray) -> FloatArray:
    """Root mean square of each column of effects [P, M], shrunk towards that of all columns, [M]."""
    square = (effects**2).sum(axis=0)
    overall = float((effects**2).mean())
    size: FloatArray = np.sqrt((square + _PRIOR_PAIRS * overall) / (len(effects) + _PRIOR_PAIRS))
    return np.maximum(size, 1e-12)
