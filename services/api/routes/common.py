"""What the endpoints share: the request's shop, JSON answers, and the documented error responses."""

from typing import Annotated, Any

import orjson
from fastapi import Path, Request, Response
from pydantic import BaseModel

from services.schemas import ID_LENGTH, NO_NUL, Problem
from services.tenants.shop import Shop

PathId = Annotated[str, Path(min_length=1, max_length=ID_LENGTH, pattern=NO_NUL)]
REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "A field is wrong; detail says which."},
    401: {"model": Problem, "description": "No key, or one that is not valid."},
    403: {"model": Problem, "description": "The key lacks the scope."},
    413: {"model": Problem, "description": "The body is too large."},
    415: {"model": Problem, "description": "The body is not JSON."},
    429: {"model": Problem, "description": "Too many requests; Retry-After says when."},
    503: {"model": Problem, "description": "The store does not answer; try again."},
}


def shop_of(request: Request) -> Shop:
    """The shop that ShopMiddleware has selected for the request."""
    shop: Shop = request.scope["state"]["shop"]
    return shop


def json_response(content: Any, status: int = 200) -> Response:
    """Serialize without validation against the response model, which only documents the answer."""
    if isinstance(content, BaseModel):
        content = content.model_dump(mode="json")
    return Response(orjson.dumps(content), status, media_type="application/json")
