"""ASGI middleware: a body that is not JSON is refused before BentoML tries to read it some other way."""

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from services.schemas import Problem

_JSON = "application/json"


class JsonOnly:
    """Answers 415 to a POST whose content type is given and not JSON; BentoML would end some of these in 500."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        answer: ASGIApp = self.app
        if scope["type"] == "http" and scope["method"] == "POST":
            kind = Headers(scope=scope).get("content-type", _JSON).partition(";")[0].strip().lower()
            if kind != _JSON:
                problem = Problem(error=f"content-type: {kind!r} is not understood; send {_JSON}")
                answer = JSONResponse(problem.model_dump(), status_code=415)
        await answer(scope, receive, send)
