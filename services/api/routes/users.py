"""Endpoints for users: tier and interests, attributes, and erasure."""

import asyncio

from fastapi import APIRouter, Request, Response
from starlette.convertors import StringConvertor, register_url_convertor

from services.api.routes.common import REFUSALS, PathId, json_response, shop_of
from services.feedback.users import describe_user, erase_user, post_users
from services.schemas import Acknowledged, Erasure, TierAnswer, UserBatch


class _AnyText(StringConvertor):
    """Any text in a path: user ids may contain slashes and newlines."""

    regex = "(?s:.+)"


register_url_convertor("text", _AnyText())
router = APIRouter(tags=["users"], responses=REFUSALS)


@router.get("/users/{user_id:text}/tier", name="tier", response_model=TierAnswer)
async def _tier(user_id: PathId, request: Request) -> Response:
    """Tier, interests by layer, and churn risk; of somebody unknown, what holds for newcomers."""
    return json_response(await asyncio.to_thread(describe_user, shop_of(request), user_id))


@router.post("/users", name="post_users", response_model=Acknowledged)
async def _post_users(body: UserBatch, request: Request) -> Response:
    """Make users known, or change their attributes; acknowledged after commit."""
    return json_response(await asyncio.to_thread(post_users, shop_of(request), body))


@router.delete("/users/{user_id:text}", name="erase", response_model=Erasure)
async def _erase(user_id: PathId, request: Request) -> Response:
    """Delete all that is stored of a user, and treat them as unknown from now on."""
    return json_response(await asyncio.to_thread(erase_user, shop_of(request), user_id))
