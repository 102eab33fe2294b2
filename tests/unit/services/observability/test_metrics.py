"""Metrics read back by Prometheus' parser, of one process and of two that share a folder."""

import os
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from services.names import STRATEGIES, SURFACES
from services.observability.metrics import OTHER, STATUSES, BoundedLabel, ServiceMetrics
from tests.support.projects import ROOT
from tierrec_core.base.contracts import EVENT_NAMES


def read(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample by name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(text: str, name: str, **labels: str) -> float | None:
    wanted = {key.rstrip("_"): label for key, label in labels.items()}
    return read(text).get((f"tierrec_{name}", frozenset(wanted.items())))


@pytest.fixture
def metrics() -> ServiceMetrics:
    return ServiceMetrics(CollectorRegistry())


def test_requests_latency_and_diversity(metrics: ServiceMetrics) -> None:
    shop = metrics.for_shop("demo")
    shop.observe_request("products", "blend", 200, 0.004, 0.5)
    shop.observe_request("products", "blend", 200, 0.3, 1.0)
    shop.observe_request("products", "blend", 500, 1.0)
    text, where = metrics.exposition(), {"shop": "demo", "surface": "products"}
    assert value(text, "requests_total", **where, path="blend", status="200") == 2
    assert value(text, "requests_total", **where, path="blend", status="500") == 1
    assert value(text, "request_seconds_bucket", **where, path="blend", le="0.005") == 1
    assert value(text, "request_seconds_bucket", **where, path="blend", le="0.5") == 2
    assert value(text, "request_seconds_sum", **where, path="blend") == pytest.approx(1.304)
    assert value(text, "list_diversity_bucket", **where, le="0.5") == 1
    assert value(text, "list_diversity_count", **where) == 2


def test_other_counters_and_gauges(metrics: ServiceMetrics) -> None:
    shop = metrics.for_shop("demo")
    shop.count_fallback("search", "blend", "popularity", "TimeoutError")
    shop.count_events("purchase", "accepted", 7)
    shop.count_dropped_impressions(3)
    shop.count_swap("done")
    shop.set_store_lag(0.25, 12)
    text = metrics.exposition()
    steps = {"surface": "search", "from_": "blend", "to": "popularity", "reason": "TimeoutError"}
    assert value(text, "fallbacks_total", shop="demo", **steps) == 1
    assert value(text, "events_total", shop="demo", event="purchase", status="accepted") == 7
    assert value(text, "impressions_dropped_total", shop="demo") == 3
    assert value(text, "swaps_total", shop="demo", result="done") == 1
    assert value(text, "store_lag_seconds", shop="demo") == 0.25
    assert value(text, "store_queue", shop="demo") == 12


def test_one_model_per_role_is_served(metrics: ServiceMetrics) -> None:
    shop = metrics.for_shop("demo")
    shop.set_model("champion", "shop:1", "aa")
    shop.set_model("challenger", "shop:2", "bb")
    shop.set_model("champion", "shop:2", "bb")
    shop.set_model("challenger", None)
    text = metrics.exposition()
    served = {
        (role, version): value(
            text, "model_info", shop="demo", bento=f"shop:{number}", model_version=version, role=role
        )
        for role, number, version in (("champion", 1, "aa"), ("champion", 2, "bb"), ("challenger", 2, "bb"))
    }
    assert served == {("champion", "aa"): 0, ("champion", "bb"): 1, ("challenger", "bb"): 0}


def test_shops_and_registries_are_separate(metrics: ServiceMetrics) -> None:
    metrics.for_shop("one").count_swap("done")
    metrics.for_shop("two").count_swap("done")
    metrics.for_shop("one").count_swap("done")
    ServiceMetrics(CollectorRegistry()).for_shop("one").count_swap("done")
    text = metrics.exposition()
    assert [value(text, "swaps_total", shop=shop, result="done") for shop in ("one", "two")] == [2, 1]


@given(st.lists(st.text(), min_size=1))
@example(["redeem", "accepted", "200"])
def test_arbitrary_values_create_no_series(texts: list[str]) -> None:
    metrics = ServiceMetrics(CollectorRegistry())
    shop = metrics.for_shop("demo")
    for text in texts:
        shop.observe_request(text, text, hash(text), 0.1, 0.1)
        shop.count_events(text, text)
    outcomes = ("accepted", "duplicate", "rejected")
    known = {"demo", OTHER, *SURFACES, *STRATEGIES, *STATUSES, *EVENT_NAMES, *outcomes}
    asked = {label for name, labels in read(metrics.exposition()) for key, label in labels if key != "le"}
    assert asked <= known


def test_a_bounded_label_takes_a_bounded_number_of_values() -> None:
    label = BoundedLabel(known=("a",), max_others=2)
    assert [label(text) for text in ("b", "c", "d", "b", "a", OTHER)] == ["b", "c", OTHER, "b", "a", OTHER]


WORKER = """
import sys
from prometheus_client import CollectorRegistry
from services.observability.metrics import ServiceMetrics
metrics = ServiceMetrics(CollectorRegistry())
shop = metrics.for_shop("demo")
for _ in range(int(sys.argv[1])):
    shop.observe_request("products", "blend", 200, 0.001, 0.5)
shop.set_model("champion", "shop:" + sys.argv[2], sys.argv[2])
shop.set_store_lag(float(sys.argv[1]), int(sys.argv[1]))
print("ready", flush=True)
for line in sys.stdin:
    print(len(text := metrics.exposition()), text, flush=True)
"""


class Worker:
    """A process that counts requests, then writes its exposition for every line it reads."""

    def __init__(self, folder: Path, count: int, version: str) -> None:
        command = [sys.executable, "-c", WORKER, str(count), version]
        env = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(folder)}
        self.process = subprocess.Popen(command, cwd=ROOT, env=env, stdin=PIPE, stdout=PIPE, text=True)

    def wait_ready(self) -> None:
        assert self.process.stdout.readline() == "ready\n"

    def exposition(self) -> str:
        self.process.stdin.write("tell\n")
        self.process.stdin.flush()
        first = self.process.stdout.readline()
        length, _, head = first.partition(" ")
        return head + self.process.stdout.read(int(length) + 1 - len(head))

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


def test_each_worker_exposes_all_and_drops_the_gauges_of_dead_workers(tmp_path: Path) -> None:
    workers = [Worker(tmp_path, 3, "aa"), Worker(tmp_path, 5, "bb")]
    where, model = {"shop": "demo", "surface": "products"}, {"shop": "demo", "role": "champion"}
    try:
        for worker in workers:
            worker.wait_ready()
        texts = [worker.exposition() for worker in workers]
        assert read(texts[0]) == read(texts[1])
        assert value(texts[0], "requests_total", **where, path="blend", status="200") == 8
        assert value(texts[0], "request_seconds_count", **where, path="blend") == 8
        assert value(texts[0], "store_lag_seconds", shop="demo") == 5
        assert value(texts[0], "store_queue", shop="demo") == 8
        for version in ("aa", "bb"):
            assert value(texts[0], "model_info", **model, bento=f"shop:{version}", model_version=version) == 1
        workers[1].kill()
        after = workers[0].exposition()
    finally:
        for worker in workers:
            worker.kill()
    assert value(after, "requests_total", **where, path="blend", status="200") == 8
    assert value(after, "store_queue", shop="demo") == 3
    assert value(after, "model_info", **model, bento="shop:bb", model_version="bb") is None
