"""The surface campaigns: coupon campaigns ordered by the chance that the user redeems them."""

import numpy as np

from services.recommend.fallback_chain import RankingStrategy, best
from services.recommend.request import RequestContext, ResultPage, page_of
from services.recommend.user import split
from services.rules import RankedOrder
from tierrec_core.base.contracts import BoolArray
from tierrec_core.data.interactions import Interactions

_ALIVE = 2.0  # horizons without a redemption after which a campaign counts as over
_MOMENT = 1e-3  # days; a redemption of just now lies before the now of the model


def campaign_page(scene: RequestContext) -> ResultPage:
    """Campaigns and nothing else; an empty page where the shop has none that is alive."""
    model, goods = scene.model, scene.model.campaigns
    campaigns = model.pack.campaigns
    alive = campaigns.idle_days(model.pack.facts.now) <= _ALIVE * campaigns.horizon_days

    def personal(allowed: BoolArray | None) -> RankedOrder:
        history = _history(scene)
        return best(campaigns.score(history, _redeemed(scene, history.now))[0], allowed)

    def popular(allowed: BoolArray | None) -> RankedOrder:
        return best(
            np.bincount(campaigns.past.item, minlength=campaigns.num_campaigns).astype(float), allowed
        )

    rungs = [RankingStrategy("campaigns", personal), RankingStrategy("popularity", popular)]
    return page_of(scene, rungs, only=alive, catalogue=goods)


def _history(scene: RequestContext) -> Interactions:
    """What the person bought, one row."""
    bundle, person = scene.model.bundle, scene.person
    if person.row is not None:
        return bundle.history.rows(np.array([person.row]))
    return bundle.visitor(*split(person.visit))


def _redeemed(scene: RequestContext, now: float) -> Interactions:
    """What the person redeemed before, and since the model was made, one row."""
    user_id = scene.asked.user_id
    live = [] if user_id is None else scene.shop.live.events_of(user_id)
    since = [(one.item_id, now - _MOMENT) for one in live if one.event == "redeem"]
    known = user_id if scene.person.row is not None else ""
    return scene.model.pack.campaigns.redemptions_of(known or "", since, now)
