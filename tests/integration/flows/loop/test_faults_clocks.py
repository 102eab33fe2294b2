"""Wrong clocks, late events and a full disk before `examine`, the look of the flow `monitor` at the newest window."""

import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from ruamel.yaml import YAML

from flows.loop.loop_state import LoopState
from flows.loop.monitor import evaluate_newest_window
from tests.support.drift_world import CUT, SETTINGS, WIDTH, DriftWorld, made
from tests.support.drifting_shop import tell
from tests.support.projects import ENV, ROOT
from tierrec_core.base import artifacts
from tierrec_core.base.errors import EmptyDataError
from tierrec_core.base.paths import Layout
from tierrec_core.data.interactions import from_days
from tierrec_core.settings import read_settings

pytestmark = pytest.mark.slow

TASK = {"horizon_days": 14, "repeats": True, "windows": 1, "step_days": 14}
COLUMNS = {name: name for name in ("event", "value", "quantity", "channel")} | {"session": "session_id"}
NOW = from_days(CUT + WIDTH).to_pydatetime()  # when the log ends; its newest day may not be whole
NEWEST = CUT + WIDTH - 2  # a day before the newest event, rounded down
LIMIT = 100_000
LOOK = """
import sys
from datetime import datetime
from pathlib import Path
from tests.integration.flows.loop.test_faults_clocks import look
look(Path(sys.argv[1]), datetime.fromisoformat(sys.argv[2]))
"""


@pytest.fixture(scope="module")
def world() -> DriftWorld:
    return made(seed=5)


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory, world: DriftWorld) -> Path:
    """A shop whose newest window was looked at in time."""
    shop = open_shop(tmp_path_factory.mktemp("judged") / "shop", world, world.events)
    record = findings(look(shop, NOW))
    assert (record["window_end"], record["act"]) == (NEWEST, "none")
    return shop


@pytest.fixture
def shop(tmp_path: Path, world: DriftWorld) -> Path:
    return open_shop(tmp_path / "shop", world, world.events)


def open_shop(folder: Path, world: DriftWorld, events: pd.DataFrame, **monitor: float) -> Path:
    """A project whose champion was trained up to CUT, with these events in its log."""
    layout = Layout(folder)
    artifacts.save(world.reference, layout.bundle / "reference")
    smoke = {"tag": "tierrec:1", "model": "model:1", "smoke": {"next": {"users": 1, "identical": 1}}}
    artifacts.write_json(smoke, layout.bento)
    artifacts.write_frame(events, folder / "log.parquet")
    artifacts.write_frame(world.items, folder / "items.parquet")
    columns = {"title": "title", "category": "category", "brand": "brand", "price": "price"}
    files = {"paths": ["log.parquet"], "columns": COLUMNS, "items_path": "items.parquet"}
    params = {
        "source": files | {"kind": "files", "feedback": True, "item_columns": columns},
        "tasks": {"next": TASK},
        "models": {"popularity": {"kind": "popularity"}},
        "monitor": SETTINGS.model_dump() | {"report_rows": 300} | monitor,
    }
    with layout.params.open("w") as stream:
        YAML().dump(params, stream)
    return folder


def look(shop: Path, now: datetime) -> dict[str, Any] | None:
    """What was written down of a look; None where the window was known."""
    layout = Layout(shop)
    found = evaluate_newest_window(layout, read_settings(layout.params), LoopState(layout), now)
    return None if found is None else dict(found)


def kept(shop: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted((shop / "data/loop/decisions").glob("*"))]


def findings(record: Mapping[str, Any] | None) -> dict[str, Any]:
    """All but by which clock it was found, and how long that took."""
    assert record is not None
    found: dict[str, Any] = json.loads(json.dumps({name: value for name, value in record.items() if name != "at"}))
    if found["value"]:
        del found["value"]["canary"]["cpu_seconds"]
    return found


def views(world: DriftWorld, day: float, num: int = 3_000) -> pd.DataFrame:
    """All users view one category, in the days before `day`."""
    users = world.events["user_id"].drop_duplicates().to_numpy(dtype=object)
    items = world.items.loc[world.items["category"] == "category 3", "item_id"].to_numpy(dtype=object)
    place = pd.RangeIndex(num)
    stamps = from_days(day - 5) + pd.to_timedelta(place * 5 * 86_400 // num, unit="s")
    columns = {"user_id": users[place % len(users)], "item_id": items[place % len(items)], "timestamp": stamps}
    return pd.DataFrame(columns | {"event": "view"})


def test_events_of_next_year_change_nothing(shop: Path, judged: Path, world: DriftWorld) -> None:
    tell(shop, views(world, NEWEST + 365))
    (plain,) = kept(judged)
    assert findings(look(shop, NOW)) == findings(json.loads(plain))


def test_what_comes_after_its_window_was_judged_counts_in_the_next_alone(
    judged: Path, tmp_path: Path, world: DriftWorld
) -> None:
    shop = shutil.copytree(judged, tmp_path / "shop")
    before = kept(shop)
    tell(shop, views(world, NEWEST))
    assert look(shop, NOW) is None
    assert look(shop, NOW + timedelta(hours=5)) is None
    assert kept(shop) == before
    tell(shop, views(world, NEWEST + 2.2, num=30))
    later = look(shop, NOW + timedelta(days=1))
    assert later is not None
    assert (later["window_end"], later["state"]) == (NEWEST + 1, "fault")
    assert "event_ratio" in {fault["kind"] for fault in later["faults"]}  # the late views were counted
    assert kept(shop)[0] == before[0]


def test_a_clock_that_is_behind_looks_at_the_log_of_then(shop: Path, tmp_path: Path, world: DriftWorld) -> None:
    then = NOW - timedelta(days=9)
    other = open_shop(tmp_path / "other", world, world.events[world.events["timestamp"] <= then])
    seen = findings(look(shop, then))
    assert seen == findings(look(other, then))
    assert seen["window_end"] == NEWEST - 9
    assert findings(look(shop, NOW))["window_end"] == NEWEST
    assert look(shop, then) is None
    assert len(kept(shop)) == 2


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (from_days(CUT - 3).to_pydatetime(), "was trained up to 2024-06-17"),
        (datetime(1970, 1, 2, tzinfo=UTC), "the log has no event up to now"),
    ],
)
def test_a_clock_that_is_far_behind_is_told_and_nothing_is_decided(shop: Path, now: datetime, said: str) -> None:
    with pytest.raises(EmptyDataError, match=said) as told:
        look(shop, now)
    assert "the machine's clock" in str(told.value)
    assert kept(shop) == []


def test_a_clock_that_is_far_ahead_makes_a_stale_feed_and_no_retrain(tmp_path: Path, world: DriftWorld) -> None:
    shop = open_shop(tmp_path / "shop", world, world.events, max_silence_hours=48.0)
    ahead = findings(look(shop, NOW + timedelta(days=365)))
    assert (ahead["window_end"], ahead["act"]) == (NEWEST, "fault")
    assert [one["what"] for one in ahead["faults"]] == ["the feed is stale"]


def test_a_full_disk_is_told_and_the_next_look_decides(shop: Path) -> None:
    full = subprocess.run(
        [sys.executable, "-c", LOOK, str(shop), NOW.isoformat()],
        cwd=ROOT,
        env=ENV,
        capture_output=True,
        text=True,
        preexec_fn=partial(resource.setrlimit, resource.RLIMIT_FSIZE, (LIMIT, LIMIT)),
    )
    assert full.returncode == 1
    assert "ArtifactError" in full.stderr
    assert "cannot be written (File too large)" in full.stderr
    assert kept(shop) == []
    assert not list((shop / "data/loop").rglob("*.html"))
    assert findings(look(shop, NOW))["act"] == "none"
    assert len(kept(shop)) == 1
