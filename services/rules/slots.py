"""Fills the slots of one page with pinned items and with the best candidates that caps and shares allow."""

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple


class SlotItem(NamedTuple):
    """A candidate for a slot, with everything that the limits read.

    rank: its position in the order; values: its value of each capped attribute, None if it has none
    share_bits: bit s is set if the item counts towards share s
    """

    rank: int
    column: int
    score: float
    values: tuple[object, ...]
    share_bits: int


class SlotLimits:
    """The limits of caps and shares, and how much of each is used.

    caps: the maximum number of items with the same value, for each cap
    least, most: the minimum and maximum number of slots of the page, for each share
    """

    def __init__(self, caps: Sequence[int], least: Sequence[int], most: Sequence[int]) -> None:
        self._caps, self._least, self._most = caps, list(least), most
        self._used: list[Counter[object]] = [Counter() for _ in caps]
        self._shares = [0] * len(most)

    def exceeds_cap(self, item: SlotItem) -> bool:
        """Whether a cap keeps the item off this page and all later ones."""
        rows = zip(self._used, item.values, self._caps, strict=True)
        return any(value is not None and used[value] >= most for used, value, most in rows)

    def exceeds_share(self, item: SlotItem) -> bool:
        """Whether a share keeps the item off this page."""
        rows = enumerate(zip(self._shares, self._most, strict=True))
        return any(item.share_bits >> share & 1 and count >= most for share, (count, most) in rows)

    def count_caps(self, item: SlotItem) -> None:
        """Count the item against the caps."""
        for used, value in zip(self._used, item.values, strict=True):
            used[value] += 1

    def count_shares(self, item: SlotItem) -> None:
        """Count the item against the shares."""
        for share in range(len(self._shares)):
            self._shares[share] += item.share_bits >> share & 1

    def lower_minimums(self, candidates: Sequence[SlotItem]) -> None:
        """Lower the minimum of each share to what the candidates can reach."""
        for share, count in enumerate(self._shares):
            reachable = count + sum(item.share_bits >> share & 1 for item in candidates)
            self._least[share] = min(self._least[share], reachable)

    def missing(self) -> tuple[int, int]:
        """The number of slots below the minimums, summed over shares, and the bits of the shares concerned."""
        missing = [max(least - count, 0) for least, count in zip(self._least, self._shares, strict=True)]
        return sum(missing), sum(1 << share for share, count in enumerate(missing) if count)


def fill_slots(
    candidates: Iterable[SlotItem], pins: Mapping[int, SlotItem], limits: SlotLimits, slots: range
) -> list[SlotItem]:
    """The items of these slots, in order, as many as there are.

    candidates: by rank, without the pinned ones
    pins: by slot; already counted in the caps, and in the shares if their slot is on this page
    """
    queues: dict[int, deque[SlotItem]] = defaultdict(deque)
    for candidate in candidates:
        queues[candidate.share_bits].append(candidate)
    pending, page = dict(sorted(pins.items())), []
    for slot in slots:
        free = slots.stop - slot - sum(later in slots for later in pending)
        pinned = pending.pop(slot, None)
        item = pinned or _pop_best(queues, limits, free) or _pop_next_pin(pending, limits, slots)
        if item is None:
            break
        page.append(item)
    return page


def _pop_best(queues: Mapping[int, deque[SlotItem]], limits: SlotLimits, free: int) -> SlotItem | None:
    """The best allowed candidate; one that a minimum share still needs if there are no slots to spare.

    Shares treat candidates with equal share_bits alike, so only the first of each queue has to be checked.
    """
    for queue in queues.values():
        while queue and limits.exceeds_cap(queue[0]):
            queue.popleft()
    heads = [queue[0] for queue in queues.values() if queue and not limits.exceeds_share(queue[0])]
    if not heads:
        return None
    missing, needed_bits = limits.missing()
    urgent = [item for item in heads if item.share_bits & needed_bits] if missing >= free else []
    best = queues[min(urgent or heads).share_bits].popleft()
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
