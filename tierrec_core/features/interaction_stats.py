"""What each user did to each thing, an item or a group of items: one row a pair that met, looked up by many pairs."""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray
from tierrec_core.data.interactions import Interactions

HALF_LIVES = (7.0, 30.0, 90.0, 180.0)
NEVER = 1000.0  # days; stands for "not once", far beyond any interval that is observed
MEASURES = (
    "count",
    "quantity",
    "first_age",
    "last_age",
    "gap_square",
    *(f"decayed_{half_life:.0f}d" for half_life in HALF_LIVES),
)
_FIRST_AGE, _LAST_AGE = MEASURES.index("first_age"), MEASURES.index("last_age")
_UNMET = np.array([NEVER if name.endswith("_age") else 0.0 for name in MEASURES])
_SAME_VISIT = 0.5  # days; a purchase on the same day is the same visit


@dataclass(frozen=True)
class WeightedHistory:
    """A history whose events are weighed once for all kinds of things."""

    history: Interactions

    @cached_property
    def weighed(self) -> FloatArray:
        """Quantity, age and the decayed weights of each event, [2 + H, N]."""
        age = self.history.age
        weights = [np.exp2(-age / half_life) for half_life in HALF_LIVES]
        return np.stack([self.history.quantity, age, *weights])

    def met(self, thing_of_event: IntArray, num_things: int) -> "InteractionStats":
        """What each user did to each thing, given the thing of each event, [N]."""
        return InteractionStats.of(self, thing_of_event, num_things)


@dataclass(frozen=True)
class InteractionStats:
    """R pairs of a user and a thing that met, in order of (user, thing), and MEASURES of each.

    code: user * num_things + thing, ascending, [R]
    table: MEASURES in rows, and a last column for pairs that never met, [M, R + 1]
    """

    code: IntArray
    table: FloatArray
    num_things: int

    @classmethod
    def of(cls, past: WeightedHistory, thing_of_event: IntArray, num_things: int) -> Self:
        """Sum up the runs of events of each pair."""
        code = past.history.user.astype(np.int64) * num_things + thing_of_event
        order = np.argsort(code, kind="stable")
        code = code[order]
        begins = np.ones(len(code), bool)
        begins[1:] = code[1:] != code[:-1]
        start = np.flatnonzero(begins)
        table = np.empty((len(MEASURES), len(start) + 1))
        table[:, -1] = _UNMET
        events = _measured(past.weighed, order, begins)
        np.add.reduceat(events, start, axis=1, out=table[:, :-1])
        table[_FIRST_AGE, :-1] = events[_FIRST_AGE, start]
        table[_LAST_AGE, :-1] = events[_FIRST_AGE, np.roll(start - 1, -1)]
        return cls(code[start], table, num_things)

    @property
    def user(self) -> IntArray:
        """The user of each pair that met, [R]."""
        return self.code // self.num_things

    def of_pairs(self, user: IntArray, thing: IntArray) -> FloatArray:
        """MEASURES of any pairs (user [P], thing [P]), [M, P]."""
        wanted = user.astype(np.int64) * self.num_things + thing
        place = np.searchsorted(self.code, wanted)
        known = np.append(self.code, -1)
        place[known[place] != wanted] = len(self.code)
        return np.take(self.table, place, axis=1)


def _measured(weighed: FloatArray, order: IntArray, begins: BoolArray) -> FloatArray:
    """What each event adds to MEASURES of its pair, events in this order; for both ages, the event's own, [M, N]."""
    events = np.empty((len(MEASURES), len(order)))
    # Any other mode than clip takes into a copy first.
    np.take(weighed[:2], order, axis=1, out=events[1:3], mode="clip")
    np.take(weighed[2:], order, axis=1, out=events[5:], mode="clip")
    age, gap = events[_FIRST_AGE], np.zeros(len(order))
    gap[1:] = age[:-1] - age[1:]
    gap[begins] = 0.0
    np.logical_or(begins, gap > _SAME_VISIT, out=events[0])
    events[_LAST_AGE] = age
    np.square(gap, out=events[4])
    return events
