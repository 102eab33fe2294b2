"""Who is asking: a row of the pack, what they did since, their tier and their attributes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from services.store.recent_events import RecentActivity, RecentEvent
from services.tenants.served_model import ServedModel
from tierrec_core.bundle.session_boost import FreshEvents
from tierrec_core.tiers import TIER_NAMES

NOTHING = FreshEvents(np.zeros(0, np.int64), np.zeros(0))


@dataclass(frozen=True)
class RequestUser:
    """Somebody, as one model sees them.

    row: their row of the pack; None for somebody whom the model does not know
    visit: (item id, event) pairs of somebody without a row, oldest first
    fresh: what somebody with a row did since the model was fitted, and the cart of anybody
    bought: (item id, moment) of what they took since then
    tier: one of TIER_NAMES; attributes: segments that rules ask for
    known: the log knows them, or they were posted, or they did something
    """

    user_id: str | None
    row: int | None
    tier: str
    known: bool
    visit: tuple[tuple[str, str], ...] = ()
    fresh: FreshEvents = NOTHING
    bought: tuple[tuple[str, datetime], ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_new(self) -> bool:
        """Nothing is known of what they like."""
        return self.row is None and not self.visit and not len(self.fresh.columns)


def person_of(
    model: ServedModel,
    live: RecentActivity,
    user_id: str | None,
    visit: Sequence[str] = (),
    basket: Sequence[str] = (),
    attributes: Mapping[str, Any] | None = None,
) -> RequestUser:
    """Who asks: a user by id, or a visitor by the items that they took; basket is what lies in their cart."""
    if user_id is None:
        pairs = tuple((item, "purchase") for item in visit)
        return _visitor(model, None, pairs, basket, attributes or {}, known=False)
    posted, events = live.attributes_of(user_id), _kept(live.events_of(user_id))
    known = {**(posted or {}), **(attributes or {})}
    bought = tuple((one.item_id, one.at) for one in events if one.event in model.pack.facts.target)
    row = None if live.is_erased(user_id) else model.pack.users.find(user_id)
    if row is None:
        pairs = tuple((one.item_id, one.event) for one in events)
        is_known = posted is not None or bool(events)
        return replace(_visitor(model, user_id, pairs, basket, known, known=is_known), bought=bought)
    fresh = _fresh(model, [one for one in events if one.at >= model.since], basket)
    tier = TIER_NAMES[model.pack.people.tier[row]]
    return RequestUser(user_id, row, tier, known=True, fresh=fresh, bought=bought, attributes=known)


def _visitor(
    model: ServedModel,
    user_id: str | None,
    visit: tuple[tuple[str, str], ...],
    basket: Sequence[str],
    attributes: Mapping[str, Any],
    *,
    known: bool,
) -> RequestUser:
    """Somebody without a row; of their visit what was posted live is folded in, since no model knows it."""
    columns = model.catalogue.columns([item for item, _ in visit])
    trained = (columns >= 0) & (columns < model.num_trained)
    live = [item for (item, _), column in zip(visit, columns, strict=True) if column >= model.num_trained]
    kept = tuple(pair for pair, knows in zip(visit, trained, strict=True) if knows)
    fresh = _fresh(model, (), [*live, *basket])
    return RequestUser(user_id, None, model.tier_of(kept), known, kept, fresh, attributes=attributes)


def _fresh(model: ServedModel, events: Sequence[RecentEvent], basket: Sequence[str]) -> FreshEvents:
    """What events, and then the cart, speak for; what lies in the cart counts as just put there."""
    if not events and not basket:
        return NOTHING
    facts, now = model.pack.facts, datetime.now(UTC)
    columns = model.catalogue.columns([*(one.item_id for one in events), *basket])
    ages = np.array([(now - one.at).total_seconds() / 3600 for one in events] + [0.0] * len(basket))
    worth = [facts.intent.get(one.event, 0.0) for one in events] + [facts.intent["cart"]] * len(basket)
    weights = np.array(worth) * np.exp2(-np.maximum(ages, 0.0) / facts.fold_half_life_hours)
    return FreshEvents(columns[columns >= 0], weights[columns >= 0])


def _kept(events: Sequence[RecentEvent]) -> Sequence[RecentEvent]:
    """Events without returns, and without what each takes back: the newest purchase of the item before it."""
    if all(one.quantity >= 0 for one in events):
        return events
    kept: list[RecentEvent] = []
    for one in events:
        if one.quantity >= 0:
            kept.append(one)
            continue
        purchases = (at for at, other in enumerate(kept) if other[:2] == (one.item_id, "purchase"))
        if (newest := max(purchases, default=None)) is not None:
            del kept[newest]
    return kept


def split(visit: Sequence[tuple[str, str]]) -> tuple[list[str], list[str]]:
    """The items of (item id, event) pairs, and the events."""
    return [item for item, _ in visit], [event for _, event in visit]
