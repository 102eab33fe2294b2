"""Experiments and what came of them so far."""

import asyncio
from dataclasses import asdict

from fastapi import APIRouter, Request, Response

from services.api.routes.common import REFUSALS, shop_of, written
from services.experiments import VariantResult, tally

router = APIRouter(tags=["experiments"], responses=REFUSALS)


@router.get("/experiments", response_model=dict[str, list[VariantResult]])
async def results(request: Request) -> Response:
    """Each experiment's variants with always-valid 95% intervals: looking often does no harm."""
    shop = shop_of(request)
    shop.configuration.refresh()
    found = await asyncio.to_thread(tally, shop.configuration.now.experiments, shop.store)
    return written({name: [asdict(one) for one in variants] for name, variants in found.items()})
