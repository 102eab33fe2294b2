"""The steps of a funnel as labels: which of them each pair of a user and an item went on to take."""

from collections.abc import Sequence

import numpy as np

from tierrec_core.base.contracts import EVENT_CODES, IntArray
from tierrec_core.data.interactions import Interactions

TARGET, COUPON = "target", "coupon"


def check_steps(steps: Sequence[str]) -> None:
    """Raises ValueError where a step is unknown or named twice, or where a coupon comes first.

    TARGET is what counts as success in the shop, COUPON that with a coupon, and every other step is an event's name.
    """
    known = (TARGET, COUPON, *EVENT_CODES)
    unknown = [step for step in steps if step not in known]
    if unknown:
        raise ValueError(f"funnel: step {unknown[0]!r} is unknown; known are {', '.join(known)}")
    if len(set(steps)) < len(steps) or COUPON in steps[:1]:
        raise ValueError("funnel: wanted each step once, and a coupon after the step that it belongs to")


def pairs_taking(came: Interactions, steps: Sequence[str], target: tuple[str, ...]) -> list[IntArray]:
    """The pairs that took each step or one after it, as sorted user * I + item, T arrays.

    target: names of the events that count as success
    """
    codes = [_codes(came, step, target) for step in steps]
    return [np.unique(np.concatenate(codes[place:])) for place in range(len(codes))]


def _codes(came: Interactions, step: str, target: tuple[str, ...]) -> IntArray:
    events = came.filter_events(*target) if step in (TARGET, COUPON) else came.filter_events(step)
    events = events.where(events.coupon) if step == COUPON else events
    return np.asarray(events.user * np.int64(came.num_items) + events.item)
