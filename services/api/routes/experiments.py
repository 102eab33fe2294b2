"""The endpoint for the results of experiments."""

import asyncio
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request, Response

from services.api.routes.common import REFUSALS, json_response, shop_of
from services.experiments import VariantResult, all_results
from services.tenants.shop import Shop

router = APIRouter(tags=["experiments"], responses=REFUSALS)


@router.get("/experiments", name="results", response_model=dict[str, list[VariantResult]])
async def _results(request: Request) -> Response:
    """Each experiment's variants with always-valid 95% intervals: looking often does no harm."""
    return json_response(await asyncio.to_thread(_tally, shop_of(request)))


def _tally(shop: Shop) -> dict[str, list[dict[str, Any]]]:
    shop.configuration.refresh()
    results = all_results(shop.configuration.now.experiments, shop.store)
    return {name: [asdict(variant) for variant in variants] for name, variants in results.items()}
