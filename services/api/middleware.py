"""ASGI middleware: names, counts and logs requests, selects the shop, authenticates, refuses what is not JSON."""

import asyncio
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from functools import lru_cache, partial
from time import perf_counter
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.auth.keys import LOCAL, Keyring, KeyScope, is_loopback
from services.auth.limits import Rate, Refusal
from services.observability.access_log import start_request
from services.observability.metrics import OTHER, ServiceMetrics
from services.schemas import ErrorCode
from services.tenants.shop import Shop
from services.tenants.shops import DEFAULT, Shops

SHOP_HEADER, REQUEST_HEADER = "X-Tierrec-Shop", "X-Request-Id"
_JSON, _NDJSON = "application/json", "application/x-ndjson"
_ANSWER_SECONDS = 25.0  # BentoML's limit is above it, and its answer to a late request is not ours
_AGAIN = (("retry-after", "1"),)
_LATE = Refusal(504, ErrorCode.TIMEOUT, "service: the answer takes too long; send the request again", _AGAIN)
_NO_KEY = Refusal(
    401,
    ErrorCode.UNAUTHENTICATED,
    "key: is missing, unknown or expired; send Authorization: Bearer trk_...",
    (("www-authenticate", "Bearer"),),
)
_OTHER_PAGE = Refusal(
    403,
    ErrorCode.FOREIGN_PAGE,
    "host: without a key only requests to localhost, by no page of another site, are answered",
)
_FAILED = Refusal(
    500, ErrorCode.INTERNAL_ERROR, "service: an error that is in its log under this answer's X-Request-Id"
)
_CONVERTOR = re.compile(r":\w+}")
_is_loopback = lru_cache(1024)(is_loopback)


class RequestMiddleware:
    """Gives each request an id, which its answer and its log lines name, and counts and logs its status.

    An answer that has not begun within `seconds` becomes 504, an exception 500.
    """

    def __init__(self, app: ASGIApp, metrics: ServiceMetrics, seconds: float = _ANSWER_SECONDS) -> None:
        self.app, self._metrics, self._seconds = app, metrics, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and log it once it is answered."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status, start, request_id, limit = 0, perf_counter(), start_request(), asyncio.timeout(self._seconds)
        state = scope.setdefault("state", {})

        async def send_named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                if not (status or state.get("reason")):
                    limit.reschedule(None)
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_HEADER] = request_id
            await send(message)

        try:
            async with limit:
                await self.app(scope, receive, send_named)
        except Exception as error:
            if shop := state.get("shop"):
                shop.request_log.failure(None, None, part="request")
            if status:
                raise  # the server closes the connection, so that nobody takes the answer for complete
            state["reason"] = type(error).__name__
            await (_LATE if isinstance(error, TimeoutError) else _FAILED)(scope, receive, send_named)
        finally:
            self._record(scope, status, perf_counter() - start)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        state = scope["state"]
        shop: Shop | None = state.get("shop")
        self._metrics.count_response(OTHER if shop is None else shop.name, _endpoint(scope), status)
        if shop is not None:
            principal = state.get("principal")
            fields = {"key_id": principal.key_id if principal else None, "reason": state.get("reason")}
            shop.request_log.access(scope["method"], scope["path"], status, seconds, **fields)


class _Gate(ABC):
    """Passes a request on to the app, unless `refusal` refuses it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = await self.refusal(scope) if scope["type"] == "http" else None
        await (refusal or self.app)(scope, receive, send)

    @abstractmethod
    async def refusal(self, scope: Scope) -> Refusal | None:
        """The answer that ends the request, if any."""


class ShopMiddleware(_Gate):
    """Puts the shop that a header names, as of now, into scope["state"]["shop"].

    Answers 404 to an unknown name; where there are keys, and to other machines, the same as to a wrong key, so that
    names cannot be tried.
    """

    def __init__(self, app: ASGIApp, shops: Shops) -> None:
        super().__init__(app)
        self._shops = shops

    async def refusal(self, scope: Scope) -> Refusal | None:
        """The answer if there is no such shop."""
        shop = self._shops.by_name.get(Headers(scope=scope).get(SHOP_HEADER, DEFAULT))
        if shop is None:
            is_open = _is_local(scope) and all(shop.keys.current.open for shop in self._shops.by_name.values())
            unknown = Refusal(404, ErrorCode.UNKNOWN_SHOP, f"{SHOP_HEADER}: there is no shop of this name")
            return unknown if is_open else _NO_KEY
        scope.setdefault("state", {})["shop"] = shop
        await shop.catch_up()
        return None


class AuthMiddleware(_Gate):
    """Answers 401, 403 and 429: a request needs a key, the scope for it, and a token of the rate limit.

    keyring: the keys for a request; needs: the scope that a method and path require; public: paths that need no key
    on this machine. Puts the caller into scope["state"]["principal"]. Without any key, only requests from this machine
    are allowed, and none that a page of another site makes in a browser. scope["state"]["take_token"] takes another
    token, for a request that asks for more than one list, as Rate.take does.
    """

    def __init__(
        self,
        app: ASGIApp,
        keyring: Callable[[Scope], Keyring],
        needs: Callable[[str, str], KeyScope],
        rate: Rate | None = None,
        public: Collection[str] = (),
    ) -> None:
        super().__init__(app)
        self._keyring, self._needs, self._rate, self._public = keyring, needs, rate, public

    async def refusal(self, scope: Scope) -> Refusal | None:
        """The answer if the caller may not make this request now."""
        keyring, headers = self._keyring(scope), Headers(scope=scope)
        if scope["path"] in self._public and is_own_machine(scope):
            return None
        principal = keyring.authenticate(headers.get("authorization"))
        if principal is None and keyring.open and _is_local(scope):
            if not _is_own_page(headers):
                return _OTHER_PAGE
            principal = LOCAL
        if principal is None:
            return _NO_KEY
        required = self._needs(scope["method"], scope["path"])
        if required not in principal.scopes:
            found = f"{principal.key_id} lacks" if principal is not LOCAL else "none is configured; this request needs"
            return Refusal(403, ErrorCode.MISSING_SCOPE, f"key: {found} the scope {required.value!r}")
        take = partial(self._rate.take, principal.key_id) if self._rate else float
        scope.setdefault("state", {})["take_token"] = take
        if wait := take():
            after = (("retry-after", str(math.ceil(wait))),)
            text = f"rate: key {principal.key_id} asks too often; wait {wait:.3f} s"
            return Refusal(429, ErrorCode.RATE_LIMITED, text, after)
        scope["state"]["principal"] = principal
        return None


class JsonOnlyMiddleware(_Gate):
    """Answers 415 to a POST with a content type other than JSON, or JSON lines for an import.

    A form of another site sends none of these, and `bentoml serve` would answer some other types with 500.
    """

    async def refusal(self, scope: Scope) -> Refusal | None:
        """The answer to a POST of another type."""
        expected = _NDJSON if scope["path"].startswith("/import/") else _JSON
        media_type = Headers(scope=scope).get("content-type", "").partition(";")[0].strip().lower()
        if scope["method"] != "POST" or media_type == expected:
            return None
        text = f"content-type: {media_type!r} is not understood; send {expected}"
        return Refusal(415, ErrorCode.UNSUPPORTED_MEDIA_TYPE, text)


def is_own_machine(scope: Scope) -> bool:
    """Whether the request is from this machine, to it by its own name, and by no page of another site."""
    return _is_local(scope) and _is_own_page(Headers(scope=scope))


def _is_local(scope: Scope) -> bool:
    """Whether the request is from this machine, Unix sockets included."""
    client = scope.get("client")
    return client is None or _is_loopback(client[0])


def _is_own_page(headers: Headers) -> bool:
    """Whether the host is this machine's, and the page that asks, if one does, of the same host and port.

    Else any page could ask: by a name that it has resolve to this machine (DNS rebinding), or by a form.
    """
    host, origin = headers.get("host", ""), headers.get("origin")
    return _is_loopback(_hostname(host)) and origin in (None, f"http://{host}", f"https://{host}")


def _hostname(host: str) -> str:
    """Without the port; empty if it is none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _endpoint(scope: Scope) -> str:
    """The path of the route that answers the request, with its parameters unfilled; `other` if there is none."""
    route = scope.get("route")
    if route is None:  # refused before it was routed
        routes = scope["app"].routes if "app" in scope else ()
        route = next((route for route in routes if route.matches(scope)[0] is not Match.NONE), None)
    return _CONVERTOR.sub("}", str(getattr(route, "path", OTHER)))
