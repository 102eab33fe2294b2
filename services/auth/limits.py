"""Limits on the rate and size of requests, and the answer to a request that is refused."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

from pydantic import PositiveFloat, PositiveInt
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.schemas import ErrorCode, Problem
from tierrec_core.settings import Params

_MAX_CALLERS = 10_000


class RequestLimits(Params):
    """Limits in addition to those of the schemas; rate and burst are per key and worker (None: no limit)."""

    max_body_bytes: PositiveInt = 1 << 20
    requests_per_second: PositiveFloat | None = None
    burst: PositiveInt = 50

    def rate(self) -> "Rate | None":
        """The rate limiter with these settings, if there is one."""
        return None if self.requests_per_second is None else Rate(self.requests_per_second, self.burst)


class Rate:
    """A token bucket per caller, stored as the time when it will be full again (GCRA).

    The least recently seen callers are evicted, which fills their buckets. It is thread-safe.
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
        self._lock = Lock()

    def take(self, caller: str) -> float:
        """Take a token, and return 0; if there is none, return the seconds until there is one."""
        now = self._clock()
        with self._lock:
            full_at = max(self._full_at.get(caller, now), now) + self._cost
            wait = full_at - now - self._depth
            if wait > self._cost * 1e-9:  # tolerates rounding errors
                return wait
            self._full_at[caller] = full_at
            self._full_at.move_to_end(caller)
            if len(self._full_at) > self._max_callers:
                self._full_at.popitem(last=False)
        return 0.0


@dataclass(frozen=True)
class Refusal:
    """An error response: status, code, message and headers."""

    status: int
    code: ErrorCode
    error: str
    headers: tuple[tuple[str, str], ...] = ()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the refusal."""
        problem = Problem(code=self.code, error=self.error)
        response = JSONResponse(problem.model_dump(), status_code=self.status, headers=dict(self.headers))
        await response(scope, receive, send)


class BodyLimit:
    """Answers 413 to a body that is too long: before reading it if the headers state its length, else while reading it.

    streamed: prefixes of paths whose bodies are streamed, and so may have any length
    """

    def __init__(self, app: ASGIApp, max_bytes: int, streamed: tuple[str, ...] = ()) -> None:
        self.app, self.max_bytes, self._streamed = app, max_bytes, streamed
        self._refusal = Refusal(
            413, ErrorCode.BODY_TOO_LARGE, f"body: is longer than {max_bytes} bytes; send less at a time"
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http" or (self._streamed and scope["path"].startswith(self._streamed)):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        length = headers.get("content-length", "")
        if "transfer-encoding" in headers or not length.isdecimal():
            await self._count(scope, receive, send)
        elif int(length) > self.max_bytes:
            await self._refusal(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _count(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream the body to the app; once it is too long, answer 413 and signal a disconnect to the app."""
        num_bytes, is_started, is_refused = 0, False, False

        async def counted() -> Message:
            nonlocal num_bytes, is_refused
            message = await receive()
            num_bytes += len(message.get("body", b""))
            if num_bytes <= self.max_bytes:
                return message
            if not (is_started or is_refused):
                is_refused = True
                await self._refusal(scope, receive, send)
            return {"type": "http.disconnect"}

        async def unless_refused(message: Message) -> None:
            nonlocal is_started
            if not is_refused:
                is_started = True
                await send(message)

        try:
            await self.app(scope, counted, unless_refused)
        except Exception:
            if not is_refused:
                raise
