"""The user of a request: row in the model, recent activity, tier and attributes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from services.store.recent_events import RecentActivity, RecentEvent
from services.tenants.served_model import ServedModel
from tierrec_core.bundle.session_boost import FreshEvents
from tierrec_core.data.interactions import Interactions

NOTHING = FreshEvents(np.zeros(0, np.int64), np.zeros(0))


@dataclass(frozen=True)
class RequestUser:
    """A user as one model sees them.

    row: their row in the model; None for a user whom the model does not know
    session_items: (item id, event) pairs of a user without a row, oldest first
    fresh: events since the model was fitted of a user with a row, and the cart of any user
    purchases: (item id, time) of their purchases since the model was fitted
    tier: one of the model's tier_names; attributes: segments that rules refer to
    known: the user is in the log, was posted, or has posted events
    """

    user_id: str | None
    row: int | None
    tier: str
    known: bool
    session_items: tuple[tuple[str, str], ...] = ()
    fresh: FreshEvents = NOTHING
    purchases: tuple[tuple[str, datetime], ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_new(self) -> bool:
        """Whether there is no history to personalize with."""
        return self.row is None and not self.session_items and not len(self.fresh.columns)


def resolve_user(
    model: ServedModel,
    activity: RecentActivity,
    user_id: str | None,
    session_items: Sequence[str] = (),
    basket: Sequence[str] = (),
    attributes: Mapping[str, Any] | None = None,
) -> RequestUser:
    """Look up a user by id, or describe a visitor by the items that they bought, oldest first."""
    if user_id is None:
        pairs = tuple((item, "purchase") for item in session_items)
        return _without_row(model, None, pairs, basket, attributes or {}, known=False)
    posted, events = activity.attributes_of(user_id), _cancel_returns(activity.events_of(user_id))
    merged = {**(posted or {}), **(attributes or {})}
    target = model.precomputed.item_tables.target
    purchases = tuple((event.item_id, event.at) for event in events if event.event in target)
    row = None if activity.is_erased(user_id) else model.precomputed.users.find(user_id)
    if row is None:
        pairs = tuple((event.item_id, event.event) for event in events)
        is_known = posted is not None or bool(events)
        return replace(_without_row(model, user_id, pairs, basket, merged, known=is_known), purchases=purchases)
    fresh = _fresh_events(model, [event for event in events if model.is_fresh(event)], basket)
    tier = model.tier_names[model.precomputed.user_tables.tier[row]]
    return RequestUser(user_id, row, tier, known=True, fresh=fresh, purchases=purchases, attributes=merged)


def history_of(model: ServedModel, user: RequestUser) -> Interactions:
    """The user's history as all models score it, one row; loads the models if necessary."""
    if user.row is not None:
        return model.bundle.history.select_users(np.array([user.row]))
    items, events = [item for item, _ in user.session_items], [event for _, event in user.session_items]
    return model.bundle.visitor(items, events)


def _without_row(
    model: ServedModel,
    user_id: str | None,
    session_items: tuple[tuple[str, str], ...],
    basket: Sequence[str],
    attributes: Mapping[str, Any],
    *,
    known: bool,
) -> RequestUser:
    """A user without a row; items posted live become fresh events, because no model was trained on them."""
    columns = model.catalogue.columns([item for item, _ in session_items])
    pairs = list(zip(session_items, columns, strict=True))
    trained = tuple(pair for pair, column in pairs if 0 <= column < model.num_trained)
    posted = [item for (item, _), column in pairs if column >= model.num_trained]
    fresh = _fresh_events(model, (), [*posted, *basket])
    return RequestUser(user_id, None, model.assign_tier(trained), known, trained, fresh, attributes=attributes)


def _fresh_events(model: ServedModel, events: Sequence[RecentEvent], basket: Sequence[str]) -> FreshEvents:
    """Weigh events by intent and age; items in the cart count as added now."""
    if not events and not basket:
        return NOTHING
    tables, now = model.precomputed.item_tables, datetime.now(UTC)
    columns = model.catalogue.columns([*(event.item_id for event in events), *basket])
    hours = np.array([(now - event.at).total_seconds() / 3600 for event in events] + [0.0] * len(basket))
    boost = tables.boost_weights
    intent = [boost.get(event.event, 0.0) for event in events] + [boost["cart"]] * len(basket)
    weights = np.array(intent) * np.exp2(-np.maximum(hours, 0.0) / tables.boost_half_life_hours)
    return FreshEvents(columns[columns >= 0], weights[columns >= 0])


def _cancel_returns(events: Sequence[RecentEvent]) -> Sequence[RecentEvent]:
    """Remove returns, and for each the newest earlier purchase of the same item."""
    if all(event.quantity >= 0 for event in events):
        return events
    remaining: list[RecentEvent] = []
    for event in events:
        if event.quantity >= 0:
            remaining.append(event)
            continue
        purchases = (row for row, other in enumerate(remaining) if other[:2] == (event.item_id, "purchase"))
        if (newest := max(purchases, default=None)) is not None:
            del remaining[newest]
    return remaining
