"""Endpoints for events, impressions and items."""

import asyncio

from fastapi import APIRouter, Request, Response

from services.api.routes.common import REFUSALS, json_response, shop_of
from services.feedback.events import post_events, post_items
from services.schemas import Acknowledged, EventBatch, ItemBatch

router = APIRouter(tags=["feedback"], responses=REFUSALS)


@router.post("/events", name="events", response_model=Acknowledged)
async def _events(body: EventBatch, request: Request) -> Response:
    """Keep events; acknowledged after commit, and in the very next answer. A repeated key counts once."""
    return json_response(await asyncio.to_thread(post_events, shop_of(request), body))


@router.post("/items", name="items", response_model=Acknowledged)
async def _items(body: ItemBatch, request: Request) -> Response:
    """Serve items from now on, or with new facts; what a post leaves out stays as it was."""
    return json_response(await asyncio.to_thread(post_items, shop_of(request), body))
