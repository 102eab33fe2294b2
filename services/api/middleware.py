"""ASGI middleware: selects the shop, authenticates the caller, writes the access log, and refuses what is not JSON."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import lru_cache
from time import perf_counter

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.auth.keys import LOCAL, Keyring, KeyScope, Principal, is_loopback
from services.auth.limits import Rate, Refusal
from services.tenants.shop import Shop
from services.tenants.shops import DEFAULT, Shops

SHOP_HEADER = "X-Tierrec-Shop"
_JSON, _NDJSON = "application/json", "application/x-ndjson"
_is_loopback = lru_cache(1024)(is_loopback)


class _Gate(ABC):
    """Passes a request on to the app, unless `refusal` refuses it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self.refusal(scope) if scope["type"] == "http" else None
        await (refusal or self.app)(scope, receive, send)

    @abstractmethod
    def refusal(self, scope: Scope) -> Refusal | None:
        """The answer that ends the request, if any."""


class ShopMiddleware(_Gate):
    """Puts the shop that a header names into scope["state"]["shop"]; answers 404 to an unknown name."""

    def __init__(self, app: ASGIApp, shops: Shops) -> None:
        super().__init__(app)
        self._shops = shops

    def refusal(self, scope: Scope) -> Refusal | None:
        """The answer if there is no such shop."""
        shop = self._shops.by_name.get(Headers(scope=scope).get(SHOP_HEADER, DEFAULT))
        if shop is None:
            return Refusal(404, f"{SHOP_HEADER}: there is no shop of this name")
        scope.setdefault("state", {})["shop"] = shop
        return None


class AuthMiddleware(_Gate):
    """Answers 401, 403 and 429: a request needs a key, the scope for it, and a token of the rate limit.

    keyring: the keys for a request; needs: the scope that a method and path require, None = no key.
    Puts the caller into scope["state"]["principal"]. Without any key, only requests from this machine are allowed.
    """

    def __init__(
        self,
        app: ASGIApp,
        keyring: Callable[[Scope], Keyring],
        needs: Callable[[str, str], KeyScope | None],
        rate: Rate | None = None,
    ) -> None:
        super().__init__(app)
        self._keyring, self._needs, self._rate = keyring, needs, rate

    def refusal(self, scope: Scope) -> Refusal | None:
        """The answer if the caller may not make this request now."""
        required = self._needs(scope["method"], scope["path"])
        if required is None:
            return None
        keyring = self._keyring(scope)
        header = Headers(scope=scope).get("authorization")
        principal = _local(scope) if keyring.open else keyring.authenticate(header)
        if principal is None and keyring.open:
            return Refusal(403, "key: none is configured, so only this machine is answered; add one")
        if principal is None:
            error = "key: is missing, unknown or expired; send Authorization: Bearer trk_..."
            return Refusal(401, error, (("www-authenticate", "Bearer"),))
        if required not in principal.scopes:
            return Refusal(403, f"key: {principal.key_id} lacks the scope {required.value!r}")
        wait = 0.0 if self._rate is None else self._rate.take(principal.key_id)
        if wait:
            after = (("retry-after", str(math.ceil(wait))),)
            return Refusal(429, f"rate: key {principal.key_id} asks too often; wait {wait:.3f} s", after)
        scope.setdefault("state", {})["principal"] = principal
        return None


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


class JsonOnlyMiddleware(_Gate):
    """Answers 415 to a POST with a content type other than JSON, or JSON lines for an import.

    BentoML would answer some of these with 500.
    """

    def refusal(self, scope: Scope) -> Refusal | None:
        """The answer to a POST of another type."""
        expected = _NDJSON if scope["path"].startswith("/import/") else _JSON
        media_type = Headers(scope=scope).get("content-type", expected).partition(";")[0].strip().lower()
        if scope["method"] != "POST" or media_type == expected:
            return None
        return Refusal(415, f"content-type: {media_type!r} is not understood; send {expected}")


def _local(scope: Scope) -> Principal | None:
    """The principal with all scopes for requests from this machine, Unix sockets included."""
    client = scope.get("client")
    return LOCAL if client is None or _is_loopback(client[0]) else None
