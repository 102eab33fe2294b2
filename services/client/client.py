"""The two clients: the same calls, sent over a connection that blocks, or over one that is awaited."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import Self, TypeVar

import httpx

from services.client import calls
from services.client.calls import Call
from services.client.endpoints import AsyncEndpoint, Endpoint
from services.client.errors import Pauses, ServiceError, check, telling
from services.client.streams import Export, Import
from services.schemas import EventIn, ItemIn, UserIn
from services.transfer.records import Imported, TransferRow
from tierrec_core.base.errors import DataError

SHOP_HEADER = "X-Tierrec-Shop"
_TIMEOUT_SECONDS = 10.0
_RETRIES = 5

T = TypeVar("T")
R = TypeVar("R", bound=TransferRow)
M = TypeVar("M", EventIn, ItemIn, UserIn)


class Client:
    """Asks one shop of a service. Use it in a `with` block; any thread may call any method.

    key: an API key, trk_...; shop: the shop's name where the service has several
    timeout: seconds to wait for a connection or for the next part of an answer
    retries: how often a call is sent again when the service is away; never one that is not the same done twice
    Methods raise ServiceError, and ValidationError for fields that no request has. A URL that is none: DataError.
    """

    recommend = Endpoint(calls.recommend)
    search = Endpoint(calls.search)
    similar = Endpoint(calls.similar)
    events = Endpoint(calls.events)
    items = Endpoint(calls.items)
    users = Endpoint(calls.users)
    tier = Endpoint(calls.tier)
    erase = Endpoint(calls.erase)
    explain = Endpoint(calls.explain)
    experiments = Endpoint(calls.experiments)
    info = Endpoint(calls.info)

    def __init__(
        self,
        url: str,
        key: str | None = None,
        shop: str | None = None,
        *,
        timeout: float = _TIMEOUT_SECONDS,
        retries: int = _RETRIES,
    ) -> None:
        self._url, self._retries = _checked(url), retries
        self._http = httpx.Client(base_url=url, headers=_headers(key, shop), timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of all connections."""
        self._http.close()

    def send(self, call: Call[T]) -> T:
        """Send a call until it is answered or there is no hope."""
        pauses = Pauses(self._retries if call.is_repeatable else 0)
        while True:
            try:
                with telling(self._url):
                    response = self._http.send(call.request(self._http))
                return call.read(response)
            except ServiceError as error:
                time.sleep(pauses.after(error))

    def export(self, row: type[R], *, cursor: int = 0, limit: int | None = None) -> Iterator[R]:
        """All rows of a kind (EventRow, ItemRow, UserRow, ImpressionRow) behind a cursor, as they come.

        A connection that breaks is made again, behind the last row.
        """
        rows = Export(row, cursor, limit, self._retries)
        while not rows.is_done:
            try:
                with telling(self._url), self._stream(rows.request(self._http)) as response:
                    for chunk in response.iter_bytes():
                        yield from rows.feed(chunk)
                return
            except ServiceError as error:
                time.sleep(rows.pauses.after(error))

    def import_(self, model: type[M], records: Iterable[M]) -> Imported:
        """Keep all records of a model (EventIn, ItemIn, UserIn). Doing it again does no harm."""
        taken = Import.of(model)
        for record in records:
            if chunk := taken.add(record):
                taken.sent(self.send(calls.import_lines(taken.kind, chunk)))
        if chunk := taken.rest():
            taken.sent(self.send(calls.import_lines(taken.kind, chunk)))
        return taken.answer

    @contextlib.contextmanager
    def _stream(self, request: httpx.Request) -> Iterator[httpx.Response]:
        with contextlib.closing(self._http.send(request, stream=True)) as response:
            if not response.is_success:
                response.read()
            check(response)
            yield response


class AsyncClient:
    """Client for asyncio: the same methods, awaited; export is read with `async for`. Use it in `async with`."""

    recommend = AsyncEndpoint(calls.recommend)
    search = AsyncEndpoint(calls.search)
    similar = AsyncEndpoint(calls.similar)
    events = AsyncEndpoint(calls.events)
    items = AsyncEndpoint(calls.items)
    users = AsyncEndpoint(calls.users)
    tier = AsyncEndpoint(calls.tier)
    erase = AsyncEndpoint(calls.erase)
    explain = AsyncEndpoint(calls.explain)
    experiments = AsyncEndpoint(calls.experiments)
    info = AsyncEndpoint(calls.info)

    def __init__(
        self,
        url: str,
        key: str | None = None,
        shop: str | None = None,
        *,
        timeout: float = _TIMEOUT_SECONDS,
        retries: int = _RETRIES,
    ) -> None:
        self._url, self._retries = _checked(url), retries
        self._http = httpx.AsyncClient(base_url=url, headers=_headers(key, shop), timeout=timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Let go of all connections."""
        await self._http.aclose()

    async def send(self, call: Call[T]) -> T:
        """Send a call until it is answered or there is no hope."""
        pauses = Pauses(self._retries if call.is_repeatable else 0)
        while True:
            try:
                with telling(self._url):
                    response = await self._http.send(call.request(self._http))
                return call.read(response)
            except ServiceError as error:
                await asyncio.sleep(pauses.after(error))

    async def export(self, row: type[R], *, cursor: int = 0, limit: int | None = None) -> AsyncIterator[R]:
        """All rows of a kind behind a cursor, as Client.export."""
        rows = Export(row, cursor, limit, self._retries)
        while not rows.is_done:
            try:
                with telling(self._url):
                    async with self._stream(rows.request(self._http)) as response:
                        async for chunk in response.aiter_bytes():
                            for one in rows.feed(chunk):
                                yield one
                return
            except ServiceError as error:
                await asyncio.sleep(rows.pauses.after(error))

    async def import_(self, model: type[M], records: Iterable[M] | AsyncIterable[M]) -> Imported:
        """Keep all records of a model, as Client.import_."""
        taken = Import.of(model)
        async for record in _each(records):
            if chunk := taken.add(record):
                taken.sent(await self.send(calls.import_lines(taken.kind, chunk)))
        if chunk := taken.rest():
            taken.sent(await self.send(calls.import_lines(taken.kind, chunk)))
        return taken.answer

    @contextlib.asynccontextmanager
    async def _stream(self, request: httpx.Request) -> AsyncIterator[httpx.Response]:
        async with contextlib.aclosing(await self._http.send(request, stream=True)) as response:
            if not response.is_success:
                await response.aread()
            check(response)
            yield response


async def _each(records: Iterable[M] | AsyncIterable[M]) -> AsyncIterator[M]:
    if isinstance(records, AsyncIterable):
        async for record in records:
            yield record
    else:
        for record in records:
            yield record


def _headers(key: str | None, shop: str | None) -> dict[str, str]:
    given = {"Authorization": key and f"Bearer {key}", SHOP_HEADER: shop}
    return {name: value for name, value in given.items() if value}


def _checked(url: str) -> str:
    with contextlib.suppress(httpx.InvalidURL):
        if httpx.URL(url).scheme in ("http", "https") and httpx.URL(url).host:
            return url
    raise DataError(f"client: {url!r} is no address of a service; wanted http://HOST:PORT")
