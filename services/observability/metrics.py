"""What Prometheus is told: requests, latency, fallbacks, diversity, the model being served and the store's lag."""

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, TypeAlias

import psutil
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from services.names import STRATEGIES, SURFACES
from tierrec_core.base.contracts import EVENT_NAMES

OTHER = "other"
STATUSES = ("200", "202", "400", "401", "403", "404", "413", "415", "422", "429", "500", "503", "504")
_SECONDS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.007, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0)
_SHARES = tuple(step / 10 for step in range(1, 11))
_Mode: TypeAlias = Literal["livemax", "livesum"]
_FOLDER = "PROMETHEUS_MULTIPROC_DIR"


class Label:
    """The values that a label may take, a bounded number of them; any further one becomes `other`.

    known pass at once; room is for how many others, first come, first served.
    """

    def __init__(self, known: Iterable[str] = (), room: int = 0) -> None:
        self._known = {*known, OTHER}
        self._room = room

    def __call__(self, value: object) -> str:
        """The value where the label may take it, else `other`."""
        text = str(value)
        if text in self._known:
            return text
        if self._room == 0:
            return OTHER
        self._room -= 1
        self._known.add(text)
        return text


class ServiceMetrics:
    """The collectors of one process in the registry that is handed in; several shops share them.

    With PROMETHEUS_MULTIPROC_DIR in the environment, as BentoML starts its workers, values lie in files of that
    folder and the exposition of any worker tells of all. Never does a user's or an item's id become a label.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._shops: dict[str, ShopMetrics] = {}
        self.shop = Label(room=100)
        self.surface, self.path, self.status = Label(SURFACES), Label(STRATEGIES), Label(STATUSES)
        self.reason, self.result = Label(room=20), Label(room=10)
        self.event, self.outcome = Label(EVENT_NAMES), Label(("accepted", "duplicate", "rejected"))
        self.role, self.bento, self.version = (Label(("champion", "challenger")), Label(room=200), Label(room=200))
        self._define()
        forget_dead_workers()

    def of(self, shop: str) -> "ShopMetrics":
        """The part of one shop; the same object each time."""
        name = self.shop(shop)
        if name not in self._shops:
            self._shops[name] = ShopMetrics(self, name)
        return self._shops[name]

    def exposition(self) -> str:
        """All there is to tell in Prometheus' text format: of several workers, their sum and BentoML's own metrics."""
        if _FOLDER not in os.environ:
            return generate_latest(self._registry).decode()
        forget_dead_workers()
        everyone = CollectorRegistry()
        MultiProcessCollector(everyone)  # type: ignore[no-untyped-call]
        return generate_latest(everyone).decode()

    def _define(self) -> None:
        at = ("shop", "surface", "path")
        self.requests = self._counter("requests", "Requests answered.", (*at, "status"))
        self.seconds = self._histogram("request_seconds", "Time to answer.", at, _SECONDS)
        self.diversity = self._histogram(
            "list_diversity", "Distinct categories in a list over its length.", at[:2], _SHARES
        )
        self.fallbacks = self._counter(
            "fallbacks", "Steps down the ladder.", ("shop", "surface", "from", "to", "reason")
        )
        self.events = self._counter("events", "Events posted.", ("shop", "event", "status"))
        self.dropped = self._counter("impressions_dropped", "Impressions that were not stored.", ("shop",))
        self.swaps = self._counter("swaps", "Changes of the model under load.", ("shop", "result"))
        self.model = self._gauge(
            "model_info", "1 while some worker serves it.", ("shop", "bento", "model_version", "role"), "livemax"
        )
        self.lag = self._gauge("store_lag_seconds", "Age of the oldest write that waits.", ("shop",), "livemax")
        self.queue = self._gauge("store_queue", "Writes that wait.", ("shop",), "livesum")

    def _counter(self, name: str, meaning: str, labels: Iterable[str]) -> Counter:
        return Counter(f"tierrec_{name}", meaning, tuple(labels), registry=self._registry)

    def _gauge(self, name: str, meaning: str, labels: Iterable[str], mode: _Mode) -> Gauge:
        return Gauge(f"tierrec_{name}", meaning, tuple(labels), registry=self._registry, multiprocess_mode=mode)

    def _histogram(self, name: str, meaning: str, labels: Iterable[str], buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"tierrec_{name}", meaning, tuple(labels), registry=self._registry, buckets=buckets)


class ShopMetrics:
    """What one shop tells; safe to use from several threads."""

    def __init__(self, metrics: ServiceMetrics, shop: str) -> None:
        self._all, self._shop = metrics, shop
        self._requests: dict[tuple[str, str, str], tuple[Counter, Histogram, Histogram]] = {}
        self._serving: dict[str, Gauge] = {}

    def observe(
        self, surface: str, path: str, status: int, seconds: float, distinct_share: float | None = None
    ) -> None:
        """One request: who ranked its answer, its HTTP status, and the distinct categories over the list's length."""
        every = self._all
        key = (every.surface(surface), every.path(path), every.status(status))
        bound = self._requests.get(key)
        if bound is None:
            bound = self._requests[key] = self._bind(*key)
        requests, latency, diversity = bound
        requests.inc()
        latency.observe(seconds)
        if distinct_share is not None:
            diversity.observe(distinct_share)

    def fell_back(self, surface: str, from_path: str, to_path: str, reason: str) -> None:
        """One step down the ladder, and why: the kind of failure, never its message."""
        every = self._all
        labels = (every.surface(surface), every.path(from_path), every.path(to_path), every.reason(reason))
        every.fallbacks.labels(self._shop, *labels).inc()

    def count_events(self, event: str, status: str, count: int = 1) -> None:
        """Events posted: accepted, duplicate or rejected."""
        self._all.events.labels(self._shop, self._all.event(event), self._all.outcome(status)).inc(count)

    def drop_impressions(self, count: int = 1) -> None:
        """Impressions that were given up, so that answers need not wait for the store."""
        self._all.dropped.labels(self._shop).inc(count)

    def swapped(self, result: str) -> None:
        """The worker changed its model, or tried to."""
        self._all.swaps.labels(self._shop, self._all.result(result)).inc()

    def serve(self, role: str, bento: str | None, model_version: str = "") -> None:
        """From now on this worker serves this model in this role; None: no model any more."""
        role = self._all.role(role)
        if role in self._serving:
            self._serving.pop(role).set(0)
        if bento is not None:
            labels = (self._all.bento(bento), self._all.version(model_version), role)
            self._serving[role] = self._all.model.labels(self._shop, *labels)
            self._serving[role].set(1)

    def store_state(self, lag_seconds: float, queue: int) -> None:
        """How far this worker's writes to the store are behind."""
        self._all.lag.labels(self._shop).set(lag_seconds)
        self._all.queue.labels(self._shop).set(queue)

    def _bind(self, surface: str, path: str, status: str) -> tuple[Counter, Histogram, Histogram]:
        return (
            self._all.requests.labels(self._shop, surface, path, status),
            self._all.seconds.labels(self._shop, surface, path),
            self._all.diversity.labels(self._shop, surface),
        )


def forget_dead_workers() -> None:
    """Remove the gauges of workers that were killed; what they counted stays, since counters must not go down."""
    folder = os.environ.get(_FOLDER)
    for pid in _pids(Path(folder)) if folder else ():
        if not psutil.pid_exists(pid):
            with contextlib.suppress(FileNotFoundError):  # another worker was faster
                mark_process_dead(pid, folder)  # type: ignore[no-untyped-call]


def _pids(folder: Path) -> Iterator[int]:
    """The processes that have left gauges in the folder."""
    names = {path.stem.rpartition("_")[2] for path in folder.glob("gauge_live*_*.db")}
    return (int(name) for name in names if name.isdigit())
