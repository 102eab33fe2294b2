"""Routes of endpoints that take one JSON body: pydantic reads its bytes, and nothing else is resolved."""

from collections.abc import Awaitable, Callable
from typing import Any, cast, get_type_hints

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send


class JsonRoute(APIRoute):
    """Calls an endpoint(body, request) as FastAPI does, and documents it so; other endpoints are left to FastAPI.

    FastAPI parses the body in Python, resolves dependencies and opens two stacks of contexts, which takes longer than
    most lists.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        self._call = cast("Callable[[Any, Request], Awaitable[Response]]", endpoint)
        if (body := get_type_hints(endpoint).get("body")) is not None:
            self._body: TypeAdapter[Any] = TypeAdapter(body)
            self.app = self._answer

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        response = await self._call(await self._read(request), request)
        await response(scope, receive, send)

    async def _read(self, request: Request) -> Any:
        """The body. Raises RequestValidationError, with places below `body` as FastAPI has them."""
        try:
            return self._body.validate_json(await request.body())
        except ValidationError as error:
            problems = error.errors(include_url=False, include_context=False, include_input=False)
            raise RequestValidationError(
                [problem | {"loc": ("body", *problem["loc"])} for problem in problems]
            ) from error
        except ClientDisconnect as error:
            raise HTTPException(400, "the body ends early") from error
