"""Weight of each event type as a signal of interest, learned from the log.

The weight of an event type is the share of its events that a target event on the same item follows within the
horizon, relative to the event type with the highest share. An event type with too few examples keeps its default.
"""

from collections.abc import Mapping

import numpy as np

from tierrec_core.base.contracts import EVENT_CODES, FloatArray
from tierrec_core.data.interactions import Interactions

DEFAULT_WEIGHTS: Mapping[str, float] = {
    "view": 0.3,
    "click": 0.35,
    "favourite": 0.6,
    "cart": 0.8,
    "rating": 0.6,
    "purchase": 1.0,
    "redeem": 0.5,
}
_MIN_EXAMPLES = 200
_MIN_WEIGHT = 0.05


def learn_event_weights(history: Interactions, target: tuple[str, ...], horizon_days: float = 7.0) -> dict[str, float]:
    """Weights by name of event, 0.05 to 1, from all events whose horizon is over by `now`."""
    rates = {
        name: rate
        for name in DEFAULT_WEIGHTS
        if (rate := _conversion_rate(history, name, target, horizon_days)) is not None
    }
    best = max(rates.values(), default=0.0)
    if best == 0.0:
        return dict(DEFAULT_WEIGHTS)
    learned = {name: round(max(rate / best, _MIN_WEIGHT), 4) for name, rate in rates.items()}
    return dict(DEFAULT_WEIGHTS) | learned


def _conversion_rate(history: Interactions, name: str, target: tuple[str, ...], horizon_days: float) -> float | None:
    """Share of the events after which the user has a target event on the item within the horizon, None for too few."""
    examples = history.where((history.event == EVENT_CODES[name]) & (history.age > horizon_days))
    if len(examples) < _MIN_EXAMPLES:
        return None
    # One sorted array serves all pairs: the offset between two pairs is larger than the length of the log.
    width = float(history.day.max() - history.day.min()) + 2 * horizon_days + 1
    start = float(history.day.min())

    def keys(events: Interactions) -> FloatArray:
        pair = events.user.astype(np.float64) * events.num_items + events.item
        return pair * width + (events.day - start)

    targets, begin = np.sort(keys(history.filter_events(*target))), keys(examples)
    first_after = np.searchsorted(targets, begin + 1e-6, side="right")
    first_too_late = np.searchsorted(targets, begin + horizon_days, side="right")
    return float((first_too_late > first_after).mean())
