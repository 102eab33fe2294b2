"""Endpoints for lists: /recommend, /search, /similar, and /explain of an earlier answer."""

import asyncio

from fastapi import APIRouter, Request, Response

from services.api.routes.common import REFUSALS, PathId, json_response, shop_of
from services.recommend.explain import explain_answer
from services.recommend.surfaces import ListJob, recommendation_job, search_items, similar_items
from services.schemas import Answer, Explanation, Problem, RecommendRequest, SearchRequest, SimilarRequest
from services.tenants.shop import Shop

router = APIRouter(tags=["lists"], responses=REFUSALS)


@router.post("/recommend", name="recommend", response_model=Answer)
async def _recommend(body: RecommendRequest, request: Request) -> Response:
    """The first k items for a user or a visitor on a surface."""
    shop = shop_of(request)
    if shop.is_current(body.user_id):  # a thread would cost as much as the answer
        job = recommendation_job(shop, body)
    else:
        job = await asyncio.to_thread(_refreshed_job, shop, body)
    return json_response(await asyncio.to_thread(job.run) if job.is_slow else job.run())


def _refreshed_job(shop: Shop, body: RecommendRequest) -> ListJob:
    """Read files and the store, which may block."""
    shop.refresh()
    return recommendation_job(shop, body)


@router.post("/search", name="search", response_model=Answer)
async def _search(body: SearchRequest, request: Request) -> Response:
    """Items that fit the words, by what they say and what they mean, ordered by the user's interests."""
    return json_response(await asyncio.to_thread(search_items, shop_of(request), body))


@router.post("/similar", name="similar", response_model=Answer)
async def _similar(body: SimilarRequest, request: Request) -> Response:
    """Items that are chosen together with this one, or are like it."""
    return json_response(await asyncio.to_thread(similar_items, shop_of(request), body))


@router.get("/explain/{request_id}", name="explain", response_model=Explanation, responses={404: {"model": Problem}})
async def _explain(request_id: PathId, request: Request) -> Response:
    """How an answer came to be: path, why not a better one, and the reasons for each item as of now."""
    explanation = await asyncio.to_thread(explain_answer, shop_of(request), request_id)
    if explanation is None:
        return json_response(Problem(error=f"request_id: no answer {request_id[:64]!r} is known"), 404)
    return json_response(explanation)
