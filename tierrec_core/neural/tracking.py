"""Publishes the metrics of each training epoch to a listener, if one is set; the fit does not depend on it.

Separate from `training_curves`, so that serving does not import TensorBoard or Weights & Biases.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar

Metrics = Mapping[str, float]
MetricListener = Callable[[int, Metrics], None]  # called with an epoch, counted from 1, and its metrics by name

_listener: ContextVar[MetricListener | None] = ContextVar("listener", default=None)


@contextlib.contextmanager
def use_listener(listener: MetricListener) -> Iterator[None]:
    """Send what `record_metrics` records within the context to this listener."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def record_metrics(step: int, metrics: Metrics) -> None:
    """Send the metrics of an epoch, counted from 1, to the current listener, if any."""
    if (listener := _listener.get()) is not None:
        listener(step, metrics)
