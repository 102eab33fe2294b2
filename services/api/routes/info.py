"""The endpoint that describes the served model."""

from fastapi import APIRouter, Request, Response

from services.api.routes.common import REFUSALS, json_response, shop_of
from services.schemas import Info

router = APIRouter(tags=["service"], responses=REFUSALS)


@router.get("/info", name="info", response_model=Info)
async def _info(request: Request) -> Response:
    """The champion's tags, tasks, catalogue and labels."""
    model = shop_of(request).serving.champion
    release = model.release
    return json_response(
        Info(
            bento=release.bento,
            model=release.model,
            model_version=release.model_version,
            tasks=list(model.pack.ranked_lists),
            num_users=len(model.pack.users),
            num_items=len(model.catalogue.frame),
            labels=release.labels,
        )
    )
