"""What every endpoint needs: whose shop it is, how answers are written, and what a refusal looks like."""

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
    """The shop that the guard has found for this request."""
    shop: Shop = request.scope["state"]["shop"]
    return shop


def written(answer: Any, status: int = 200) -> Response:
    """A JSON answer; the schema of the page describes it, so that it need not be checked again."""
    if isinstance(answer, BaseModel):
        answer = answer.model_dump(mode="json")
    return Response(orjson.dumps(answer), status, media_type="application/json")
