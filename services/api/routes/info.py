"""What is being served, and how it does."""

from fastapi import APIRouter, Request, Response

from services.api.routes.common import REFUSALS, shop_of, written
from services.schemas import Info

router = APIRouter(tags=["service"], responses=REFUSALS)


@router.get("/info", response_model=Info)
async def info(request: Request) -> Response:
    """The champion's tags, tasks, catalogue and labels."""
    model = shop_of(request).serving.champion
    release = model.release
    return written(
        Info(
            bento=release.bento,
            model=release.model,
            model_version=release.model_version,
            tasks=list(model.pack.shelves),
            num_users=len(model.pack.users),
            num_items=len(model.catalogue.frame),
            labels=release.labels,
        )
    )
