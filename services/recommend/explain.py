"""Reasons for the items of a list, as short texts with the amount that each adds to the score."""

import time

import numpy as np

from services.recommend.fallback_chain import StrategyResult
from services.recommend.request import ListRequest, RequestContext, ResultPage
from services.recommend.user import history_of
from services.rules import RankedOrder
from services.schemas import Explained, Explanation
from services.store import Impression
from services.tenants.shop import Shop
from tierrec_core.base.contracts import IntArray
from tierrec_core.bundle.explain import PEERS, TREND, reasons

JUST_NOW = "it fits what you did just now"
FITS_WORDS = "it fits what you typed"
ALIKE = "it is like the item you look at"
COUPONS = "people like you redeem it"

_BY_STRATEGY = {
    "cf": PEERS,
    "cold": TREND,
    "tier_prior": TREND,
    "popularity": TREND,
    "search": FITS_WORDS,
    "similar": ALIKE,
    "campaigns": COUPONS,
}
_ATTEMPTS, _PAUSE_SECONDS = 3, 0.1  # another worker may not have written the impression yet


def explain_answer(shop: Shop, request_id: str) -> Explanation | None:
    """Explain an earlier answer with current reasons; None if its impression is not stored."""
    impression = _find_impression(shop, request_id)
    if impression is None:
        return None
    request = ListRequest(impression.surface, max(len(impression.items), 1), user_id=impression.user_id)
    items = _explained_items(RequestContext.of(shop, request), impression)
    return Explanation.model_validate(vars(impression) | {"fallback": impression.reason, "items": items})


def reasons_of(context: RequestContext, page: ResultPage) -> list[dict[str, float]]:
    """The reasons for each item of the page, strongest first; those of a blend add up to its score."""
    strategy, columns = page.result.strategy, page.order.columns
    scores = page.order.scores.tolist()
    if strategy not in ("blend", "fold") or context.request.surface == "campaigns":
        return [{_BY_STRATEGY[strategy]: score} for score in scores]
    by_item = _blend_reasons(context, columns)
    if len(context.user.fresh.columns):
        fold = context.model.session_boost
        items, boosts = fold.boosts(context.user.fresh)
        boost = dict(zip(items.tolist(), (fold.strength * boosts).tolist(), strict=True))
        by_item = [
            ({JUST_NOW: boost[column]} if column in boost else {}) | item_reasons
            for column, item_reasons in zip(columns.tolist(), by_item, strict=True)
        ]
    return [item_reasons or {PEERS: score} for item_reasons, score in zip(by_item, scores, strict=True)]


def _blend_reasons(context: RequestContext, columns: IntArray) -> list[dict[str, float]]:
    """The blend's reasons for each column; empty for items that it does not know or did not retrieve."""
    user, model = context.user, context.model
    if user.row is None and not user.session_items:
        return [{} for _ in columns]
    try:
        contributions = model.bundle.explain(context.task, history_of(model, user), columns)
        return [reasons(contribution) if contribution else {} for contribution in contributions]
    except Exception:  # a list with poorer reasons is better than an error
        version = model.release.model_version
        context.shop.request_log.failure(None, context.request.user_id, part="reasons", model=version)
        return [{} for _ in columns]


def _find_impression(shop: Shop, request_id: str) -> Impression | None:
    for _ in range(_ATTEMPTS):
        if (impression := shop.impressions.find(request_id)) is not None:
            return impression
        time.sleep(_PAUSE_SECONDS)
    return None


def _explained_items(context: RequestContext, impression: Impression) -> list[Explained]:
    """The items with their reasons; an item that the catalogue no longer has gets no reason."""
    model, path = context.model, impression.path
    catalogue = model.campaigns if impression.surface == "campaigns" else model.catalogue
    columns = catalogue.columns(impression.items)
    existing = columns[columns >= 0]
    order = RankedOrder(existing, np.zeros(len(existing)))
    by_item = reasons_of(context, ResultPage(order, StrategyResult(path, order, path, ""), None))
    ids, titles = model.ids_and_titles(existing, impression.surface)
    described = dict(zip(ids, zip(titles, by_item, strict=True), strict=True))
    return [
        Explained(item_id=item, title=title, reasons=item_reasons)
        for item in impression.items
        for title, item_reasons in [described.get(item, (item, {}))]
    ]
