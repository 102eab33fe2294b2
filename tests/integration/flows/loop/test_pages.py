"""The lists that a champion served, as its page judges them; and pages of which only the newest stay."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flows.loop import pages
from flows.loop.feedback import SURFACE, read_served_lists
from flows.loop.loop_state import LoopState
from flows.project.champion import Champion
from monitoring.drift import DriftDecision, DriftVerdict
from monitoring.report.served_lists import CUTOFF
from services.store import Impression, Store
from tests.support.drift_world import CUT, WIDTH, DriftWorld, made
from tests.support.projects import ROOT
from tierrec_core.base.contracts import EVENTS
from tierrec_core.base.paths import Layout
from tierrec_core.data.interactions import from_days
from tierrec_core.settings import Settings, read_settings
from tierrec_core.sources import SourceFrames

START = datetime(2026, 3, 1, tzinfo=UTC)
DAYS = 28
FIRST = START.timestamp() / 86_400
CHAMPION = Champion("tierrec:b1", "tierrec_model:v1", Path("nowhere"))
USERS = [f"u{number}" for number in range(60)]
ITEMS = [str(1000 + number) for number in range(50)]  # ids that look like numbers


@pytest.fixture(scope="module")
def settings() -> Settings:
    return read_settings(ROOT / "params.yaml")


@pytest.fixture(scope="module")
def world() -> DriftWorld:
    return made(seed=5)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


@pytest.fixture
def shown(layout: Layout) -> list[Impression]:
    """Two weeks before, the window, and a week after it: lists of two models on two surfaces, and visitors."""
    rng = np.random.default_rng(3)
    answers = [
        Impression(
            request_id=str(number),
            user_id=None if rng.random() < 0.1 else str(rng.choice(USERS)),
            surface=str(rng.choice([SURFACE, "search"])),
            items=tuple(map(str, rng.permutation(ITEMS)[: rng.integers(1, 14)])),
            path="blend",
            model_version=str(rng.choice(["v1", "v2"])),
            at=START + timedelta(hours=float(rng.uniform(-14 * 24, (DAYS + 7) * 24))),
        )
        for number in range(800)
    ]
    store = Store.open(f"sqlite:///{layout.serving / 'feedback.db'}")
    store.add_impressions(answers)
    store.close()
    return answers


def done(seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    size = 4000
    hours = rng.uniform(-14 * 24, (DAYS + 10) * 24, size)
    frame = pd.DataFrame(
        {
            "user_id": rng.choice(USERS, size),
            "item_id": rng.choice(ITEMS, size),
            "event": rng.choice(["purchase", "view"], size),
            "timestamp": pd.Timestamp(START) + pd.to_timedelta(hours, unit="h"),
        }
    )
    return EVENTS.conform(frame, "test")


def first_lists(answers: list[Impression]) -> dict[str, Impression]:
    """A plain loop over all answers."""
    found: dict[str, Impression] = {}
    for one in sorted(answers, key=lambda one: one.at):
        is_inside = START <= one.at < START + timedelta(days=DAYS)
        if one.user_id and is_inside and (one.model_version, one.surface) == ("v1", SURFACE):
            found.setdefault(one.user_id, one)
    return found


def test_the_lists_are_each_users_first_and_what_counts_follows_them(
    layout: Layout, settings: Settings, shown: list[Impression]
) -> None:
    events, first = done(4), first_lists(shown)
    found = read_served_lists(layout, CHAMPION, settings, events, FIRST, FIRST + DAYS)
    assert found is not None
    assert 30 < len(first) < len(USERS)
    wanted = {
        (user, item, rank) for user, one in first.items() for rank, item in enumerate(one.items[:CUTOFF], start=1)
    }
    assert set(found.lists.itertuples(index=False, name=None)) == wanted
    horizon = timedelta(hours=settings.rollout.horizon_hours)
    taken = {
        (row.user_id, row.item_id)
        for row in events.itertuples()
        if row.user_id in first
        and row.event == settings.rollout.goal
        and timedelta(0) <= row.timestamp - first[row.user_id].at <= horizon
    }
    assert taken
    assert set(found.truth.itertuples(index=False, name=None)) == taken


def test_a_budget_of_rows_draws_whole_lists_of_the_same_users(
    layout: Layout, settings: Settings, shown: list[Impression]
) -> None:
    first = first_lists(shown)
    few = settings.model_copy(update={"monitor": settings.monitor.model_copy(update={"report_rows": 200})})
    found = read_served_lists(layout, CHAMPION, few, done(4), FIRST, FIRST + DAYS)
    again = read_served_lists(layout, CHAMPION, few, done(4), FIRST, FIRST + DAYS)
    assert found is not None
    assert again is not None
    pd.testing.assert_frame_equal(found.lists, again.lists)
    sizes = found.lists.groupby("user_id").size()
    assert len(sizes) == 20
    assert sizes.to_dict() == {user: min(CUTOFF, len(first[user].items)) for user in sizes.index}


def test_nobody_was_shown_anything_where_no_store_is_or_another_model_answered(
    layout: Layout, settings: Settings, shown: list[Impression], tmp_path: Path
) -> None:
    nowhere = Layout(tmp_path / "elsewhere")
    assert read_served_lists(nowhere, CHAMPION, settings, done(4), FIRST, FIRST + DAYS) is None
    other = Champion("tierrec:b9", "tierrec_model:v9", Path("nowhere"))
    found = read_served_lists(layout, other, settings, done(4), FIRST, FIRST + DAYS)
    assert found is not None
    assert (len(found.lists), len(found.truth)) == (0, 0)


@pytest.mark.slow
def test_only_the_newest_pages_stay_and_the_history_links_to_no_other(
    layout: Layout, settings: Settings, world: DriftWorld
) -> None:
    loop_state, steady = LoopState(layout), DriftVerdict(CUT, CUT + WIDTH, num_users=3, findings=(), faults=())
    for back in range(pages.MAX_WINDOWS + 4, 0, -1):
        end = CUT + WIDTH - back
        page = layout.loop / pages.WINDOWS / f"{from_days(end):%Y-%m-%d}-k{back}" / "drift.html"
        page.parent.mkdir(parents=True)
        page.write_text("<html></html>")
        verdict = DriftVerdict(end - WIDTH, end, num_users=3, findings=(), faults=())
        moment = from_days(end + 1).isoformat()
        loop_state.record_decision(DriftDecision(moment, end, "none", ("steady",), "m:1", f"k{back}"), verdict, page)
    before = {path: path.read_bytes() for path in (layout.loop / "decisions").iterdir()}
    log = SourceFrames(world.events, world.items, pd.DataFrame(), pd.DataFrame())
    newest = pages.write_charts(layout, settings, log, world.reference, steady, "now")
    folders = sorted(path.name for path in (layout.loop / pages.WINDOWS).iterdir())
    assert len(folders) == pages.MAX_WINDOWS
    assert newest.parent.name == folders[-1] == f"{from_days(CUT + WIDTH):%Y-%m-%d}-now"
    assert folders[0].endswith(f"-k{pages.MAX_WINDOWS - 1}")
    pages.write_history(loop_state)
    said = (layout.loop / "index.html").read_text()
    links = set(re.findall(r'href="(windows/[^"]+)"', said))
    assert links == {f"windows/{one}/drift.html" for one in folders[:-1]}
    assert {path: path.read_bytes() for path in (layout.loop / "decisions").iterdir()} == before
    assert f"k{pages.MAX_WINDOWS + 4}.json" in said


def test_a_window_without_lists_has_a_page_that_says_so(layout: Layout, settings: Settings, world: DriftWorld) -> None:
    log = SourceFrames(world.events, world.items, pd.DataFrame(), pd.DataFrame())
    verdict = DriftVerdict(CUT, CUT + WIDTH, num_users=3, findings=(), faults=())
    page = pages.write_charts(layout, settings, log, world.reference, verdict, "k")
    assert "served no list in this window" in page.read_text()
    names = {one["metric_name"] for one in json.loads((page.parent / "drift.json").read_text())["metrics"]}
    assert not any(name.startswith(("NDCG", "PopularityBias", "Diversity")) for name in names)
