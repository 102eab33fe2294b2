"""Statistics of each user's events with each item, or with each group of items such as a category."""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray
from tierrec_core.data.interactions import Interactions

HALF_LIVES = (7.0, 30.0, 90.0, 180.0)
NEVER = 1000.0  # days; stands for "no event", far beyond any observed interval
MEASURES = (
    "count",
    "quantity",
    "first_age",
    "last_age",
    "gap_square",
    *(f"decayed_{half_life:.0f}d" for half_life in HALF_LIVES),
)
_FIRST_AGE, _LAST_AGE = MEASURES.index("first_age"), MEASURES.index("last_age")
_NO_EVENTS = np.array([NEVER if name.endswith("_age") else 0.0 for name in MEASURES])
_SAME_VISIT = 0.5  # days; purchases on the same day count as one visit


@dataclass(frozen=True)
class WeightedHistory:
    """A history with its event weights, computed once for items and all groups."""

    history: Interactions

    @cached_property
    def event_weights(self) -> FloatArray:
        """Quantity, age and the decayed weights of each event, [2 + H, N]."""
        age = self.history.age
        decayed = [np.exp2(-age / half_life) for half_life in HALF_LIVES]
        return np.stack([self.history.quantity, age, *decayed])


@dataclass(frozen=True)
class InteractionStats:
    """MEASURES of the R user-group pairs with events, sorted by (user, group); a group may be a single item.

    code: user * num_groups + group, ascending, [R]
    table: MEASURES as rows, and a last column for pairs without events, [M, R + 1]
    """

    code: IntArray
    table: FloatArray
    num_groups: int

    @classmethod
    def of(cls, weighted: WeightedHistory, group_of_event: IntArray, num_groups: int) -> Self:
        """Aggregate the events of each pair, given the group of each event [N]."""
        code = weighted.history.user.astype(np.int64) * num_groups + group_of_event
        order = np.argsort(code, kind="stable")
        code = code[order]
        is_first = np.ones(len(code), bool)
        is_first[1:] = code[1:] != code[:-1]
        start = np.flatnonzero(is_first)
        table = np.empty((len(MEASURES), len(start) + 1))
        table[:, -1] = _NO_EVENTS
        events = _event_measures(weighted.event_weights, order, is_first)
        np.add.reduceat(events, start, axis=1, out=table[:, :-1])
        table[_FIRST_AGE, :-1] = events[_FIRST_AGE, start]
        table[_LAST_AGE, :-1] = events[_FIRST_AGE, np.roll(start - 1, -1)]
        return cls(code[start], table, num_groups)

    @property
    def user(self) -> IntArray:
        """The user of each pair, [R]."""
        return self.code // self.num_groups

    def lookup(self, user: IntArray, group: IntArray) -> FloatArray:
        """MEASURES of any pairs (user [P], group [P]), [M, P]."""
        code = user.astype(np.int64) * self.num_groups + group
        position = np.searchsorted(self.code, code)
        known = np.append(self.code, -1)
        position[known[position] != code] = len(self.code)
        return np.take(self.table, position, axis=1)


def _event_measures(event_weights: FloatArray, order: IntArray, is_first: BoolArray) -> FloatArray:
    """Each event's contribution to MEASURES of its pair, in this order; for both ages, the event's own, [M, N]."""
    events = np.empty((len(MEASURES), len(order)))
    # np.take with out= copies first in any other mode than clip.
    np.take(event_weights[:2], order, axis=1, out=events[1:3], mode="clip")
    np.take(event_weights[2:], order, axis=1, out=events[5:], mode="clip")
    age, gap = events[_FIRST_AGE], np.zeros(len(order))
    gap[1:] = age[:-1] - age[1:]
    gap[is_first] = 0.0
    np.logical_or(is_first, gap > _SAME_VISIT, out=events[0])
    events[_LAST_AGE] = age
    np.square(gap, out=events[4])
    return events
