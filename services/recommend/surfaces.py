"""The surfaces: which rungs each climbs, what it adds to the page, and the answer that is written."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from services.recommend.campaigns import campaign_page
from services.recommend.fallback_chain import FallbackChain, RankingStrategy, best, keep, sorted_order
from services.recommend.reasons import reasons_of
from services.recommend.request import ListRequest, RequestContext, ResultPage, page_of
from services.rules import RankedOrder
from services.schemas import RecommendRequest, SearchRequest, SimilarRequest
from services.store import Impression
from services.tenants.served_model import ServedModel
from services.tenants.shop import Shop
from tierrec_core.base.contracts import BoolArray
from tierrec_core.base.errors import DataError

_SEARCHED = 200
_TASTE = 0.25  # how much of a search hit's score is the user's interest; the words have the rest


@dataclass(frozen=True)
class ListJob:
    """A list that is about to be made. is_heavy: it takes milliseconds, so a thread should finish it."""

    scene: RequestContext
    page: Callable[[], ResultPage]
    explain: bool
    is_heavy: bool

    def finish(self) -> dict[str, Any]:
        """Make the list, keep the impression, count it, and write it down."""
        began = perf_counter()
        page = self.page()
        answer = _written(self.scene, page, explain=self.explain)
        _remember(self.scene, answer)
        distinct = _diversity(self.scene, page)
        seconds = perf_counter() - began
        self.scene.shop.metrics.observe(self.scene.asked.surface, answer["path"], 200, seconds, distinct)
        return answer


def recommend(shop: Shop, request: RecommendRequest) -> ListJob:
    """A list for a surface. Raises DataError for a task, a filter or a cursor that is none."""
    asked = ListRequest(
        surface=request.surface,
        wanted=request.wanted,
        user_id=request.user_id,
        visit=request.history or (),
        basket=request.context.basket,
        attributes=request.context.attributes,
        exclude=request.exclude,
        filter=request.filter,
        cursor=request.cursor,
        task=request.task,
    )
    scene = RequestContext.of(shop, asked)
    ladder = FallbackChain(scene.model, scene.person, scene.task)
    rungs = ladder.rungs()
    pages: dict[str, Callable[[], ResultPage]] = {
        "products": lambda: page_of(scene, rungs),
        "ads": lambda: page_of(scene, rungs, only=scene.model.promoted),
        "campaigns": lambda: campaign_page(scene),
        "onboarding": lambda: page_of(scene, [_diversified(scene, rung) for rung in rungs]),
        "rank": lambda: _ranked_page(scene, ladder, request.items or ()),
    }
    is_heavy = request.explain or request.surface in ("rank", "campaigns") or bool(scene.person.visit)
    return ListJob(scene, pages[request.surface], request.explain, is_heavy)


def search(shop: Shop, request: SearchRequest) -> dict[str, Any]:
    """Hits of the words, ordered by how well they fit and by the user's interests."""
    scene = RequestContext.of(shop, _asked("search", request))
    ladder = FallbackChain(scene.model, scene.person, scene.task)

    def hits(allowed: BoolArray | None) -> RankedOrder:
        columns, scores = scene.model.search.query(request.query, _SEARCHED)
        found = RankedOrder(np.asarray(columns, np.int64), np.asarray(scores, float))
        return keep(_by_taste(ladder, found), allowed)

    rung = RankingStrategy("search", hits)
    return ListJob(scene, lambda: page_of(scene, [rung]), explain=False, is_heavy=True).finish()


def similar(shop: Shop, request: SimilarRequest) -> dict[str, Any]:
    """Items like one item. Raises DataError for an item that nobody knows."""
    asked = _asked("similar", request)
    scene = RequestContext.of(shop, asked)
    model = scene.model
    column = int(model.catalogue.columns([request.item_id])[0])
    if column < 0:
        raise DataError("item_id: is not in the catalogue; post it to /items, or ask for another")
    order = _alike(model, column)
    self_hidden = np.ones(len(model.catalogue.frame), bool)
    self_hidden[column] = False
    ladder = FallbackChain(model, scene.person, scene.task)
    taste = model.factors[column]
    rungs = [
        RankingStrategy("similar", lambda allowed: keep(_by_taste(ladder, order), allowed)),
        RankingStrategy("cf", lambda allowed: best(model.factors @ taste, allowed)),
    ]
    return ListJob(
        scene, lambda: page_of(scene, rungs, only=self_hidden), explain=False, is_heavy=True
    ).finish()


def _alike(model: ServedModel, column: int) -> RankedOrder:
    """What is chosen together with an item; of an item that was posted live, what reads like it."""
    if column < model.num_trained:
        near, likeness = model.fold.neighbours[column], model.fold.likeness[column]
        return sorted_order(near[near >= 0].astype(np.int64), likeness[near >= 0].astype(float))
    described = model.catalogue.frame.iloc[column][["title", "category", "brand"]].dropna()
    columns, scores = model.search.query(" ".join(map(str, described)), _SEARCHED)
    return RankedOrder(columns.astype(np.int64), scores.astype(float))


def _asked(surface: str, request: SearchRequest | SimilarRequest) -> ListRequest:
    return ListRequest(
        surface=surface,
        wanted=request.k,
        user_id=request.user_id,
        basket=request.context.basket,
        attributes=request.context.attributes,
        exclude=request.exclude,
        filter=request.filter,
        cursor=request.cursor,
    )


def _ranked_page(scene: RequestContext, ladder: FallbackChain, items: tuple[str, ...]) -> ResultPage:
    """The given items and no others, sorted by the blend; what it cannot score is sorted by the lower rungs."""
    columns = scene.model.catalogue.columns(items)
    columns = np.unique(columns[columns >= 0])
    only = np.zeros(len(scene.model.catalogue.frame), bool)
    only[columns] = True
    blend = RankingStrategy("blend", lambda allowed: keep(ladder.reranked(columns), allowed))
    return page_of(scene, [blend, *ladder.rungs()[1:]], only=only)


def _diversified(scene: RequestContext, rung: RankingStrategy) -> RankingStrategy:
    """The same rung, taking each category's best in turn: a newcomer sees the breadth of the shop."""

    def rank(allowed: BoolArray | None) -> RankedOrder:
        order = rung.rank(allowed)
        category = scene.model.categories[order.columns]
        by_category = np.argsort(category, kind="stable")
        first = np.searchsorted(category[by_category], category[by_category])
        turn = np.empty(len(category), np.int64)
        turn[by_category] = np.arange(len(category)) - first
        taken = np.argsort(turn, kind="stable")
        return RankedOrder(order.columns[taken], -np.arange(len(taken), dtype=float))

    return RankingStrategy(rung.path, rank)


def _by_taste(ladder: FallbackChain, hits: RankedOrder) -> RankedOrder:
    """Hits with scores from 0 to 1, reordered by how well each fits the person among these hits."""
    taste = ladder.taste()
    if not taste.any() or len(hits.columns) < 2:
        return hits
    fit = ladder.model.factors[hits.columns] @ taste
    place = np.argsort(np.argsort(fit, kind="stable"), kind="stable") / (len(fit) - 1)
    return sorted_order(hits.columns, (1 - _TASTE) * hits.scores + _TASTE * place)


def _written(scene: RequestContext, page: ResultPage, *, explain: bool) -> dict[str, Any]:
    """The answer as JSON has it; schemas.Answer describes it."""
    ids, titles = scene.model.described(page.order.columns, scene.asked.surface)
    items = [
        {"item_id": item, "title": title, "score": score}
        for item, title, score in zip(ids, titles, page.order.scores.tolist(), strict=True)
    ]
    if explain:
        for item, reasons in zip(items, reasons_of(scene, page), strict=True):
            item["reasons"] = reasons
    climbed = page.climbed
    fallback = {"wanted": climbed.wanted, "reason": climbed.reason} if climbed.reason else None
    return {
        "items": items,
        "path": climbed.path,
        "fallback": fallback,
        "surface": scene.asked.surface,
        "task": scene.task,
        "tier": scene.person.tier,
        "known_user": scene.person.known,
        "model_version": scene.model.release.model_version,
        "experiment": scene.assignment.experiment,
        "variant": scene.assignment.variant,
        "request_id": uuid.uuid4().hex,
        "cursor": page.cursor,
    }


def _diversity(scene: RequestContext, page: ResultPage) -> float | None:
    """Distinct categories over the list's length; None for an empty list, and for campaigns, which have none."""
    columns = page.order.columns
    if not len(columns) or scene.asked.surface == "campaigns":
        return None
    return len(set(scene.model.categories[columns].tolist())) / len(columns)


def _remember(scene: RequestContext, answer: dict[str, Any]) -> None:
    """Hand the impression to the writer, which the answer does not wait for."""
    fallback = answer["fallback"]
    scene.shop.impressions.put(
        Impression(
            request_id=answer["request_id"],
            user_id=scene.asked.user_id,
            surface=scene.asked.surface,
            items=tuple(item["item_id"] for item in answer["items"]),
            path=answer["path"],
            model_version=answer["model_version"],
            at=scene.now,
            variant=scene.assignment.variant,
            experiment=scene.assignment.experiment,
            propensity=scene.assignment.propensity,
            reason=fallback["reason"] if fallback else None,
        )
    )
