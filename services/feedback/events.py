"""Stores posted events and items; every worker sees them once they are committed."""

from collections import Counter
from datetime import UTC, datetime

from services.schemas import Acknowledged, EventBatch, ItemBatch
from services.store import PostedItem
from services.tenants.shop import Shop
from services.transfer.keeping import event_of, facts_of


def post_events(shop: Shop, batch: EventBatch) -> Acknowledged:
    """Store the events; returns after commit. Raises DataError for an event that the database cannot hold."""
    now = datetime.now(UTC)
    added = shop.store.add_events([event_of(event, now) for event in batch.events])
    remaining = added.accepted  # the store counts accepted events of all names together
    for name, count in Counter(event.event for event in batch.events).items():
        accepted = min(count, remaining)
        remaining -= accepted
        shop.metrics.count_events(name, "accepted", accepted)
        shop.metrics.count_events(name, "duplicate", count - accepted)
    shop.live.refresh()
    return Acknowledged(accepted=added.accepted, duplicates=added.duplicates)


def post_items(shop: Shop, batch: ItemBatch) -> Acknowledged:
    """Merge the items' facts into those posted before. Raises DataError for a value that its column cannot hold."""
    shop.refresh()
    posts = [PostedItem(item.item_id, facts_of(item)) for item in batch.items]
    rows = [{**post.attributes, "item_id": post.item_id} for post in posts]
    shop.serving.champion.catalogue.with_items(rows)  # raises before anything is stored
    shop.store.put_items(posts, merge=True)
    shop.live.refresh()
    return Acknowledged(accepted=len(posts), duplicates=0)
