"""The ASGI application of a Bento: middleware, endpoints, and errors as JSON."""

from html import escape
from typing import Any, cast

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse
from starlette.types import Scope

from services.api import routes, transfer_routes
from services.api.middleware import (
    AuthMiddleware,
    JsonOnlyMiddleware,
    RequestMiddleware,
    ShopMiddleware,
    is_own_machine,
)
from services.api.openapi import openapi_document
from services.auth.keys import Keyring, KeyScope
from services.auth.limits import BodyLimit, RequestLimits
from services.recommend.surfaces import refusal_of
from services.schemas import ErrorCode, Problem
from services.store import StoreError
from services.tenants.background import OverloadError
from services.tenants.shops import Shops
from tierrec_core.base.errors import TierRecError

_DESCRIPTION = "Lists for every surface of a shop, in real time. Send what happens to /events, and ask /recommend."
_HTTP_CODES = {404: ErrorCode.UNKNOWN_PATH, 405: ErrorCode.METHOD_NOT_ALLOWED}
_PUBLIC_PATHS = frozenset({"/", "/docs.json", "/healthz/store", "/metrics"})


def configure_app(app: FastAPI, shops: Shops, limits: RequestLimits) -> None:
    """Add the endpoints, the error handlers and the middleware; the middleware added last runs first."""
    app.title, app.description = "tierrec", _DESCRIPTION
    routers = (routes.lists, routes.posts, routes.users, routes.experiments, transfer_routes.router, routes.service)
    for router in routers:
        app.router.routes.extend(router.routes)  # include_router would build each route a second time
    app.add_route("/", lambda _: _index(_document(app, shops)), include_in_schema=False)
    app.add_route("/docs.json", lambda _: JSONResponse(_document(app, shops)), include_in_schema=False)
    app.add_route("/healthz/store", _store_health, include_in_schema=False)
    app.add_route("/metrics", lambda request: _metrics(shops, request), include_in_schema=False)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(StoreError, _unavailable)
    app.add_exception_handler(OverloadError, _unavailable)
    app.add_exception_handler(TierRecError, _bad_request)
    app.add_middleware(JsonOnlyMiddleware)
    app.add_middleware(BodyLimit, max_bytes=limits.max_body_bytes, streamed=("/import/",))
    app.add_middleware(AuthMiddleware, keyring=_keyring, needs=required_scope, rate=limits.rate(), public=_PUBLIC_PATHS)
    app.add_middleware(ShopMiddleware, shops=shops)
    app.add_middleware(RequestMiddleware, metrics=shops.metrics)


def _document(app: FastAPI, shops: Shops) -> dict[str, Any]:
    """The OpenAPI document, in which a request's task is one that a shop serves."""
    document = openapi_document(app, required_scope)
    served = {task for shop in shops.by_name.values() for task in shop.models.champion.task_configs}
    task = document["components"]["schemas"]["RecommendRequest"]["properties"]["task"]["anyOf"][0]
    if served != set(task["enum"]):
        task["enum"] = sorted(served)
    return document


def _index(document: dict[str, Any]) -> Response:
    """A page that lists the endpoints, without a script and without anything of another host."""
    rows = [
        f"<tr><td>{method.upper()}</td><td><code>{path}</code></td><td>{escape(_summary(operation))}</td></tr>"
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]
    page = f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>{document["info"]["title"]}</title>
<h1>{document["info"]["title"]}</h1><p>{_DESCRIPTION}</p><table>{"".join(rows)}</table>
<p><a href="/docs.json">OpenAPI document</a> &middot; <a href="/metrics">metrics</a></p></html>"""
    return HTMLResponse(page, headers={"content-security-policy": "default-src 'none'; frame-ancestors 'none'"})


def _summary(operation: dict[str, Any]) -> str:
    return str(operation["description"].splitlines()[0])


def _metrics(shops: Shops, request: Request) -> Response:
    """The metrics of all shops, to other machines those of the caller's shop."""
    lines, label = shops.exposition().splitlines(keepends=True), f'shop="{routes.shop_of(request).name}"'
    return PlainTextResponse(
        "".join(line for line in lines if line[0] == "#" or label in line or is_own_machine(request.scope))
    )


def required_scope(method: str, path: str) -> KeyScope:
    """The scope that a key needs for a request."""
    if method == "DELETE" or path.startswith(("/export", "/import")):
        return KeyScope.ADMIN
    if method == "POST" and path in ("/events", "/items", "/users"):
        return KeyScope.WRITE
    return KeyScope.READ


def _keyring(scope: Scope) -> Keyring:
    keyring: Keyring = scope["state"]["shop"].keys.current
    return keyring


async def _invalid_request(_: Request, error: Exception) -> Response:
    """Name the invalid fields, never their values."""
    problems = cast("RequestValidationError", error).errors()
    detail = [{"loc": list(problem["loc"]), "msg": problem["msg"], "type": problem["type"]} for problem in problems]
    first = detail[0] if detail else {"loc": [], "msg": "the body cannot be read"}
    field = ".".join(str(part) for part in first["loc"] if part != "body") or "body"
    return _problem(400, ErrorCode.INVALID_REQUEST, f"{field}: {first['msg']}", detail)


async def _http_error(_: Request, error: Exception) -> Response:
    """Answer an unknown path or method in the shape of all other errors."""
    problem = cast("HTTPException", error)
    code = _HTTP_CODES.get(problem.status_code, ErrorCode.INVALID_REQUEST)
    answer = _problem(problem.status_code, code, problem.detail)
    answer.headers.update(problem.headers or {})
    return answer


async def _bad_request(_: Request, error: Exception) -> Response:
    return _problem(*refusal_of(error))


async def _unavailable(request: Request, error: Exception) -> Response:
    """The store does not answer, or too many requests wait; the log has the reason."""
    request.scope["state"]["reason"] = str(error)
    answer = _problem(*refusal_of(error))
    answer.headers["retry-after"] = "1"
    return answer


async def _store_health(request: Request) -> Response:
    """200 if the shop's store answers; lists are served without it."""
    shop = routes.shop_of(request)
    if await shop.is_store_healthy():
        return JSONResponse({"store": "ok"})
    return await _unavailable(request, StoreError("the store does not answer the probe"))


def _problem(status: int, code: ErrorCode, error: str, detail: list[dict[str, Any]] | None = None) -> Response:
    return JSONResponse(Problem(code=code, error=error, detail=detail or []).model_dump(), status)
