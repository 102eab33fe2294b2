"""ASGI middleware: a body that is not JSON is refused before BentoML tries to read it some other way."""

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from services.schemas import Problem

_JSON, _NDJSON = "application/json", "application/x-ndjson"


class JsonOnly:
    """Answers 415 to a POST whose content type is given and not JSON; BentoML would end some of these in 500.

    An import is JSON line by line.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        answer: ASGIApp = self.app
        if scope["type"] == "http" and scope["method"] == "POST":
            wanted = _NDJSON if scope["path"].startswith("/import/") else _JSON
            kind = Headers(scope=scope).get("content-type", wanted).partition(";")[0].strip().lower()
            if kind != wanted:
                problem = Problem(error=f"content-type: {kind!r} is not understood; send {wanted}")
                answer = JSONResponse(problem.model_dump(), status_code=415)
        await answer(scope, receive, send)
