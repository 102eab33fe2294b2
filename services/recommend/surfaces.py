"""The surfaces: which strategies rank each of them, and the answer as JSON."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic, perf_counter
from typing import Any

import numpy as np

from services.observability.access_log import current_request_id, start_request
from services.recommend.explain import reasons_of
from services.recommend.fallback_chain import FallbackChain, RankingStrategy, keep_allowed, sort_by_score, top_items
from services.recommend.request import ListRequest, RequestContext, ResultPage, build_page
from services.recommend.user import history_of
from services.rules import RankedOrder
from services.schemas import ErrorCode, RecommendRequest, SearchRequest, SimilarRequest
from services.store import Impression, StoreError
from services.tenants.background import OverloadError
from services.tenants.served_model import ServedModel
from services.tenants.shop import Shop
from tierrec_core.base.contracts import BoolArray
from tierrec_core.base.errors import DataError, TierRecError
from tierrec_core.data.interactions import Interactions

_MAX_HITS = 200
_BATCH_SECONDS = 20.0
_MAX_INLINE_CONDITIONS = 20  # of rules, evaluated on the event loop; each takes half a millisecond where none is cached
_ACTIVE_HORIZONS = 2.0  # horizons without any redemption after which a campaign counts as over
_DAY_SECONDS = 86_400
_EARLIER = 1e-3  # days; the model reads redemptions before its `now` only
_PERSONAL_WEIGHT = 0.25  # in a hit's score; its relevance has weight 1 minus this


@dataclass(frozen=True)
class ListJob:
    """A list to be computed. is_slow: takes milliseconds, or reads files or the store; run it in a thread."""

    context: RequestContext
    page: Callable[[], ResultPage]
    explain: bool = False
    is_slow: bool = True

    def run(self) -> dict[str, Any]:
        """Compute the list, queue its impression, and record metrics and the log line."""
        start = perf_counter()
        page = self.page()
        answer = _answer(self.context, page, explain=self.explain)
        _log_answer(self.context, answer)
        diversity = _category_diversity(self.context, page)
        seconds = perf_counter() - start
        self.context.shop.metrics.observe_request(answer["surface"], answer["path"], 200, seconds, diversity)
        return answer


def recommendation_job(shop: Shop, body: RecommendRequest) -> ListJob:
    """Prepare a list for a surface. Raises DataError for a task, filter or cursor that is not valid."""
    context = _context(shop, body.surface, body, body.num_items, session_items=body.history or (), task=body.task)
    chain = FallbackChain(context.model, context.user, context.task)
    strategies = chain.strategies()
    pages: dict[str, Callable[[], ResultPage]] = {
        "products": lambda: build_page(context, strategies),
        "ads": lambda: build_page(context, strategies, only=context.model.promoted),
        "campaigns": lambda: _campaign_page(context),
        "onboarding": lambda: build_page(context, [_diversified(context, strategy) for strategy in strategies]),
        "rank": lambda: _ranked_page(context, chain, body.items or ()),
    }
    is_slow = body.explain or body.surface in ("rank", "campaigns") or bool(context.user.session_items)
    is_slow |= body.filter is not None or context.configuration.rules.num_conditions > _MAX_INLINE_CONDITIONS
    return ListJob(context, pages[body.surface], body.explain, is_slow)


def recommend_batch(
    shop: Shop, bodies: Sequence[RecommendRequest], take_token: Callable[[], float], latest: float
) -> dict[str, Any]:
    """A list for each request, one after the other, each with an id of its own: that of the batch, and its index.

    take_token: seconds until the key may ask again, 0 = now; called for each list that begins, but the first
    latest: of time.monotonic(); no list begins after it, or after _BATCH_SECONDS
    """
    batch_id, end = current_request_id(), min(monotonic() + _BATCH_SECONDS, latest)

    def result(index: int, body: RecommendRequest) -> dict[str, Any]:
        request_id = start_request(f"{batch_id}-{index}")
        if monotonic() > end:
            status, error = 504, "requests: take too long together; send fewer at a time"
        elif index and (wait := take_token()):
            status, error = 429, f"rate: the key asks too often; wait {wait:.3f} s"
        else:
            try:
                answer = recommendation_job(shop, body).run()
                return {"status": 200, "request_id": request_id, "answer": answer}
            except Exception as failure:  # the others are answered
                status, _, error = refusal_of(failure)
                if status >= 500:
                    shop.request_log.failure(None, body.user_id, part="batch")
        return {"status": status, "request_id": request_id, "error": error}

    results = [{"index": index, **result(index, body)} for index, body in enumerate(bodies)]
    for one in results:
        shop.metrics.count_batch_result(one["status"])
    return {"results": results}


def refusal_of(error: Exception) -> tuple[int, ErrorCode, str]:
    """Status, code and text of the answer to a request that failed; why a store failed is in the log alone."""
    if isinstance(error, StoreError):
        return 503, ErrorCode.STORE_UNAVAILABLE, "store: does not answer; send the request again"
    if isinstance(error, OverloadError):
        return 503, ErrorCode.OVERLOADED, str(error)
    if isinstance(error, TierRecError):
        return 400, ErrorCode.INVALID_REQUEST, str(error)
    return 500, ErrorCode.INTERNAL_ERROR, "service: an error that is in its log"


def search_items(shop: Shop, body: SearchRequest) -> dict[str, Any]:
    """Items that match the words, ordered by relevance and the user's interests."""
    context = _context(shop, "search", body, body.k)
    chain = FallbackChain(context.model, context.user, context.task)

    def rank(allowed: BoolArray | None) -> RankedOrder:
        columns, scores = context.model.search.query(body.query, _MAX_HITS)
        hits = RankedOrder(np.asarray(columns, np.int64), np.asarray(scores, float))
        return keep_allowed(_personalize(chain, hits), allowed)

    return ListJob(context, lambda: build_page(context, [RankingStrategy("search", rank)])).run()


def similar_items(shop: Shop, body: SimilarRequest) -> dict[str, Any]:
    """Items similar to one item. Raises DataError if it is not in the catalogue."""
    context = _context(shop, "similar", body, body.k)
    model = context.model
    column = int(model.catalogue.columns([body.item_id])[0])
    if column < 0 or column in model.catalogue.deleted:
        raise DataError("item_id: is not in the catalogue; post it to /items, or ask for another")
    neighbours = _neighbours(model, column)
    others = np.arange(len(model.catalogue)) != column
    chain = FallbackChain(model, context.user, context.task)
    factors = model.factors[column]
    strategies = [
        RankingStrategy("similar", lambda allowed: keep_allowed(_personalize(chain, neighbours), allowed)),
        RankingStrategy("cf", lambda allowed: top_items(model.factors @ factors, allowed)),
    ]
    return ListJob(context, lambda: build_page(context, strategies, only=others)).run()


def _context(
    shop: Shop, surface: str, body: RecommendRequest | SearchRequest | SimilarRequest, k: int, **fields: Any
) -> RequestContext:
    """The context of a request body; `fields`: those of ListRequest that only some bodies have."""
    shared = {name: getattr(body, name) for name in ("user_id", "exclude", "filter", "cursor")}
    return RequestContext.of(shop, ListRequest(surface, k, **shared, **dict(body.context), **fields))


def _neighbours(model: ServedModel, column: int) -> RankedOrder:
    """Items that are bought together with an item; for one posted live, items with a similar description."""
    if column < model.num_trained:
        columns, similarity = model.session_boost.neighbours[column], model.session_boost.similarity[column]
        is_item = columns >= 0
        return sort_by_score(columns[is_item].astype(np.int64), similarity[is_item].astype(float))
    description = model.catalogue.frame.iloc[column][["title", "category", "brand"]].dropna()
    columns, scores = model.search.query(" ".join(map(str, description)), _MAX_HITS)
    return RankedOrder(columns.astype(np.int64), scores.astype(float))


def _ranked_page(context: RequestContext, chain: FallbackChain, items: tuple[str, ...]) -> ResultPage:
    """The given items only, sorted by the blend; items that it cannot score are sorted by the fallbacks."""
    catalogue = context.model.catalogue
    columns = catalogue.columns(items)
    columns = np.unique(columns[columns >= 0])
    only = np.zeros(len(catalogue), bool)
    only[columns] = True
    blend = RankingStrategy("blend", lambda allowed: keep_allowed(chain.rerank(columns), allowed))
    return build_page(context, [blend, *chain.strategies()[1:]], only=only)


def _campaign_page(context: RequestContext) -> ResultPage:
    """A page of active campaigns; empty if the shop has none."""
    model, campaigns = context.model, context.model.precomputed.campaigns
    active = campaigns.idle_days(model.precomputed.item_tables.now) <= _ACTIVE_HORIZONS * campaigns.horizon_days

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
    user_id, campaigns = context.request.user_id, context.model.precomputed.campaigns
    events = [] if user_id is None else context.shop.activity.events_of(user_id)
    fitted = campaigns.past.now * _DAY_SECONDS
    redeemed = [event for event in events if event.event == "redeem" and event.at.timestamp() >= fitted]
    now = max(model_now, context.now.timestamp() / _DAY_SECONDS) if redeemed else model_now
    recent = [(event.item_id, min(event.at.timestamp() / _DAY_SECONDS, now - _EARLIER)) for event in redeemed]
    known_id = user_id if context.user.row is not None else ""
    return campaigns.redemptions_of(known_id or "", recent, now)


def _diversified(context: RequestContext, strategy: RankingStrategy) -> RankingStrategy:
    """Interleave the categories round-robin: first the best item of each, then the second best, and so on."""

    def rank(allowed: BoolArray | None) -> RankedOrder:
        order = strategy.rank(allowed)
        category = context.model.categories[order.columns]
        by_category = np.argsort(category, kind="stable")
        start = np.searchsorted(category[by_category], category[by_category])
        rank_in_category = np.empty(len(category), np.int64)
        rank_in_category[by_category] = np.arange(len(category)) - start
        interleaved = np.argsort(rank_in_category, kind="stable")
        return RankedOrder(order.columns[interleaved], -np.arange(len(interleaved), dtype=float))

    return RankingStrategy(strategy.name, rank)


def _personalize(chain: FallbackChain, hits: RankedOrder) -> RankedOrder:
    """Mix the hits' scores (0..1) with the rank of each hit by the user's affinity to it."""
    factors = chain.user_factors()
    if not factors.any() or len(hits.columns) < 2:
        return hits
    affinity = chain.model.factors[hits.columns] @ factors
    rank = np.argsort(np.argsort(affinity, kind="stable"), kind="stable") / (len(affinity) - 1)
    return sort_by_score(hits.columns, (1 - _PERSONAL_WEIGHT) * hits.scores + _PERSONAL_WEIGHT * rank)


def _answer(context: RequestContext, page: ResultPage, *, explain: bool) -> dict[str, Any]:
    ids, titles = context.model.ids_and_titles(page.order.columns, context.request.surface)
    items = [
        {"item_id": item, "title": title, "score": score}
        for item, title, score in zip(ids, titles, page.order.scores.tolist(), strict=True)
    ]
    if explain:
        for item, reasons in zip(items, reasons_of(context, page), strict=True):
            item["reasons"] = reasons
    result = page.result
    return {
        "items": items,
        "path": result.strategy,
        "fallback": {"wanted": result.first_choice, "reason": result.reason} if result.reason else None,
        "surface": context.request.surface,
        "task": context.task,
        "tier": context.user.tier,
        "known_user": context.user.known,
        "model_version": context.model.release.model_version,
        "experiment": context.assignment.experiment,
        "variant": context.assignment.variant,
        "request_id": current_request_id(),
        "cursor": page.cursor,
    }


def _category_diversity(context: RequestContext, page: ResultPage) -> float | None:
    """Distinct categories over the list's length; None for an empty list, campaigns and a single category."""
    columns, categories = page.order.columns, context.model.categories
    if not len(columns) or context.request.surface == "campaigns" or not context.model.has_categories:
        return None
    return len(set(categories[columns].tolist())) / len(columns)


def _log_answer(context: RequestContext, answer: dict[str, Any]) -> None:
    """Queue the impression, which is written in the background, and log the decision."""
    reason = answer["fallback"]["reason"] if answer["fallback"] else None
    ids = {"request_id": answer["request_id"], "user_id": context.request.user_id}
    shared = {name: answer[name] for name in ("surface", "path", "model_version", "experiment", "variant")}
    context.shop.impressions.put(
        Impression(
            items=tuple(item["item_id"] for item in answer["items"]),
            at=context.now,
            propensity=context.assignment.propensity,
            reason=reason,
            **ids,
            **shared,
        )
    )
    about_user = {name: answer[name] for name in ("task", "tier", "known_user")}
    num_items = len(answer["items"])
    context.shop.request_log.decision(**ids, **shared, **about_user, num_items=num_items, fallback=reason)
