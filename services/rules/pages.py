"""Turns a ranked order into one page: boosts, pins, shares and caps."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from services.catalogue.catalogue import Catalogue
from services.rules.order import RankedOrder, Situation
from services.rules.plan import ActiveWhen, RulePlan
from services.rules.settings import Boost, Cap
from services.rules.slots import SlotItem, SlotLimits, fill_slots
from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray

_ROUNDING = 1e-9  # .3 of 10 slots are 3, not 2.9999999999999996


def apply_boosts(order: RankedOrder, boosts: Sequence[Boost], catalogue: Catalogue) -> RankedOrder:
    """Add the boosts to the scores and sort again; ties keep their order."""
    if not boosts or not len(order.columns):
        return order
    scores, spread = order.scores.astype(float), float(order.scores.std())
    for boost in boosts:
        scores = scores + boost.factor * spread * catalogue.mask(ActiveWhen((boost.of,)))[order.columns]
    return RankedOrder(order.columns, scores).take(np.argsort(-scores, kind="stable"))


@dataclass(frozen=True)
class PageBuilder:
    """Builds pages of one catalogue for one situation by one plan."""

    plan: RulePlan
    situation: Situation
    catalogue: Catalogue

    def build(self, order: RankedOrder, allowed: BoolArray | None) -> RankedOrder:
        """The items of this page's k slots, fewer if there are not enough.

        order: candidates, all of them allowed; allowed: the items that may be pinned, [I]
        """
        limits = self._limits()
        pins = self._pins(order, allowed, limits)
        pinned = {item.column for item in pins.values()}
        candidates = [item for item in self._items(order.columns, order.scores) if item.column not in pinned]
        limits.lower_minimums(candidates)
        page = fill_slots(candidates, pins, limits, self._slots)
        columns, scores = [item.column for item in page], [item.score for item in page]
        return RankedOrder(np.array(columns, np.int64), np.array(scores, float))

    @property
    def _slots(self) -> range:
        first = len(self.situation.shown) + 1
        return range(first, first + self.situation.k)

    @cached_property
    def _caps(self) -> Sequence[Cap]:
        """Caps on attributes that the catalogue has."""
        return [cap for cap in self.plan.caps if cap.attribute in self.catalogue.frame]

    def _limits(self) -> SlotLimits:
        """The limits of this page; items of earlier pages count against the caps."""
        shares, k = self.plan.shares, self.situation.k
        limits = SlotLimits(
            caps=[cap.max for cap in self._caps],
            least=[math.ceil(share.at_least * k - _ROUNDING) for share in shares],
            most=[math.floor(share.at_most * k + _ROUNDING) for share in shares],
        )
        for item in self._items(self.situation.shown, np.zeros(len(self.situation.shown))):
            limits.count_caps(item)
        return limits

    def _pins(self, order: RankedOrder, allowed: BoolArray | None, limits: SlotLimits) -> dict[int, SlotItem]:
        """By slot, the first pin of the file whose item may be shown there; counts them in the limits."""
        by_slot: dict[int, SlotItem | None] = {}  # None: the item was shown on an earlier page
        used: set[int] = set()
        columns = self.catalogue.columns([pin.item_id for pin in self.plan.pins]).tolist()
        for pin, column in zip(self.plan.pins, columns, strict=True):
            if pin.slot in by_slot or column in used:
                continue
            if column in self.situation.shown:
                by_slot[pin.slot] = None
            elif item := self._pinned(column, pin.slot, order, allowed, limits):
                by_slot[pin.slot] = item
            else:
                continue
            used.add(column)
        return {slot: item for slot, item in by_slot.items() if item is not None}

    def _pinned(
        self, column: int, slot: int, order: RankedOrder, allowed: BoolArray | None, limits: SlotLimits
    ) -> SlotItem | None:
        """The item for a slot of this or a later page, None if it may not be shown there; counts it in the limits."""
        ranked = np.flatnonzero(order.columns == column)
        may_add = len(ranked) > 0 or self.situation.surface != "rank"
        if column < 0 or slot < self._slots.start or not may_add or not (allowed is None or allowed[column]):
            return None
        lowest = order.scores[-1:] if len(order.scores) else np.zeros(1)
        item = self._items(np.array([column]), order.scores[ranked] if len(ranked) else lowest)[0]
        is_on_page = slot in self._slots
        if limits.exceeds_cap(item) or (is_on_page and limits.exceeds_share(item)):
            return None
        limits.count_caps(item)
        if is_on_page:
            limits.count_shares(item)
        return item

    def _items(self, columns: IntArray, scores: FloatArray) -> list[SlotItem]:
        share_bits = np.zeros(len(columns), np.int64)
        for bit, share in enumerate(self.plan.shares):
            share_bits |= self.catalogue.mask(ActiveWhen((share.of,)))[columns].astype(np.int64) << bit
        capped = [self.catalogue.values(cap.attribute, columns) for cap in self._caps]
        values = list(zip(*capped, strict=True)) if capped else [()] * len(columns)
        rows = zip(columns.tolist(), scores.tolist(), values, share_bits.tolist(), strict=True)
        return [SlotItem(rank, *row) for rank, row in enumerate(rows)]
