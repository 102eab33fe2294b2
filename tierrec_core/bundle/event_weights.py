"""What each behaviour is worth as a sign of interest, learned from the log: view < cart < purchase, but by how much?

The weight of a behaviour is the share of its (user, item) pairs that are taken within the horizon, relative to the
behaviour whose share is highest; a behaviour of which the log has too few examples has its usual weight.
"""

from collections.abc import Mapping

import numpy as np

from tierrec_core.base.contracts import EVENT_CODES, FloatArray
from tierrec_core.data.interactions import Interactions

USUAL: Mapping[str, float] = {
    "view": 0.3,
    "click": 0.35,
    "favourite": 0.6,
    "cart": 0.8,
    "rating": 0.6,
    "purchase": 1.0,
    "redeem": 0.5,
}
_MIN_EXAMPLES = 200
_FLOOR = 0.05


def learned_weights(
    history: Interactions, target: tuple[str, ...], horizon_days: float = 7.0
) -> dict[str, float]:
    """Weights by name of event, 0.05 to 1, from all events that are over by one horizon before `now`."""
    shares = {
        name: share
        for name in USUAL
        if (share := _taken_share(history, name, target, horizon_days)) is not None
    }
    best = max(shares.values(), default=0.0)
    if best == 0.0:
        return dict(USUAL)
    return dict(USUAL) | {name: round(max(share / best, _FLOOR), 4) for name, share in shares.items()}


def _taken_share(
    history: Interactions, name: str, target: tuple[str, ...], horizon_days: float
) -> float | None:
    """Share of the behaviour's events after which the user takes the item within the horizon; None for too few."""
    asked = history.where((history.event == EVENT_CODES[name]) & (history.age > horizon_days))
    if len(asked) < _MIN_EXAMPLES:
        return None
    taken = history.filter_events(*target)
    # One line for all pairs: days of one pair lie in a band of their own, wider than the log is long.
    width = float(history.day.max() - history.day.min()) + 2 * horizon_days + 1
    start = float(history.day.min())

    def place(part: Interactions) -> FloatArray:
        pair = part.user.astype(np.float64) * part.num_items + part.item
        return pair * width + (part.day - start)

    moments = np.sort(place(taken))
    begin = place(asked)
    first_after = np.searchsorted(moments, begin + 1e-6, side="right")
    until = np.searchsorted(moments, begin + horizon_days, side="right")
    return float((until > first_after).mean())
