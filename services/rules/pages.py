"""Turns a ranked order into one page: boosts, pins, shares and caps.

A page is filled slot by slot with pinned items and with the best candidates that caps and shares allow.
"""

import math
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from services.catalogue.catalogue import Catalogue
from services.catalogue.columns import NAMES, kind_of
from services.rules.plan import ActiveWhen, RankedOrder, RulePlan, Situation
from services.rules.settings import Boost, Cap
from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray

_ROUNDING = 1e-9  # .3 of 10 slots are 3, not 2.9999999999999996


class SlotItem(NamedTuple):
    """A candidate for a slot, with everything that the limits read.

    rank: its position in the order; values: its value of each capped attribute, None if it has none
    shares: the numbers of the shares that it counts towards
    """

    rank: int
    column: int
    score: float
    values: tuple[object, ...]
    shares: frozenset[int]


class SlotLimits:
    """The limits of caps and shares, and their current use.

    caps: the maximum number of items with the same value, for each cap
    least, most: the minimum and maximum number of slots of the page, for each share
    """

    def __init__(self, caps: Sequence[int], least: Sequence[int], most: Sequence[int]) -> None:
        self._caps, self._least, self._most = caps, least, most
        self._used: list[Counter[object]] = [Counter() for _ in caps]
        self._shares: Counter[int] = Counter()

    def exceeds_cap(self, item: SlotItem) -> bool:
        """Whether a cap excludes the item from this page and all later ones."""
        rows = zip(self._used, item.values, self._caps, strict=True)
        return any(value is not None and used[value] >= most for used, value, most in rows)

    def exceeds_share(self, item: SlotItem) -> bool:
        """Whether a share excludes the item from this page."""
        return any(self._shares[share] >= self._most[share] for share in item.shares)

    def count_caps(self, item: SlotItem) -> None:
        """Count the item against the caps."""
        for used, value in zip(self._used, item.values, strict=True):
            used[value] += 1

    def count_shares(self, item: SlotItem) -> None:
        """Count the item against the shares."""
        self._shares.update(item.shares)

    def lower_minimums(self, candidates: Sequence[SlotItem]) -> None:
        """Lower the minimum of each share to what the candidates can reach."""
        reachable = self._shares + Counter(share for item in candidates for share in item.shares)
        self._least = [min(least, reachable[share]) for share, least in enumerate(self._least)]

    def missing(self) -> dict[int, int]:
        """The number of slots below the minimum, for each share that is below it."""
        below = {share: least - self._shares[share] for share, least in enumerate(self._least)}
        return {share: count for share, count in below.items() if count > 0}


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
        page = _fill_slots(candidates, pins, limits, self._slots)
        columns, scores = [item.column for item in page], [item.score for item in page]
        return RankedOrder(np.array(columns, np.int64), np.array(scores, float))

    @property
    def _slots(self) -> range:
        first = len(self.situation.shown) + 1
        return range(first, first + self.situation.k)

    @cached_property
    def _caps(self) -> Sequence[Cap]:
        """Caps on attributes that the catalogue has, and whose values can be compared."""
        frame = self.catalogue.frame
        return [cap for cap in self.plan.caps if cap.attribute in frame and kind_of(frame[cap.attribute]) in NAMES]

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
        masks = [self.catalogue.mask(ActiveWhen((share.of,)))[columns] for share in self.plan.shares]
        counts_towards = np.array(masks, bool).reshape(len(masks), len(columns)).T
        shares = [frozenset(np.flatnonzero(row).tolist()) for row in counts_towards]
        capped = [self.catalogue.values(cap.attribute, columns) for cap in self._caps]
        values = list(zip(*capped, strict=True)) if capped else [()] * len(columns)
        rows = zip(columns.tolist(), scores.tolist(), values, shares, strict=True)
        return [SlotItem(rank, *row) for rank, row in enumerate(rows)]


def _fill_slots(
    candidates: Iterable[SlotItem], pins: Mapping[int, SlotItem], limits: SlotLimits, slots: range
) -> list[SlotItem]:
    """The items of these slots, in order, as many as there are.

    candidates: by rank, without the pinned ones
    pins: by slot; already counted in the caps, and in the shares if their slot is on this page
    """
    queues: dict[frozenset[int], deque[SlotItem]] = defaultdict(deque)
    for candidate in candidates:
        queues[candidate.shares].append(candidate)
    pending, page = dict(sorted(pins.items())), []
    for slot in slots:
        free = slots.stop - slot - sum(later in slots for later in pending)
        pinned = pending.pop(slot, None)
        item = pinned or _pop_best(queues, limits, free) or _pop_next_pin(pending, limits, slots)
        if item is None:
            break
        page.append(item)
    return page


def _pop_best(queues: Mapping[frozenset[int], deque[SlotItem]], limits: SlotLimits, free: int) -> SlotItem | None:
    """The best allowed candidate; if all free slots are needed for minimum shares, the best for one of these.

    Shares treat candidates with the same shares alike, so only the first of each queue has to be checked.
    """
    for queue in queues.values():
        while queue and limits.exceeds_cap(queue[0]):
            queue.popleft()
    heads = [queue[0] for queue in queues.values() if queue and not limits.exceeds_share(queue[0])]
    if not heads:
        return None
    missing = limits.missing()
    urgent = [item for item in heads if item.shares & missing.keys()] if sum(missing.values()) >= free else []
    best = queues[min(urgent or heads).shares].popleft()
    limits.count_caps(best)
    limits.count_shares(best)
    return best


def _pop_next_pin(pending: dict[int, SlotItem], limits: SlotLimits, slots: range) -> SlotItem | None:
    """The next pinned item, if candidates run out before its slot is reached."""
    while pending:
        slot = next(iter(pending))
        item = pending.pop(slot)
        if slot in slots:
            return item
        if not limits.exceeds_share(item):
            limits.count_shares(item)
            return item
    return None
