"""Histories as sequences: steps, windows of the newest events as padded indices, and random draws from them."""

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import PositiveFloat, PositiveInt

from tierrec_core.base.contracts import EVENT_CODES, Event, FloatArray, IntArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.settings import Params, SearchRange

StepKind = Literal["session", "event"]


class HistoryConfig(Params):
    """A user's history is the last max_length events, whose weights halve every half_life days."""

    max_length: PositiveInt = 128
    half_life: Annotated[PositiveFloat, SearchRange(7.0, 365.0, log=True)] = 60.0


def without_impressions(history: Interactions) -> Interactions:
    """All events except impressions."""
    return history.where(history.event != EVENT_CODES[Event.IMPRESSION])


@dataclass(frozen=True)
class ItemSampler:
    """Draws items in proportion to popularity ** power; share is each item's probability, [I]."""

    share: FloatArray

    @classmethod
    def by_popularity(cls, history: Interactions, power: float, *, unseen: bool = True) -> Self:
        """An item without events is counted as having one, or is never drawn if `unseen` is false."""
        count = np.bincount(history.item, minlength=history.num_items)
        weight = np.maximum(count, 1) ** power * (unseen | (count > 0))
        return cls(weight / weight.sum())

    @cached_property
    def _cumulative(self) -> FloatArray:
        return np.cumsum(self.share)

    def draw(self, shape: int | tuple[int, ...], rng: np.random.Generator) -> IntArray:
        """Independent draws, with replacement."""
        drawn = np.searchsorted(self._cumulative, rng.random(shape))
        return np.minimum(drawn, len(self.share) - 1)


@dataclass(frozen=True)
class Sessions:
    """Each user's events grouped into S consecutive steps; the events of one step are unordered.

    event_offsets: step s has the events event_offsets[s]:event_offsets[s + 1], [S + 1]
    user_offsets: user u has the steps user_offsets[u]:user_offsets[u + 1], [U + 1]
    """

    event_offsets: IntArray
    user_offsets: IntArray

    @classmethod
    def of(cls, history: Interactions, kind: StepKind) -> Self:
        """A step is one session (a basket: its items are unordered) or one event."""
        count = len(history)
        starts = np.flatnonzero(history.opens_session) if kind == "session" else np.arange(count)
        owner = np.searchsorted(starts, history.offsets)
        return cls(np.append(starts, count), owner)

    @property
    def of_event(self) -> IntArray:
        """The step that each event belongs to, [N]."""
        return np.repeat(np.arange(len(self.event_offsets) - 1), np.diff(self.event_offsets))


def windows(first: IntArray, last: IntArray, length: int) -> IntArray:
    """The newest `length` indices of each range first:last, oldest first, then -1 as padding, [B, length]."""
    start = np.maximum(first, last - length)
    index = start[:, None] + np.arange(length)
    return np.asarray(np.where(index < last[:, None], index, -1))


def draw_within(first: IntArray, last: IntArray, count: int, rng: np.random.Generator) -> IntArray:
    """`count` uniform draws from each non-empty range first:last, with replacement, [..., count]."""
    share = rng.random((*first.shape, count))
    return np.asarray(first[..., None] + (share * (last - first)[..., None]).astype(np.int64))


def recent_items(
    history: Interactions, first: IntArray, last: IntArray, now: FloatArray, config: HistoryConfig
) -> tuple[IntArray, FloatArray]:
    """Items of the newest events of each range first:last and their weights as of `now` [B], sum 1, [B, L] both.

    Padding weighs 0, and so does all of an empty range.
    """
    window = windows(first, last, config.max_length)
    if not len(history):
        return np.zeros_like(window), np.zeros(window.shape, np.float32)
    recency = -(now[:, None] - history.day[window]) / config.half_life
    recency -= recency.max(axis=1, initial=-np.inf, where=window >= 0, keepdims=True).clip(min=-1e9)
    weight = np.where(window >= 0, np.exp2(np.minimum(recency, 0.0)), 0.0)
    share: FloatArray = weight / np.maximum(weight.sum(axis=1, keepdims=True), 1e-9)
    return history.item[window], share.astype(np.float32)


def current_items(history: Interactions, users: slice | IntArray, config: HistoryConfig) -> tuple[IntArray, FloatArray]:
    """`recent_items` of these users as of `history.now`, [B, L] both."""
    first, last = history.offsets[:-1][users], history.offsets[1:][users]
    return recent_items(history, first, last, np.full(len(first), history.now), config)
