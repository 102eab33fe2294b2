"""What an import means for a store that no service has open: events, and facts over those that were there before."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from services.schemas import EventIn, ItemIn, UserIn
from services.store import Acknowledged, NewEvent, PostedItem, PostedUser, Store
from services.transfer.records import Importable

Keep = Callable[[Sequence[Any]], Acknowledged]

_OWN = ("title", "category", "brand", "price", "stock", "on_promotion")
_MOMENTS = ("available_from", "available_until")


@dataclass(frozen=True)
class StoreKeeper:
    """Keeps models of the API in a store, as a service does that is told of them."""

    store: Store

    def keep(self, kind: Importable) -> Keep:
        """What keeps a batch of one kind in one transaction. It raises DataError for what no database keeps."""
        keeps: dict[Importable, Keep] = {"events": self._events, "items": self._items, "users": self._users}
        return keeps[kind]

    def _events(self, batch: Sequence[EventIn]) -> Acknowledged:
        now = datetime.now(UTC)
        return self.store.add_events([event_of(one, now) for one in batch])

    def _items(self, batch: Sequence[ItemIn]) -> Acknowledged:
        self.store.put_items([PostedItem(one.item_id, facts_of(one)) for one in batch], merge=True)
        return Acknowledged(accepted=len(batch), duplicates=0)

    def _users(self, batch: Sequence[UserIn]) -> Acknowledged:
        self.store.put_users([PostedUser(one.user_id, one.attributes) for one in batch], merge=True)
        return Acknowledged(accepted=len(batch), duplicates=0)


def event_of(one: EventIn, now: datetime) -> NewEvent:
    """The event for the store; it happened now where it does not say when."""
    return NewEvent(**one.model_dump(exclude={"timestamp"}), timestamp=one.timestamp or now)


def facts_of(one: ItemIn) -> dict[str, Any]:
    """The facts that were given, as JSON has them; further attributes beside our own."""
    given = one.model_dump(exclude_unset=True)
    facts = {name: given[name] for name in _OWN if name in given}
    moments = {name: given[name] and given[name].isoformat() for name in _MOMENTS if name in given}
    return {**given.get("attributes", {}), **facts, **moments}
