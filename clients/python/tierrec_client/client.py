"""The two clients: the same calls over a blocking or an asyncio connection."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import Generic, Self, TypeVar

import httpx

from tierrec_client import calls
from tierrec_client.calls import Call
from tierrec_client.endpoints import Endpoint
from tierrec_client.errors import Backoff, ServiceError, raise_for_status, wrap_request_errors
from tierrec_client.models import EventIn, Imported, ItemIn, UserIn
from tierrec_client.rows import ExportRow
from tierrec_client.streams import ExportStream, ImportBatches

SHOP_HEADER = "X-Tierrec-Shop"
_TIMEOUT_SECONDS = 10.0
_RETRIES = 5

T = TypeVar("T")
H = TypeVar("H", httpx.Client, httpx.AsyncClient)
R = TypeVar("R", bound=ExportRow)
M = TypeVar("M", EventIn, ItemIn, UserIn)


class BaseClient(Generic[H]):
    """The base of both clients: the methods for the endpoints, and the connection to one shop.

    key: an API key, trk_...; shop: the shop's name where the service has several
    timeout: seconds to wait for a connection or for the next part of an answer
    retries: how often an idempotent call is sent again while the service is unavailable
    Methods raise ServiceError, and ValueError (pydantic.ValidationError is one) for invalid arguments.
    """

    recommend = Endpoint(calls.recommend)
    recommend_batch = Endpoint(calls.recommend_batch)
    search = Endpoint(calls.search)
    similar = Endpoint(calls.similar)
    events = Endpoint(calls.events)
    items = Endpoint(calls.items)
    users = Endpoint(calls.users)
    delete_item = Endpoint(calls.delete_item)
    delete_attributes = Endpoint(calls.delete_attributes)
    tier = Endpoint(calls.tier)
    erase = Endpoint(calls.erase)
    explain = Endpoint(calls.explain)
    experiments = Endpoint(calls.experiments)
    info = Endpoint(calls.info)

    _http_client: type[H]

    def __init__(
        self,
        url: str,
        key: str | None = None,
        shop: str | None = None,
        *,
        timeout: float = _TIMEOUT_SECONDS,
        retries: int = _RETRIES,
    ) -> None:
        self._url, self._retries = _checked_url(url), retries
        self._http: H = self._http_client(base_url=url, headers=_headers(key, shop), timeout=timeout)


class Client(BaseClient[httpx.Client]):
    """A blocking client of one shop, to be used in a `with` block. It is thread-safe."""

    _http_client = httpx.Client

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def send(self, call: Call[T]) -> T:
        """Send a call and return its answer, with retries if the call is idempotent."""
        backoff = Backoff(self._retries if call.is_idempotent else 0)
        while True:
            try:
                with wrap_request_errors(self._url):
                    response = self._http.send(call.build_request(self._http))
                return call.parse(response)
            except ServiceError as error:
                time.sleep(backoff.next_delay(error))

    def export(self, row: type[R], *, cursor: int = 0, limit: int | None = None) -> Iterator[R]:
        """Stream the rows of a kind (EventRow, ItemRow, UserRow, ImpressionRow) after a cursor.

        After a broken connection the export continues after the last row received.
        """
        stream = ExportStream(row, cursor, limit, self._retries)
        while not stream.is_done:
            try:
                request = stream.build_request(self._http)
                with wrap_request_errors(self._url), self._stream(request) as response:
                    for chunk in response.iter_bytes():
                        yield from stream.feed(chunk)
                return
            except ServiceError as error:
                time.sleep(stream.backoff.next_delay(error))

    def import_(self, model: type[M], records: Iterable[M]) -> Imported:
        """Store all records of a model (EventIn, ItemIn, UserIn) in batches. It may be repeated safely."""
        batches = ImportBatches(model)
        for record in records:
            if lines := batches.add(record):
                batches.add_answer(self.send(calls.import_lines(batches.kind, lines)))
        if lines := batches.flush():
            batches.add_answer(self.send(calls.import_lines(batches.kind, lines)))
        return batches.total

    @contextlib.contextmanager
    def _stream(self, request: httpx.Request) -> Iterator[httpx.Response]:
        with contextlib.closing(self._http.send(request, stream=True)) as response:
            if not response.is_success:
                response.read()
            raise_for_status(response)
            yield response


class AsyncClient(BaseClient[httpx.AsyncClient]):
    """Client for asyncio with the same methods; iterate over `export` with `async for`. Use it in `async with`."""

    _http_client = httpx.AsyncClient

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def send(self, call: Call[T]) -> T:
        """Send a call and return its answer, with retries if the call is idempotent."""
        backoff = Backoff(self._retries if call.is_idempotent else 0)
        while True:
            try:
                with wrap_request_errors(self._url):
                    response = await self._http.send(call.build_request(self._http))
                return call.parse(response)
            except ServiceError as error:
                await asyncio.sleep(backoff.next_delay(error))

    async def export(self, row: type[R], *, cursor: int = 0, limit: int | None = None) -> AsyncIterator[R]:
        """Stream the rows of a kind after a cursor, as Client.export does."""
        stream = ExportStream(row, cursor, limit, self._retries)
        while not stream.is_done:
            try:
                with wrap_request_errors(self._url):
                    async with self._stream(stream.build_request(self._http)) as response:
                        async for chunk in response.aiter_bytes():
                            for exported in stream.feed(chunk):
                                yield exported
                return
            except ServiceError as error:
                await asyncio.sleep(stream.backoff.next_delay(error))

    async def import_(self, model: type[M], records: Iterable[M] | AsyncIterable[M]) -> Imported:
        """Store all records of a model in batches, as Client.import_ does."""
        batches = ImportBatches(model)
        async for record in _iterate(records):
            if lines := batches.add(record):
                batches.add_answer(await self.send(calls.import_lines(batches.kind, lines)))
        if lines := batches.flush():
            batches.add_answer(await self.send(calls.import_lines(batches.kind, lines)))
        return batches.total

    @contextlib.asynccontextmanager
    async def _stream(self, request: httpx.Request) -> AsyncIterator[httpx.Response]:
        async with contextlib.aclosing(await self._http.send(request, stream=True)) as response:
            if not response.is_success:
                await response.aread()
            raise_for_status(response)
            yield response


async def _iterate(records: Iterable[M] | AsyncIterable[M]) -> AsyncIterator[M]:
    if isinstance(records, AsyncIterable):
        async for record in records:
            yield record
    else:
        for record in records:
            yield record


def _headers(key: str | None, shop: str | None) -> dict[str, str]:
    headers = {"Authorization": key and f"Bearer {key}", SHOP_HEADER: shop}
    return {name: value for name, value in headers.items() if value}


def _checked_url(url: str) -> str:
    with contextlib.suppress(httpx.InvalidURL):
        if httpx.URL(url).scheme in ("http", "https") and httpx.URL(url).host:
            return url
    raise ValueError(f"client: {url!r} is not the URL of a service; wanted http://HOST:PORT")
