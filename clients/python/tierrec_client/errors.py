"""The client's exception, and the backoff between retries."""

import contextlib
import random
from collections.abc import Iterator

import httpx
from pydantic import ValidationError

from tierrec_client.models import Problem

_FIRST_DELAY_SECONDS = 0.1


class ServiceError(Exception):
    """The service refused a request, or gave no answer that can be parsed.

    status: of the answer; None without an answer
    problem: what is wrong, and with which field
    """

    def __init__(self, status: int | None, problem: Problem) -> None:
        super().__init__(f"{'no answer' if status is None else status}: {problem.error}")
        self.status, self.problem = status, problem

    @property
    def is_transient(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status in (None, httpx.codes.SERVICE_UNAVAILABLE)


class Backoff:
    """Delays between retries: 0.1 s, doubled after each failure, shortened at random by up to a half."""

    def __init__(self, retries: int) -> None:
        self._retries, self._failures = retries, 0

    def next_delay(self, error: ServiceError) -> float:
        """Return the seconds to wait. Raises the error when it is not transient or no retry is left."""
        if not error.is_transient or self._failures >= self._retries:
            raise error
        self._failures += 1
        return _FIRST_DELAY_SECONDS * 2.0 ** (self._failures - 1) * random.uniform(0.5, 1.0)  # noqa: S311

    def reset(self) -> None:
        """Restart the count of failures after a success."""
        self._failures = 0


@contextlib.contextmanager
def wrap_request_errors(url: str) -> Iterator[None]:
    """Convert httpx's errors about a connection into ServiceError."""
    try:
        yield
    except httpx.RequestError as error:
        reason = str(error) or type(error).__name__
        raise ServiceError(None, Problem(error=f"{url}: {reason}; check that the service is running")) from error


def raise_for_status(response: httpx.Response) -> None:
    """Raise ServiceError for a status other than success; the response's content must have been read."""
    if response.is_success:
        return
    try:
        problem = Problem.model_validate_json(response.content)
    except ValidationError:
        problem = Problem(error=response.text[:200] or response.reason_phrase)
    raise ServiceError(response.status_code, problem)
