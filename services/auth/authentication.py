"""Authentication of requests: a key, the scope that the path needs, and the caller's rate limit."""

import math
from collections.abc import Callable
from functools import lru_cache

from starlette.types import ASGIApp, Receive, Scope, Send

from services.auth.keys import LOCAL, Keyring, KeyScope, Principal, is_loopback
from services.auth.limits import Rate, Refusal

_is_loopback = lru_cache(1024)(is_loopback)


class AuthMiddleware:
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
        self.app = app
        self._keyring, self._needs, self._rate = keyring, needs, rate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        app: ASGIApp = self.app
        if scope["type"] == "http":
            required = self._needs(scope["method"], scope["path"])
            if required is not None:
                app = self._refusal(scope, required) or self.app
        await app(scope, receive, send)

    def _refusal(self, scope: Scope, required: KeyScope) -> Refusal | None:
        keyring = self._keyring(scope)
        principal = _local(scope) if keyring.open else keyring.authenticate(_header(scope, b"authorization"))
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


def _local(scope: Scope) -> Principal | None:
    """The principal with all scopes for requests from this machine, Unix sockets included."""
    client = scope.get("client")
    return LOCAL if client is None or _is_loopback(client[0]) else None


def _header(scope: Scope, name: bytes) -> str | None:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), None)
