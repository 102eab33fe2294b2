"""One page, slot by slot: the pins, and between them the best candidates that caps and shares let in."""

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple


class SlotItem(NamedTuple):
    """One item that might be shown, with all that limits look at.

    place: its rank; values: what it has of each capped attribute, None = nothing that could be capped
    kind: bit s is set where share s counts it
    """

    place: int
    column: int
    score: float
    values: tuple[object, ...]
    kind: int


class SlotLimits:
    """What caps and shares want, and what is used up of it.

    caps: how many items of one value each lets in
    least, most: how many slots of the page each share shall and may have
    """

    def __init__(self, caps: Sequence[int], least: Sequence[int], most: Sequence[int]) -> None:
        self._caps, self._least, self._most = caps, list(least), most
        self._used: list[Counter[object]] = [Counter() for _ in caps]
        self._inside = [0] * len(most)

    def capped(self, item: SlotItem) -> bool:
        """Whether a cap keeps the item out, of this page and of all later ones."""
        rows = zip(self._used, item.values, self._caps, strict=True)
        return any(value is not None and used[value] >= most for used, value, most in rows)

    def full(self, item: SlotItem) -> bool:
        """Whether a share keeps the item out of the page."""
        rows = enumerate(zip(self._inside, self._most, strict=True))
        return any(item.kind >> share & 1 and inside >= most for share, (inside, most) in rows)

    def cap(self, item: SlotItem) -> None:
        """Count it against the caps."""
        for used, value in zip(self._used, item.values, strict=True):
            used[value] += 1

    def share(self, item: SlotItem) -> None:
        """Count it against the shares."""
        for share in range(len(self._inside)):
            self._inside[share] += item.kind >> share & 1

    def expect(self, candidates: Sequence[SlotItem]) -> None:
        """Want no more of a share than the candidates have."""
        for share, inside in enumerate(self._inside):
            there = inside + sum(item.kind >> share & 1 for item in candidates)
            self._least[share] = min(self._least[share], there)

    def missing(self) -> tuple[int, int]:
        """How many slots the shares still want, each counted apart, and the bits of the shares that want some."""
        wanted = [max(least - inside, 0) for least, inside in zip(self._least, self._inside, strict=True)]
        return sum(wanted), sum(1 << share for share, count in enumerate(wanted) if count)


def fill(
    candidates: Iterable[SlotItem], pins: Mapping[int, SlotItem], limits: SlotLimits, slots: range
) -> list[SlotItem]:
    """The items of these slots, best first, as many as there are.

    candidates: by rank, without the pinned ones; pins: by slot, counted in the limits already as far as their slot
    is on this page, and in the caps wherever it is
    """
    queues: dict[int, deque[SlotItem]] = defaultdict(deque)
    for candidate in candidates:
        queues[candidate.kind].append(candidate)
    waiting, page = dict(sorted(pins.items())), []
    for slot in slots:
        free = slots.stop - slot - sum(later in slots for later in waiting)
        pinned = waiting.pop(slot, None)
        item = pinned or _best(queues, limits, free) or _closed_up(waiting, limits, slots)
        if item is None:
            break
        page.append(item)
    return page


def _best(queues: Mapping[int, deque[SlotItem]], limits: SlotLimits, free: int) -> SlotItem | None:
    """The first candidate that may stand here; one that a share waits for, once the free slots get scarce.

    Candidates of a kind are let in or kept out alike, so that only the first of each has to be looked at.
    """
    for queue in queues.values():
        while queue and limits.capped(queue[0]):
            queue.popleft()
    heads = [queue[0] for queue in queues.values() if queue and not limits.full(queue[0])]
    if not heads:
        return None
    missing, wanted = limits.missing()
    urgent = [item for item in heads if item.kind & wanted] if missing >= free else []
    chosen = queues[min(urgent or heads).kind].popleft()
    limits.cap(chosen)
    limits.share(chosen)
    return chosen


def _closed_up(waiting: dict[int, SlotItem], limits: SlotLimits, slots: range) -> SlotItem | None:
    """The next pin, where candidates run out before its slot is reached."""
    while waiting:
        slot = next(iter(waiting))
        item = waiting.pop(slot)
        if slot in slots:
            return item
        if not limits.full(item):
            limits.share(item)
            return item
    return None
