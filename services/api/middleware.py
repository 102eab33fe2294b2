"""ASGI middleware: selects the shop, writes the access log, and refuses bodies that are not JSON."""

from time import perf_counter

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.auth.limits import Refusal
from services.tenants.shop import Shop
from services.tenants.shops import DEFAULT, Shops

SHOP_HEADER = "X-Tierrec-Shop"
_HEADER = SHOP_HEADER.lower().encode()
_JSON, _NDJSON = "application/json", "application/x-ndjson"


class ShopMiddleware:
    """Puts the shop that a header names into scope["state"]["shop"]; answers 404 to an unknown name."""

    def __init__(self, app: ASGIApp, shops: Shops) -> None:
        self.app, self._shops = app, shops

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "http":
            name = next((value.decode("latin-1") for key, value in scope["headers"] if key == _HEADER), DEFAULT)
            shop = self._shops.by_name.get(name)
            if shop is None:
                await Refusal(404, f"{SHOP_HEADER}: there is no shop of this name")(scope, receive, send)
                return
            scope.setdefault("state", {})["shop"] = shop
        await self.app(scope, receive, send)


class AccessLogMiddleware:
    """Writes one line per request to the shop's log: method, path, status, duration and the id of the key."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and log it once it is answered."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status, start = 500, perf_counter()

        async def send_and_record(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, send_and_record)
        finally:
            state = scope["state"]
            shop: Shop = state["shop"]
            principal = state.get("principal")
            key_id = principal.key_id if principal else None
            shop.request_log.access(scope["method"], scope["path"], status, perf_counter() - start, key_id=key_id)


class JsonOnlyMiddleware:
    """Answers 415 to a POST with a content type other than JSON, or JSON lines for an import.

    BentoML would answer some of these with 500.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        app: ASGIApp = self.app
        if scope["type"] == "http" and scope["method"] == "POST":
            expected = _NDJSON if scope["path"].startswith("/import/") else _JSON
            media_type = Headers(scope=scope).get("content-type", expected).partition(";")[0].strip().lower()
            if media_type != expected:
                app = Refusal(415, f"content-type: {media_type!r} is not understood; send {expected}")
        await app(scope, receive, send)
