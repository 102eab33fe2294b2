"""What a caller may ask of the service: limits on size and rate, and who may do what; pure ASGI middleware."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from pydantic import PositiveFloat, PositiveInt
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.auth.keys import LOCAL, Keyring, KeyScope, Principal, is_loopback
from services.schemas import Problem
from tierrec_core.settings import Params

_MAX_CALLERS = 10_000
_is_loopback = lru_cache(1024)(is_loopback)


class RequestLimits(Params):
    """Bounds beside those of the schemas; the rate and burst hold for each key in each worker (None: no limit)."""

    max_body_bytes: PositiveInt = 1 << 20
    requests_per_second: PositiveFloat | None = None
    burst: PositiveInt = 50

    def rate(self) -> "Rate | None":
        """The limiter that these settings want."""
        return None if self.requests_per_second is None else Rate(self.requests_per_second, self.burst)


class Rate:
    """A token bucket for each caller, kept as the moment when it will be full again (GCRA: one number a caller).

    The callers seen longest ago are forgotten, which fills their buckets.
    """

    def __init__(
        self,
        per_second: float,
        burst: int,
        clock: Callable[[], float] = time.monotonic,
        max_callers: int = _MAX_CALLERS,
    ) -> None:
        self._cost, self._depth = 1 / per_second, burst / per_second
        self._clock, self._max_callers = clock, max_callers
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def take(self, caller: str) -> float:
        """Take a token. 0: it was there; else the seconds until there is one."""
        now = self._clock()
        full_at = max(self._full_at.get(caller, now), now) + self._cost
        wait = full_at - now - self._depth
        if wait > self._cost * 1e-9:  # what rounding may do to a bucket that is just full enough
            return wait
        self._full_at[caller] = full_at
        self._full_at.move_to_end(caller)
        if len(self._full_at) > self._max_callers:
            self._full_at.popitem(last=False)
        return 0.0


@dataclass(frozen=True)
class _Refusal:
    """An answer that is no answer: its status, why, and further headers."""

    status: int
    error: str
    headers: tuple[tuple[str, str], ...] = ()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        problem = Problem(error=self.error)
        answer = JSONResponse(problem.model_dump(), status_code=self.status, headers=dict(self.headers))
        await answer(scope, receive, send)


class BodyLimit:
    """Answers 413 to a body that is too long: before it is read where its length is told, or else on the way.

    streamed: beginnings of paths whose bodies are read piece by piece, and so may have any length
    """

    def __init__(self, app: ASGIApp, max_bytes: int, streamed: tuple[str, ...] = ()) -> None:
        self.app, self.max_bytes, self._streamed = app, max_bytes, streamed
        self._refusal = _Refusal(413, f"body: is longer than {max_bytes} bytes; send less at a time")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http" or (self._streamed and scope["path"].startswith(self._streamed)):
            await self.app(scope, receive, send)
            return
        told = _told_length(scope)
        if told is None:
            await self._count(scope, receive, send)
        elif told > self.max_bytes:
            await self._refusal(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _count(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the body through piece by piece; when it gets too long, refuse, and tell the app that nobody is there."""
        num_bytes, is_answered, is_refused = 0, False, False

        async def counted() -> Message:
            nonlocal num_bytes, is_refused
            message = await receive()
            num_bytes += len(message.get("body", b""))
            if num_bytes <= self.max_bytes:
                return message
            if not (is_answered or is_refused):
                is_refused = True
                await self._refusal(scope, receive, send)
            return {"type": "http.disconnect"}

        async def unless_refused(message: Message) -> None:
            nonlocal is_answered
            if not is_refused:
                is_answered = True
                await send(message)

        try:
            await self.app(scope, counted, unless_refused)
        except Exception:
            if not is_refused:
                raise


class AuthMiddleware:
    """Answers 401, 403 and 429: a caller needs a key, the scope for what they ask, and a token of their bucket.

    keyring: the keys that count for a request; needs: the scope that a method and path want, None = no key.
    Who asks is put into scope["state"]["principal"]. Where no key is configured, only this machine is answered.
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
        next_: ASGIApp = self.app
        if scope["type"] == "http":
            need = self._needs(scope["method"], scope["path"])
            if need is not None:
                next_ = self._judge(scope, need) or self.app
        await next_(scope, receive, send)

    def _judge(self, scope: Scope, need: KeyScope) -> _Refusal | None:
        ring = self._keyring(scope)
        principal = _local(scope) if ring.open else ring.authenticate(_header(scope, b"authorization"))
        if principal is None and ring.open:
            return _Refusal(403, "key: none is configured, so only this machine is answered; add one")
        if principal is None:
            error = "key: is missing, unknown or expired; send Authorization: Bearer trk_..."
            return _Refusal(401, error, (("www-authenticate", "Bearer"),))
        if need not in principal.scopes:
            return _Refusal(403, f"key: {principal.key_id} lacks the scope {need.value!r}")
        wait = 0.0 if self._rate is None else self._rate.take(principal.key_id)
        if wait:
            after = (("retry-after", str(math.ceil(wait))),)
            return _Refusal(429, f"rate: key {principal.key_id} asks too often; wait {wait:.3f} s", after)
        scope.setdefault("state", {})["principal"] = principal
        return None


def _local(scope: Scope) -> Principal | None:
    """Everything is allowed to this machine, which a socket without an address is, too."""
    client = scope.get("client")
    return LOCAL if client is None or _is_loopback(client[0]) else None


def _header(scope: Scope, name: bytes) -> str | None:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), None)


def _told_length(scope: Scope) -> int | None:
    """The length that the headers tell; None when the body must be counted."""
    told = None
    for key, value in scope["headers"]:
        if key == b"transfer-encoding":
            return None
        if key == b"content-length":
            told = int(value) if value.isdigit() else None
    return told
