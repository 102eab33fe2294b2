"""What a training loop tells of each epoch, to whoever listens; without a listener nothing is done.

Figures are only watched: a fit gives the same bytes with and without them. Who listens, and with which vendor, is said
in `curves`, which serving never needs.
"""

import contextlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Protocol

Figures = Mapping[str, float]


class MetricListener(Protocol):
    """Where figures go."""

    def write(self, step: int, figures: Figures) -> None:
        """Figures by their names as of an epoch, counted from 1."""
        ...


_listener: ContextVar[MetricListener | None] = ContextVar("listener", default=None)


@contextlib.contextmanager
def told_to(listener: MetricListener) -> Iterator[None]:
    """Inside, `record` tells this listener."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def record(step: int, figures: Figures) -> None:
    """Figures by their names as of an epoch, counted from 1, for whoever listens."""
    if (listener := _listener.get()) is not None:
        listener.write(step, figures)
