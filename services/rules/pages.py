"""From an order, and the rules that re-order it, to one page."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from services.catalogue.catalogue import Catalogue
from services.rules.order import RankedOrder, Situation
from services.rules.plan import ActiveWhen, RulePlan
from services.rules.settings import Boost, Cap
from services.rules.slots import SlotItem, SlotLimits, fill
from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray

_ROUNDING = 1e-9  # .3 of 10 slots are 3, not 2.9999999999999996


def boosted(order: RankedOrder, boosts: Sequence[Boost], catalogue: Catalogue) -> RankedOrder:
    """The order by scores to which the boosts are added; equal scores stay in order."""
    if not boosts or not len(order.columns):
        return order
    scores, spread = order.scores.astype(float), float(order.scores.std())
    for boost in boosts:
        scores = scores + boost.factor * spread * catalogue.mask(ActiveWhen((boost.of,)))[order.columns]
    best = np.argsort(-scores, kind="stable")
    return RankedOrder(order.columns[best], scores[best])


@dataclass(frozen=True)
class Pages:
    """Makes pages of one catalogue for one situation by one plan."""

    plan: RulePlan
    situation: Situation
    catalogue: Catalogue

    def page(self, order: RankedOrder, allowed: BoolArray | None) -> RankedOrder:
        """The k slots of this page, or as many as there are items for. order: candidates that may be shown."""
        limits = self._limits()
        pins = self._pins(order, allowed, limits)
        pinned = {item.column for item in pins.values()}
        candidates = [item for item in self._items(order.columns, order.scores) if item.column not in pinned]
        limits.expect(candidates)
        page = fill(candidates, pins, limits, self._slots)
        columns, scores = [item.column for item in page], [item.score for item in page]
        return RankedOrder(np.array(columns, np.int64), np.array(scores, float))

    @property
    def _slots(self) -> range:
        first = len(self.situation.shown) + 1
        return range(first, first + self.situation.k)

    @cached_property
    def _caps(self) -> Sequence[Cap]:
        """Caps on what this catalogue has."""
        return [cap for cap in self.plan.caps if cap.attribute in self.catalogue.frame]

    def _limits(self) -> SlotLimits:
        """With what earlier pages have used up of the caps."""
        shares, k = self.plan.shares, self.situation.k
        limits = SlotLimits(
            caps=[cap.max for cap in self._caps],
            least=[math.ceil(share.at_least * k - _ROUNDING) for share in shares],
            most=[math.floor(share.at_most * k + _ROUNDING) for share in shares],
        )
        for item in self._items(self.situation.shown, np.zeros(len(self.situation.shown))):
            limits.cap(item)
        return limits

    def _pins(self, order: RankedOrder, allowed: BoolArray | None, limits: SlotLimits) -> dict[int, SlotItem]:
        """By slot, the first pin in the file whose item may be shown there; counted in the limits."""
        taken: dict[int, SlotItem | None] = {}  # None = by an item of an earlier page
        held: set[int] = set()
        columns = self.catalogue.columns([pin.item_id for pin in self.plan.pins]).tolist()
        for pin, column in zip(self.plan.pins, columns, strict=True):
            if pin.slot in taken or column in held:
                continue
            if column in self.situation.shown:
                taken[pin.slot] = None
            elif item := self._pinned(column, pin.slot, order, allowed, limits):
                taken[pin.slot] = item
            else:
                continue
            held.add(column)
        return {slot: item for slot, item in taken.items() if item is not None}

    def _pinned(
        self, column: int, slot: int, order: RankedOrder, allowed: BoolArray | None, limits: SlotLimits
    ) -> SlotItem | None:
        """The item for a slot of this or a later page, None where it may not stand there; counted in the limits."""
        given = np.flatnonzero(order.columns == column)
        known = len(given) > 0 or self.situation.surface != "rank"
        if column < 0 or slot < self._slots.start or not known or not (allowed is None or allowed[column]):
            return None
        lowest = order.scores[-1:] if len(order.scores) else np.zeros(1)
        item = self._items(np.array([column]), order.scores[given] if len(given) else lowest)[0]
        if limits.capped(item) or (slot in self._slots and limits.full(item)):
            return None
        limits.cap(item)
        if slot in self._slots:
            limits.share(item)
        return item

    def _items(self, columns: IntArray, scores: FloatArray) -> list[SlotItem]:
        """The columns as the limits see them."""
        values: Iterable[tuple[object, ...]] = zip(
            *(self.catalogue.values(cap.attribute, columns) for cap in self._caps), strict=True
        )
        kinds = np.zeros(len(columns), np.int64)
        for bit, share in enumerate(self.plan.shares):
            kinds |= self.catalogue.mask(ActiveWhen((share.of,)))[columns].astype(np.int64) << bit
        rows = (range(len(columns)), columns.tolist(), scores.tolist(), kinds.tolist())
        groups = list(values) if self._caps else [()] * len(columns)
        return [
            SlotItem(place, column, score, group, kind)
            for place, column, score, kind, group in zip(*rows, groups, strict=True)
        ]
