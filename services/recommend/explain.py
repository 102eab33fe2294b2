"""How an answer that was given came to be: what was kept of it, and the reasons for its items as of now."""

import time

import numpy as np

from services.recommend.fallback_chain import StrategyResult
from services.recommend.reasons import reasons_of
from services.recommend.request import ListRequest, RequestContext, ResultPage
from services.rules import RankedOrder
from services.schemas import Explained, Explanation
from services.store import Impression
from services.tenants.shop import Shop

_TRIES, _PAUSE = 3, 0.1  # another worker's writer may hold an impression for a moment


def explain(shop: Shop, request_id: str) -> Explanation | None:
    """None for a request that nobody knows, or that was answered too long ago."""
    found = _impression(shop, request_id)
    if found is None:
        return None
    scene = RequestContext.of(
        shop, ListRequest(found.surface, max(len(found.items), 1), user_id=found.user_id)
    )
    return Explanation(
        request_id=found.request_id,
        surface=found.surface,
        path=found.path,
        fallback=found.reason,
        model_version=found.model_version,
        experiment=found.experiment,
        variant=found.variant,
        items=_items(scene, found),
    )


def _impression(shop: Shop, request_id: str) -> Impression | None:
    for _ in range(_TRIES):
        if (found := shop.impressions.find(request_id)) is not None:
            return found
        time.sleep(_PAUSE)
    return None


def _items(scene: RequestContext, found: Impression) -> list[Explained]:
    """The items with what speaks for them; those that the catalogue no longer has are named without a reason."""
    goods = scene.model.catalogue
    if found.surface == "campaigns":
        goods = scene.model.campaigns
    columns = goods.columns(found.items)
    known = columns[columns >= 0]
    order = RankedOrder(known, np.zeros(len(known)))
    reasons = reasons_of(scene, ResultPage(order, StrategyResult(found.path, order, found.path, ""), None))
    _, titles = scene.model.described(known, found.surface)
    described = dict(zip(goods.frame["item_id"].iloc[known], zip(titles, reasons, strict=True), strict=True))
    return [
        Explained(item_id=item, title=title, reasons=why)
        for item in found.items
        for title, why in [described.get(item, (item, {}))]
    ]
