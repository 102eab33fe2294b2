"""The ASGI application that the BentoML service mounts: guards, endpoints, and errors as JSON."""

from collections.abc import Mapping
from typing import Any, cast

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from services.api.middleware import JsonOnly
from services.api.routes import experiments, feedback, info, lists, transfer, users
from services.auth.keys import Keyring, KeyScope
from services.auth.limits import AuthMiddleware, BodyLimit, RequestLimits
from services.schemas import Problem
from services.store import StoreError
from services.tenants.shops import DEFAULT, Shops
from tierrec_core.base.errors import TierRecError

SHOP_HEADER = "X-Tierrec-Shop"
_HEADER = SHOP_HEADER.lower().encode()
_DESCRIPTION = (
    "Lists for every surface of a shop, in real time. Send what happens to /events, and ask /recommend."
)
_OPEN = frozenset({"/docs.json", "/metrics"})


class ShopFinder:
    """Puts the shop that a request names into scope["state"]["shop"]; answers 404 to a name that nobody has."""

    def __init__(self, app: ASGIApp, shops: Shops) -> None:
        self.app, self._shops = app, shops

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "http":
            name = next(
                (value.decode("latin-1") for key, value in scope["headers"] if key == _HEADER), DEFAULT
            )
            shop = self._shops.by_name.get(name)
            if shop is None:
                problem = Problem(error=f"{SHOP_HEADER}: there is no shop of this name")
                await JSONResponse(problem.model_dump(), 404)(scope, receive, send)
                return
            scope.setdefault("state", {})["shop"] = shop
        await self.app(scope, receive, send)


def furnish(app: FastAPI, shops: Shops, limits: RequestLimits) -> None:
    """Give the application its endpoints, behind ShopFinder, Guard, BodyLimit and JsonOnly, in this order."""
    app.title, app.description = "tierrec", _DESCRIPTION
    for module in (lists, feedback, users, experiments, transfer, info):
        app.include_router(module.router)
    app.add_route("/docs.json", lambda _: JSONResponse(app.openapi()), include_in_schema=False)
    app.add_route("/metrics", lambda _: PlainTextResponse(shops.exposition()), include_in_schema=False)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _not_offered)
    app.add_exception_handler(StoreError, _unavailable)
    app.add_exception_handler(TierRecError, _refused)
    app.add_middleware(JsonOnly)
    app.add_middleware(BodyLimit, max_bytes=limits.max_body_bytes, streamed=("/import/",))
    app.add_middleware(AuthMiddleware, keyring=_keyring, needs=scope_needed, rate=limits.rate())
    app.add_middleware(ShopFinder, shops=shops)


def scope_needed(method: str, path: str) -> KeyScope | None:
    """What a key must be allowed to do; None for what anybody may read."""
    if path in _OPEN:
        return None
    if method == "DELETE" or path.startswith(("/export", "/import")):
        return KeyScope.ADMIN
    if method == "POST" and path in ("/events", "/items", "/users"):
        return KeyScope.WRITE
    return KeyScope.READ


def _keyring(scope: Scope) -> Keyring:
    ring: Keyring = scope["state"]["shop"].keys()
    return ring


async def _invalid(_: Request, error: Exception) -> Response:
    """Which field is wrong, and how; never what it held."""
    detail = [_without_input(one) for one in cast("RequestValidationError", error).errors()]
    first = detail[0] if detail else {"loc": [], "msg": "the body cannot be read"}
    where = ".".join(str(part) for part in first["loc"] if part != "body") or "body"
    return _problem(400, f"{where}: {first['msg']}", detail)


def _without_input(one: Mapping[str, Any]) -> dict[str, Any]:
    return {"loc": list(one["loc"]), "msg": str(one["msg"]), "type": str(one["type"])}


async def _not_offered(_: Request, error: Exception) -> Response:
    """A path or a method that there is not."""
    problem = cast("HTTPException", error)
    answer = _problem(problem.status_code, problem.detail)
    answer.headers.update(problem.headers or {})
    return answer


async def _refused(_: Request, error: Exception) -> Response:
    return _problem(400, str(error))


async def _unavailable(_: Request, __: Exception) -> Response:
    return _problem(503, "store: does not answer; send the request again")


def _problem(status: int, error: str, detail: list[dict[str, Any]] | None = None) -> Response:
    return JSONResponse(Problem(error=error, detail=detail or []).model_dump(), status)
