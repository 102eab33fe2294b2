"""Endpoints that export and import users, items, events and impressions as streams."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from services import feedback
from services.api.routes import REFUSALS, operation_id, shop_of
from services.store import Acknowledged, StoreError
from services.store.export import Kind
from services.tenants.background import Bulkhead, OverloadError
from services.transfer.exporting import GROUP_ROWS, ExportRange, Format, export_pages, json_lines, stream_parquet
from services.transfer.importing import BATCH_LINES, ImportSession, LineSplitter, NumberedLine
from services.transfer.records import NDJSON, Importable, Imported

CURSOR_HEADER = "X-Tierrec-Cursor"
PARQUET = "application/vnd.apache.parquet"
_PARQUET_ROWS = 1_000_000
_MAX_CURSOR = (1 << 63) - 1
_POSTS: Mapping[Importable, Callable[..., Acknowledged]] = {
    "events": feedback.post_events,
    "items": feedback.post_items,
    "users": feedback.post_users,
}
_EXPORTED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The rows, oldest first. A line of JSON has its own cursor in the field _cursor.",
        "content": {
            NDJSON: {"schema": {"type": "string"}},
            PARQUET: {"schema": {"type": "string", "format": "binary"}},
        },
        "headers": {
            CURSOR_HEADER: {"description": "The cursor behind all of these rows.", "schema": {"type": "integer"}}
        },
    }
}
_IMPORTED = {
    "requestBody": {
        "required": True,
        "description": "An EventIn, ItemIn or UserIn a line.",
        "content": {NDJSON: {"schema": {"type": "string"}}},
    }
}

router = APIRouter(tags=["transfer"], responses=REFUSALS, generate_unique_id_function=operation_id)


@router.get("/export/{kind}", name="export", response_class=StreamingResponse, responses=_EXPORTED)
async def _export(
    request: Request,
    kind: Kind,
    form: Annotated[Format, Query(alias="format")] = "jsonl",
    cursor: Annotated[int, Query(ge=0, le=_MAX_CURSOR, description="Go on behind this row.")] = 0,
    limit: Annotated[
        int | None, Query(ge=1, le=_MAX_CURSOR, description="Rows at most; of Parquet 1,000,000 if unset.")
    ] = None,
) -> Response:
    """What the store holds, as lines that /import reads again; rows that come meanwhile are left to the next export."""
    shop = shop_of(request)
    store = shop.store
    if form == "parquet":
        limit = limit or _PARQUET_ROWS
    rows = await shop.reads.run(ExportRange.find, store, kind, cursor, limit)
    if form == "parquet":
        body = stream_parquet(kind, export_pages(store, rows, GROUP_ROWS))
    else:
        body = map(json_lines, export_pages(store, rows))
    return StreamingResponse(
        _in_threads(shop.reads, body),
        media_type=PARQUET if form == "parquet" else NDJSON,
        headers={CURSOR_HEADER: str(rows.last), "Content-Disposition": f'attachment; filename="{kind}.{form}"'},
    )


@router.post("/import/{kind}", name="import", response_model=Imported, openapi_extra=_IMPORTED)
async def _import(
    request: Request,
    kind: Importable,
    skip: Annotated[int, Query(ge=0, le=_MAX_CURSOR, description="Pass over this many lines.")] = 0,
    strict: Annotated[bool, Query(description="Stop at the first bad line; those before it are kept.")] = False,
) -> Response:
    """Keep one record a line, a thousand in one transaction. The same body again does no harm."""
    shop = shop_of(request)
    post, writes = partial(_POSTS[kind], shop), shop.item_writes if kind == "items" else shop.writes
    session = ImportSession(kind, post, strict=strict, resume_from=Imported(lines=skip))
    batches = _batches(request)
    async for lines in batches:
        await writes.run(session.add_lines, lines)
        break
    return _ImportResponse(session, batches, writes)


class _ImportResponse(Response):
    """Answers an import at its end; until then it sends white space, so that the connection does not time out."""

    def __init__(self, session: ImportSession, batches: AsyncIterator[list[NumberedLine]], writes: Bulkhead) -> None:
        super().__init__(media_type="application/json")
        del self.headers["content-length"]
        self._session, self._batches, self._writes = session, batches, writes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive  # the batches read the body
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async for lines in self._batches:
            await send({"type": "http.response.body", "body": b" ", "more_body": True})
            try:
                await self._writes.run(self._session.add_lines, lines)
            except (OverloadError, StoreError):
                self._session.stop("store: does not answer")
        answer = self._session.result.model_dump_json().encode()
        await send({"type": "http.response.body", "body": answer})


async def _in_threads(pool: Bulkhead, chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """The chunks, each made in a thread of the pool."""
    while (chunk := await pool.run(next, chunks, None)) is not None:
        yield chunk


async def _batches(request: Request) -> AsyncIterator[list[NumberedLine]]:
    """The lines of the body in batches; the last, partial batch is dropped if the client disconnects."""
    splitter, pending = LineSplitter(), list[NumberedLine]()
    try:
        async for chunk in request.stream():
            pending += splitter.feed(chunk)
            num_full = len(pending) // BATCH_LINES * BATCH_LINES
            if num_full:
                yield pending[:num_full]
                del pending[:num_full]
    except ClientDisconnect:
        return
    yield pending + splitter.end()
