"""Five daily deliveries to a shop: the monitor and each retrain see each of them, and no stage stays behind."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from flows.graph.dvc_graph import find_stale_stages
from services.releases.pointer import Pointer
from tests.support.drifting_shop import LOG, configure, copy_shop, later_events
from tests.support.prefect_workers import Server, prefect_server
from tests.support.projects import command
from tierrec_core.base.paths import Layout
from tierrec_core.data.interactions import from_days

pytestmark = pytest.mark.slow
DAYS, TEST_DAYS = 5, 14


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with prefect_server(tmp_path_factory.mktemp("prefect")) as running:
        yield running


def deliveries(folder: Path) -> Iterator[tuple[pd.Timestamp, Path]]:
    """The next days of the log, a file a day; the second is sent again, without some of its rows."""
    events = later_events()
    by_day = list(events.groupby(events["timestamp"].dt.floor("D")))[:DAYS]
    for day, rows in by_day:
        path = folder / f"day {day:%Y-%m-%d}.parquet"
        rows.to_parquet(path)
        yield day, path
    day, rows = by_day[1]
    path = folder / "corrected.parquet"
    rows[::2].to_parquet(path)
    yield day, path


def newest_decision(layout: Layout) -> dict[str, Any]:
    decisions = [json.loads(path.read_text()) for path in (layout.loop / "decisions").glob("*.json")]
    return max(decisions, key=lambda decision: decision["at"])


def days_of(path: Path) -> pd.Series:
    """The number of events of each day in a Parquet file."""
    return pd.read_parquet(path)["timestamp"].dt.floor("D").value_counts().sort_index()


def run(layout: Layout, server: Server, *arguments: str) -> str:
    done = command(layout.root, "tierrec", *arguments, env=server.env, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_each_delivery_is_seen_by_the_monitor_and_by_retrain(tmp_path: Path, server: Server) -> None:
    """A retrain after the first delivery, and one after the others: it takes minutes."""
    layout = Layout(tmp_path / "shop")
    copy_shop(layout.root)
    configure(layout.root, gate={"margin": 1.0})
    params, expected = layout.params.read_text(), days_of(layout.root / LOG)
    champions = [Pointer.read(layout.serving / "pointer.json").champion.bento]
    for number, (day, path) in enumerate(deliveries(tmp_path)):
        run(layout, server, "add", str(path), *(["--replace"] if number == DAYS else []))
        expected[day] = len(pd.read_parquet(path))
        newest = expected.index.max()
        assert find_stale_stages(layout.root) == {"source"}
        run(layout, server, "monitor")
        complete = newest - pd.Timedelta(hours=24)  # monitor.lateness_hours
        assert from_days(newest_decision(layout)["window_end"]) == complete
        if number not in (0, DAYS):
            continue
        assert ": deployed" in run(layout, server, "retrain", "--reason", f"delivery of {day:%Y-%m-%d}")
        champions.append(Pointer.read(layout.serving / "pointer.json").champion.bento)
        assert find_stale_stages(layout.root) == set()
        pd.testing.assert_series_equal(days_of(layout.raw_events), expected.sort_index(), check_dtype=False)
        assert days_of(layout.prepared_events).index.max() == newest
        cut = newest + pd.Timedelta(days=1 - TEST_DAYS)
        assert f"{cut:%Y-%m-%d}" in {path.name for path in (layout.data / "tiers").iterdir()}
    assert len(set(champions)) == 3
    assert layout.params.read_text() == params
