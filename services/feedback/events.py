"""What a shop is told: events and items go to the store, and are seen by every worker once they are committed."""

from collections import Counter
from datetime import UTC, datetime

from services.schemas import Acknowledged, EventBatch, ItemBatch
from services.store import PostedItem
from services.tenants.shop import Shop
from services.transfer.keeping import event_of, facts_of


def post_events(shop: Shop, batch: EventBatch) -> Acknowledged:
    """Keep the events; returns after commit. Raises DataError for what no database keeps."""
    now = datetime.now(UTC)
    found = shop.store.add_events([event_of(one, now) for one in batch.events])
    left = found.accepted  # which events of a batch were known is not told, only how many
    for name, count in Counter(one.event for one in batch.events).items():
        fresh = min(count, left)
        left -= fresh
        shop.metrics.count_events(name, "accepted", fresh)
        shop.metrics.count_events(name, "duplicate", count - fresh)
    shop.live.refresh()
    return Acknowledged(accepted=found.accepted, duplicates=found.duplicates)


def post_items(shop: Shop, batch: ItemBatch) -> Acknowledged:
    """Keep the items' facts over those that were posted before. Raises DataError for a value its column cannot hold."""
    shop.refresh()
    posts = [PostedItem(one.item_id, facts_of(one)) for one in batch.items]
    rows = [{**one.attributes, "item_id": one.item_id} for one in posts]
    # Refuses, before anything is kept, what could not be shown.
    shop.serving.champion.catalogue.with_items(rows)
    shop.store.put_items(posts, merge=True)
    shop.live.refresh()
    return Acknowledged(accepted=len(posts), duplicates=0)
