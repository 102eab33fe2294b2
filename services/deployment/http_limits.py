"""uvicorn's HTTP/1.1 with limits on what comes beside a body, on waiting requests, and on answers that nobody reads.

uvicorn has no such limits with httptools, whose parser collects a header of any length; with h11, a parser in Python,
it has one for the size.
"""

from asyncio import TimerHandle, Transport
from http import HTTPStatus

import orjson
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from services.schemas import ErrorCode, Problem

MAX_URL_BYTES = 8 * 1024
MAX_HEADERS = 100
MAX_PIPELINED = 32  # requests that wait for the answers to earlier ones
MAX_HEADER_BYTES = 32 * 1024  # of all headers together
_REASONS = {
    HTTPStatus.BAD_REQUEST: (ErrorCode.MALFORMED_HTTP, "request: is not HTTP/1.1; correct it"),
    HTTPStatus.REQUEST_TIMEOUT: (ErrorCode.HEADERS_TIMEOUT, "headers: are not complete in time; send them at once"),
    HTTPStatus.REQUEST_URI_TOO_LONG: (ErrorCode.URL_TOO_LONG, f"url: is longer than {MAX_URL_BYTES} bytes; shorten it"),
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: (
        ErrorCode.HEADERS_TOO_LARGE,
        f"headers: more than {MAX_HEADERS}, or longer than {MAX_HEADER_BYTES} bytes; send less",
    ),
}


class _RefusedError(Exception):
    """Ends the parsing of a request."""


class BoundedHttpProtocol(HttpToolsProtocol):
    """Answers 414, 431 or 408 and closes the connection when a limit is exceeded.

    header_seconds: from the first byte of a request, or from the connection, until its headers are complete
    write_seconds: in which the client must take some bytes of an answer
    """

    header_seconds = 10.0
    write_seconds = 30.0  # the kernel takes some hundred kilobytes from a slow answer at a time

    _timer: TimerHandle | None = None
    _write_timer: TimerHandle | None = None
    _status = HTTPStatus.BAD_REQUEST  # of the answer to what the parser refuses
    _is_in_headers = _is_in_body = False
    _is_refused = False  # after which nothing that comes is parsed
    # the request that the application works on, where `cycle` is the newest
    _active: RequestResponseCycle = None  # type: ignore[assignment]
    _num_parsed = 0  # bytes of the request's headers and trailers that are complete
    _num_received = 0  # bytes that came since the request's begin or the last part of its body

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Start the time for the first request."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)  # writing is paused whenever the client takes less than is written
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the time, and tell the application; uvicorn tells only the newest request."""
        self._stop_timer()
        if self._active is not None:
            self._disconnect(self._active)
        super().connection_lost(exc)
        self.resume_writing()

    def pause_writing(self) -> None:
        """Start the time for the client to take some of what is written."""
        super().pause_writing()
        self._watch_writing()

    def resume_writing(self) -> None:
        """Stop that time."""
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def data_received(self, data: bytes) -> None:
        """Parse what came, and count what is beside a body here, since the parser tells only of whole headers."""
        if self._is_refused:
            return
        self._num_received += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        is_in_request = self._is_in_headers or self._is_in_body
        if is_in_request and self._num_received > MAX_URL_BYTES + MAX_HEADER_BYTES:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        elif self._timer is None and not self._is_answering:  # uvicorn has stopped its own time for idle connections
            self._start_timer()

    def on_message_begin(self) -> None:
        """Start the time for a request."""
        super().on_message_begin()
        self._is_in_headers, self._num_parsed, self._num_received = True, 0, 0
        self._start_timer()

    def on_url(self, url: bytes) -> None:
        """Take a part of the URL."""
        super().on_url(url)
        self._check(HTTPStatus.REQUEST_URI_TOO_LONG, len(self.url) <= MAX_URL_BYTES)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; a trailer is counted and dropped."""
        if not self._is_in_body:
            super().on_header(name, value)
        self._num_parsed += len(name) + len(value)
        is_within = len(self.headers) <= MAX_HEADERS and self._num_parsed <= MAX_HEADER_BYTES
        self._check(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, is_within)

    def on_headers_complete(self) -> None:
        """Stop the time; a request that exceeds the depth of the pipeline, and what follows, is not answered."""
        self._check(HTTPStatus.TOO_MANY_REQUESTS, len(self.pipeline) < MAX_PIPELINED)
        self._is_in_headers, self._is_in_body = False, True
        self._stop_timer()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._num_received = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note the end of a request."""
        self._is_in_body = False
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser, or one of the limits, has refused."""
        del msg
        self._refuse(self._status)

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._active = cycle
        super()._start_asgi_task(cycle, app)

    def _check(self, status: HTTPStatus, is_within: bool) -> None:
        if not is_within:
            self._status = status
            raise _RefusedError

    def _start_timer(self) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(self.header_seconds, self._end_time)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _watch_writing(self, num_before: int | None = None) -> None:
        """End the connection if no byte was taken since there were `num_before` left, and look again later."""
        num_left = self.transport.get_write_buffer_size()
        if num_before is None or num_left < num_before:
            self._write_timer = self.loop.call_later(self.write_seconds, self._watch_writing, num_left)
        else:
            self.transport.abort()

    @staticmethod
    def _disconnect(cycle: RequestResponseCycle) -> None:
        """Tell the application that a request has no client any more; what it sends is dropped."""
        cycle.disconnected = True
        cycle.message_event.set()

    def _end_time(self) -> None:
        """Close the connection, with an answer if a request has begun; wait while an earlier one is answered."""
        if self._is_answering:
            self._start_timer()
        elif self._is_in_headers:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)
        else:
            self.transport.close()

    def _refuse(self, status: HTTPStatus) -> None:
        """Refuse the newest request and close the connection: at once, or after the answers to earlier requests.

        A request whose answer has begun is given no second one; the application gets a disconnect instead of its body.
        """
        self.logger.warning("request refused: %d %s", status, status.phrase)
        self._is_refused = True
        if self._is_in_body and self.cycle is not self._active:  # it waits for earlier ones, and never starts
            self.pipeline.popleft()
            self.cycle = self.pipeline[0][0] if self.pipeline else self._active
        elif self._is_in_body:
            self._disconnect(self.cycle)
            self._close(None if self.cycle.response_started else status)
            return
        if self._is_answering:
            self.cycle.keep_alive = False
        else:
            self._close(status)

    def _close(self, status: HTTPStatus | None) -> None:
        """Close the connection; status: of an answer before that, in the shape of the application's errors."""
        if status is not None:
            code, error = _REASONS[status]
            body = orjson.dumps(Problem(code=code, error=error).model_dump())
            head = (
                f"HTTP/1.1 {status} {status.phrase}\r\ncontent-type: application/json\r\n"
                f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
        self.transport.close()
