"""What a client raises: the service refused, or did not answer; and when it is worth another try."""

import contextlib
import random
from collections.abc import Iterator

import httpx
from pydantic import ValidationError

from services.schemas import Problem
from tierrec_core.base.errors import TierRecError

_UNAVAILABLE = 503
_FIRST_PAUSE_SECONDS = 0.1


class ServiceError(TierRecError):
    """The service refused a request, or gave no answer that can be read.

    status: of the answer; None where none came
    problem: what is wrong, and with which field
    """

    def __init__(self, status: int | None, problem: Problem) -> None:
        super().__init__(f"{'no answer' if status is None else status}: {problem.error}")
        self.status, self.problem = status, problem

    @property
    def is_passing(self) -> bool:
        """Whether the same request may well be answered in a moment."""
        return self.status in (None, _UNAVAILABLE)


class Pauses:
    """How long to wait before a request is sent again: 0.1 s, then twice as long each time.

    Up to a half of it is left out by chance, lest many clients come back at once.
    """

    def __init__(self, retries: int) -> None:
        self._retries, self._failures = retries, 0

    def after(self, error: ServiceError) -> float:
        """Seconds to wait. Raises the error when there is no hope or no try left."""
        if not error.is_passing or self._failures >= self._retries:
            raise error
        self._failures += 1
        return _FIRST_PAUSE_SECONDS * 2.0 ** (self._failures - 1) * random.uniform(0.5, 1.0)  # noqa: S311

    def reset(self) -> None:
        """Something came: count failures anew."""
        self._failures = 0


@contextlib.contextmanager
def telling(url: str) -> Iterator[None]:
    """Turn what httpx says about a connection into a ServiceError."""
    try:
        yield
    except httpx.RequestError as error:
        reason = str(error) or type(error).__name__
        raise ServiceError(None, Problem(error=f"{url}: {reason}; see that the service runs")) from error


def check(response: httpx.Response) -> None:
    """Raise ServiceError unless the answer, which has been read, is one of success."""
    if response.is_success:
        return
    try:
        problem = Problem.model_validate_json(response.content)
    except ValidationError:
        problem = Problem(error=response.text[:200] or response.reason_phrase)
    raise ServiceError(response.status_code, problem)
