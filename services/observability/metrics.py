"""Prometheus metrics: requests, latency, fallbacks, diversity, the served models and the store's lag."""

import contextlib
import os
from collections.abc import Iterable
from functools import lru_cache, partial
from pathlib import Path

import psutil
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from services.names import STRATEGIES, SURFACES
from tierrec_core.base.contracts import EVENT_NAMES

OTHER = "other"
STATUSES = ("200", "202", "400", "401", "403", "404", "405", "413", "415", "422", "429", "500", "503", "504")
_SECONDS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.007, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0)
_SHARES = tuple(step / 10 for step in range(1, 11))
_FOLDER = "PROMETHEUS_MULTIPROC_DIR"


class BoundedLabel:
    """Limits the values of a label: those of `known` and the first `max_others` others; further ones become `other`."""

    def __init__(self, known: Iterable[str] = (), max_others: int = 0) -> None:
        self._known = {*known, OTHER}
        self._max_values = len(self._known) + max_others

    def __call__(self, value: object) -> str:
        """The value if the label may take it, else `other`."""
        text = str(value)
        if text not in self._known and len(self._known) >= self._max_values:
            return OTHER
        self._known.add(text)
        return text


class ServiceMetrics:
    """The collectors of one process in the given registry, shared by its shops. No user or item id becomes a label.

    With PROMETHEUS_MULTIPROC_DIR set, as BentoML does for its workers, values lie in files of that folder and each
    worker exposes those of all.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self.shop = BoundedLabel(max_others=100)
        self.surface, self.strategy = BoundedLabel(SURFACES), BoundedLabel(STRATEGIES)
        self.status, self.outcome = BoundedLabel(STATUSES), BoundedLabel(("accepted", "duplicate", "rejected"))
        self.reason, self.result = BoundedLabel(max_others=20), BoundedLabel(max_others=10)
        self.endpoint = BoundedLabel(max_others=100)
        self.event, self.role = BoundedLabel(EVENT_NAMES), BoundedLabel(("champion", "challenger"))
        self.bento, self.version = BoundedLabel(max_others=200), BoundedLabel(max_others=200)
        self._define()
        remove_dead_workers()

    def for_shop(self, shop: str) -> "ShopMetrics":
        """The metrics of one shop."""
        return ShopMetrics(self, self.shop(shop))

    def count_response(self, shop: str, endpoint: str, status: int) -> None:
        """Count a response. shop, endpoint: `other` for an unknown shop and path; endpoint: its path, unfilled."""
        self.responses.labels(self.shop(shop), self.endpoint(endpoint), self.status(status)).inc()

    def exposition(self) -> str:
        """All metrics in Prometheus' text format; with several workers, their sum and BentoML's own metrics."""
        if _FOLDER not in os.environ:
            return generate_latest(self._registry).decode()
        remove_dead_workers()
        all_workers = CollectorRegistry()
        MultiProcessCollector(all_workers)  # type: ignore[no-untyped-call]
        return generate_latest(all_workers).decode()

    def _define(self) -> None:
        counter = partial(Counter, namespace="tierrec", registry=self._registry)
        gauge = partial(Gauge, namespace="tierrec", registry=self._registry, multiprocess_mode="livemax")
        histogram = partial(Histogram, namespace="tierrec", registry=self._registry)
        labels = ("shop", "surface", "path")
        self.requests = counter("requests", "Requests answered.", (*labels, "status"))
        response_labels = ("shop", "endpoint", "status")
        self.responses = counter("responses", "Responses of every endpoint, errors among them.", response_labels)
        self.batch_results = counter("batch_results", "Results of batches of lists.", ("shop", "status"))
        self.seconds = histogram("request_seconds", "Time to answer.", labels, buckets=_SECONDS)
        diversity = "Distinct categories in a list over its length."
        self.diversity = histogram("list_diversity", diversity, labels[:2], buckets=_SHARES)
        fallback_labels = ("shop", "surface", "from", "to", "reason")
        self.fallbacks = counter("fallbacks", "Lists that a worse strategy ranked.", fallback_labels)
        self.events = counter("events", "Events posted.", ("shop", "event", "status"))
        self.dropped = counter("impressions_dropped", "Impressions that were not stored.", ("shop",))
        self.skipped = counter(
            "skipped_rows", "Stored rows, and attributes of items, that cannot be applied.", ("shop", "kind")
        )
        self.swaps = counter("swaps", "Reloads of models and configuration while serving.", ("shop", "result"))
        model_labels = ("shop", "bento", "model_version", "role")
        self.model = gauge("model_info", "1 while a worker serves the model.", model_labels)
        self.lag = gauge("store_lag_seconds", "Age of the oldest queued write.", ("shop",))
        self.queue = gauge("store_queue", "Queued writes.", ("shop",), multiprocess_mode="livesum")


class ShopMetrics:
    """The metrics of one shop; safe to use from several threads."""

    def __init__(self, metrics: ServiceMetrics, shop: str) -> None:
        self._all, self._shop = metrics, shop
        self._models: dict[str, Gauge] = {}
        self._of_lists = lru_cache(256)(self._children)  # to look a child up takes as long as to change it

    def observe_request(
        self, surface: str, strategy: str, status: int, seconds: float, distinct_share: float | None = None
    ) -> None:
        """Record one request. distinct_share: distinct categories over list length."""
        labels = (self._shop, self._all.surface(surface), self._all.strategy(strategy))
        requests, durations, diversity = self._of_lists(*labels, self._all.status(status))
        requests.inc()
        durations.observe(seconds)
        if distinct_share is not None:
            diversity.observe(distinct_share)

    def _children(self, *labels: str) -> tuple[Counter, Histogram, Histogram]:
        """The count, time and diversity of lists with these labels: shop, surface, path and status."""
        seconds, diversity = self._all.seconds.labels(*labels[:3]), self._all.diversity.labels(*labels[:2])
        return self._all.requests.labels(*labels), seconds, diversity

    def count_batch_result(self, status: int) -> None:
        """Count a result of a batch of lists, by its own status."""
        self._all.batch_results.labels(self._shop, self._all.status(status)).inc()

    def count_fallback(self, surface: str, failed: str, next_strategy: str, reason: str) -> None:
        """Count a strategy that failed, and the one tried next. reason: the kind of failure, never its message."""
        strategies = self._all.strategy(failed), self._all.strategy(next_strategy)
        labels = (self._shop, self._all.surface(surface), *strategies, self._all.reason(reason))
        self._all.fallbacks.labels(*labels).inc()

    def count_events(self, event: str, status: str, count: int = 1) -> None:
        """Count posted events. status: accepted, duplicate or rejected."""
        self._all.events.labels(self._shop, self._all.event(event), self._all.outcome(status)).inc(count)

    def count_dropped_impressions(self, count: int = 1) -> None:
        """Count impressions that were not stored because the queue was full or the store did not answer."""
        self._all.dropped.labels(self._shop).inc(count)

    def count_skipped(self, kind: str) -> None:
        """Count a stored row, or one attribute of an item, that cannot be applied. kind: events, items or users."""
        self._all.skipped.labels(self._shop, kind).inc()

    def count_swap(self, result: str) -> None:
        """Count a reload of models or configuration, or a failed one."""
        self._all.swaps.labels(self._shop, self._all.result(result)).inc()

    def set_model(self, role: str, bento: str | None, model_version: str = "") -> None:
        """Set the model that this worker serves in a role; None = none."""
        role = self._all.role(role)
        if role in self._models:
            self._models.pop(role).set(0)
        if bento is not None:
            labels = (self._shop, self._all.bento(bento), self._all.version(model_version), role)
            self._models[role] = self._all.model.labels(*labels)
            self._models[role].set(1)

    def set_store_lag(self, lag_seconds: float, num_queued: int) -> None:
        """Set how far this worker's writes to the store are behind."""
        self._all.lag.labels(self._shop).set(lag_seconds)
        self._all.queue.labels(self._shop).set(num_queued)


def remove_dead_workers() -> None:
    """Remove the gauges of workers that were killed; their counters stay, since counters must not decrease."""
    if folder := os.environ.get(_FOLDER):
        names = {path.stem.rpartition("_")[2] for path in Path(folder).glob("gauge_live*_*.db")}
        for pid in (int(name) for name in names if name.isdigit()):
            if not psutil.pid_exists(pid):
                with contextlib.suppress(FileNotFoundError):  # another worker removed them first
                    mark_process_dead(pid, folder)  # type: ignore[no-untyped-call]
