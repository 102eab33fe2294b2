"""Lists: /recommend, /search, /similar, and /explain of an answer that was given."""

import asyncio

from fastapi import APIRouter, Request, Response

from services.api.routes.common import REFUSALS, PathId, shop_of, written
from services.recommend import explain as explaining
from services.recommend import surfaces
from services.schemas import (
    Answer,
    Explanation,
    Problem,
    RecommendRequest,
    SearchRequest,
    SimilarRequest,
)

router = APIRouter(tags=["lists"], responses=REFUSALS)


@router.post("/recommend", response_model=Answer)
async def recommend(body: RecommendRequest, request: Request) -> Response:
    """The first k items for a user or a visitor on a surface."""
    shop = shop_of(request)
    job = surfaces.recommend(shop, body)
    return written(await asyncio.to_thread(job.finish) if job.is_heavy else job.finish())


@router.post("/search", response_model=Answer)
async def search(body: SearchRequest, request: Request) -> Response:
    """Items that fit the words, by what they say and what they mean, ordered by the user's interests."""
    return written(await asyncio.to_thread(surfaces.search, shop_of(request), body))


@router.post("/similar", response_model=Answer)
async def similar(body: SimilarRequest, request: Request) -> Response:
    """Items that are chosen together with this one, or are like it."""
    return written(await asyncio.to_thread(surfaces.similar, shop_of(request), body))


@router.get("/explain/{request_id}", response_model=Explanation, responses={404: {"model": Problem}})
async def explain(request_id: PathId, request: Request) -> Response:
    """How an answer came to be: path, why not a better one, and the reasons for each item as of now."""
    found = await asyncio.to_thread(explaining.explain, shop_of(request), request_id)
    if found is None:
        return written(Problem(error=f"request_id: no answer {request_id[:64]!r} is known"), 404)
    return written(found)
