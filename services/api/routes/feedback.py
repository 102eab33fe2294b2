"""What comes in: events and impressions, and items."""

import asyncio

from fastapi import APIRouter, Request, Response

from services.api.routes.common import REFUSALS, shop_of, written
from services.feedback import events as feedback
from services.schemas import Acknowledged, EventBatch, ItemBatch

router = APIRouter(tags=["feedback"], responses=REFUSALS)


@router.post("/events", response_model=Acknowledged)
async def events(body: EventBatch, request: Request) -> Response:
    """Keep events; acknowledged after commit, and in the very next answer. A repeated key counts once."""
    return written(await asyncio.to_thread(feedback.post_events, shop_of(request), body))


@router.post("/items", response_model=Acknowledged)
async def items(body: ItemBatch, request: Request) -> Response:
    """Serve items from now on, or with new facts; what a post leaves out stays as it was."""
    return written(await asyncio.to_thread(feedback.post_items, shop_of(request), body))
