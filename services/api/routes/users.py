"""People: their tier and interests, new ones, and those who want to be forgotten."""

import asyncio

from fastapi import APIRouter, Request, Response
from starlette.convertors import StringConvertor, register_url_convertor

from services.api.routes.common import REFUSALS, PathId, shop_of, written
from services.feedback import users
from services.schemas import Acknowledged, Erasure, TierAnswer, UserBatch


class AnyText(StringConvertor):
    """Any text in a path: ids of users may hold slashes and ends of lines."""

    regex = "(?s:.+)"


register_url_convertor("text", AnyText())
router = APIRouter(tags=["users"], responses=REFUSALS)


@router.get("/users/{user_id:text}/tier", response_model=TierAnswer)
async def tier(user_id: PathId, request: Request) -> Response:
    """Tier, interests by layer, and churn risk; of somebody unknown, what holds for newcomers."""
    return written(await asyncio.to_thread(users.tier, shop_of(request), user_id))


@router.post("/users", response_model=Acknowledged)
async def post_users(body: UserBatch, request: Request) -> Response:
    """Make users known, or change their attributes; acknowledged after commit."""
    return written(await asyncio.to_thread(users.post, shop_of(request), body))


@router.delete("/users/{user_id:text}", response_model=Erasure)
async def erase(user_id: PathId, request: Request) -> Response:
    """Delete all that is stored of a user, and treat them as unknown from now on."""
    return written(await asyncio.to_thread(users.erase, shop_of(request), user_id))
