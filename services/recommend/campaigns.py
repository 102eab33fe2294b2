"""Coupon campaigns ordered by the probability that the user redeems them."""

import numpy as np

from services.recommend.fallback_chain import RankingStrategy, top_items
from services.recommend.request import RequestContext, ResultPage, build_page
from services.recommend.user import history_of
from services.rules import RankedOrder
from tierrec_core.base.contracts import BoolArray
from tierrec_core.data.interactions import Interactions

_ACTIVE_HORIZONS = 2.0  # horizons without any redemption after which a campaign counts as over
_DAY_SECONDS = 86_400
_EARLIER = 1e-3  # days; the model reads redemptions before its `now` only


def campaign_page(context: RequestContext) -> ResultPage:
    """A page of active campaigns; empty if the shop has none."""
    model, campaigns = context.model, context.model.pack.campaigns
    active = campaigns.idle_days(model.pack.item_tables.now) <= _ACTIVE_HORIZONS * campaigns.horizon_days

    def by_probability(allowed: BoolArray | None) -> RankedOrder:
        history = history_of(model, context.user)
        return top_items(campaigns.score(history, _redemptions(context, history.now))[0], allowed)

    def by_popularity(allowed: BoolArray | None) -> RankedOrder:
        counts = np.bincount(campaigns.past.item, minlength=campaigns.num_campaigns)
        return top_items(counts.astype(float), allowed)

    strategies = [RankingStrategy("campaigns", by_probability), RankingStrategy("popularity", by_popularity)]
    return build_page(context, strategies, only=active, catalogue=model.campaigns)


def _redemptions(context: RequestContext, model_now: float) -> Interactions:
    """What the user redeemed before and after the model was fitted, one row.

    Redemptions since the fit are as old as their timestamps say, as of the request; without any, ages are as of the
    fit, like those of the history.
    """
    user_id, campaigns = context.request.user_id, context.model.pack.campaigns
    events = [] if user_id is None else context.shop.live.events_of(user_id)
    redeemed = [event for event in events if event.event == "redeem"]
    now = max(model_now, context.now.timestamp() / _DAY_SECONDS) if redeemed else model_now
    recent = [(event.item_id, min(event.at.timestamp() / _DAY_SECONDS, now - _EARLIER)) for event in redeemed]
    known_id = user_id if context.user.row is not None else ""
    return campaigns.redemptions_of(known_id or "", recent, now)
