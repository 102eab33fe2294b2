"""Stores the events, items and users that a shop posts, and describes and erases users.

A post is visible to every worker once it is committed.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from services.recommend.user import RequestUser, resolve_user
from services.schemas import EventIn, ItemIn, TierAnswer, UserIn
from services.store import Acknowledged, Deletion, Erasure
from services.tenants.served_model import ServedModel
from services.tenants.shop import Shop
from services.transfer.importing import add_events, item_attributes, put_items, put_users


def post_events(shop: Shop, events: Sequence[EventIn]) -> Acknowledged:
    """Store the events; returns after commit. Raises DataError for an event that the database cannot hold."""
    added = add_events(shop.store, events)
    rejected = Counter(events[error.index].event for error in added.errors)
    remaining = added.accepted  # the store counts accepted events of all names together
    for name, count in (Counter(event.event for event in events) - rejected).items():
        accepted = min(count, remaining)
        remaining -= accepted
        shop.metrics.count_events(name, "accepted", accepted)
        shop.metrics.count_events(name, "duplicate", count - accepted)
    for name, count in rejected.items():
        shop.metrics.count_events(name, "rejected", count)
    shop.refresh_store()
    return added


def post_items(shop: Shop, items: Sequence[ItemIn]) -> Acknowledged:
    """Merge the items' attributes into the posted ones. Raises DataError for a value that its column cannot hold."""
    with shop.items_lock:  # the next check knows the columns that these items add
        rows = [(item_attributes(item) or {}) | {"item_id": item.item_id} for item in items]
        shop.models.champion.catalogue.check(rows)
        added = put_items(shop.store, items)
        shop.refresh_store()
        shop.add_posted_items()
    return added


def post_users(shop: Shop, users: Sequence[UserIn]) -> Acknowledged:
    """Merge the attributes into those posted before."""
    added = put_users(shop.store, users)
    shop.refresh_store()
    return added


def delete_item(shop: Shop, item_id: str) -> Deletion:
    """Delete what was posted of an item, and serve it no more until it is posted again."""
    with shop.items_lock:
        deleted = shop.store.delete_item(item_id)
        shop.refresh_store()
        shop.add_posted_items()
    return deleted


def delete_attributes(shop: Shop, user_id: str) -> Deletion:
    """Delete the attributes that were posted of a user."""
    deleted = shop.store.delete_attributes(user_id)
    shop.refresh_store()
    return deleted


def erase_user(shop: Shop, user_id: str) -> Erasure:
    """Delete all rows of the user, and keep a keyed hash of the id, so that the models ignore the user from now on."""
    erased = shop.store.erase_user(user_id, shop.hash_user(user_id))
    shop.refresh_store()
    return erased


def describe_user(shop: Shop, user_id: str) -> TierAnswer:
    """The current tier, interests and churn risk; an unknown user has those of a new user."""
    model = shop.model_for(user_id, None)
    user = resolve_user(model, shop.activity, user_id)
    tables = model.precomputed
    if user.row is not None:
        interests = tables.user_tables.interests[user.row]
    else:
        interests = tables.tiering.interests_of(model.visitor_history(user.session_items))[0]
    return TierAnswer(
        tier=user.tier,
        known_user=user.known,
        interests={
            layer: round(float(share), 6) for layer, share in zip(tables.item_tables.layers, interests, strict=True)
        },
        churn_risk=_churn_risk(shop, model, user),
        churn_days=tables.churn.horizon_days,
        churn_calibration_error=tables.item_tables.churn_calibration_error,
        model_version=model.release.model_version,
    )


def _churn_risk(shop: Shop, model: ServedModel, user: RequestUser) -> float | None:
    """None if the user's history cannot be read because the models are damaged."""
    if user.row is None:
        history = model.visitor_history(user.session_items)
    else:
        try:
            history = model.bundle.history.select_users(np.array([user.row]))
        except Exception:
            version = model.release.model_version
            shop.request_log.failure(None, user.user_id, part="churn", model=version)
            return None
    return round(float(model.precomputed.churn.probability(history)[0]), 6)
