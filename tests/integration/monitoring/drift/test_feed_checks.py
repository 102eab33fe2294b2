"""Faults of the data are named and take precedence over drift; usual behaviour is no fault."""

from collections.abc import Callable
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from monitoring.drift import DriftVerdict, FeedChecks, evaluate_window, measure_window
from tests.support.drift_world import CUT, SETTINGS, WIDTH, DriftWorld, made
from tierrec_core.base.contracts import EVENTS
from tierrec_core.data.interactions import from_days

Break = Callable[[pd.DataFrame, np.random.Generator], pd.DataFrame]


@pytest.fixture(scope="module")
def world() -> DriftWorld:
    return made(seed=11)


def found(world: DriftWorld, events: pd.DataFrame, items: pd.DataFrame | None = None) -> DriftVerdict:
    return DriftWorld(events, world.items if items is None else items, world.reference).verdict()


def late(events: pd.DataFrame) -> np.ndarray:
    return (events["timestamp"] >= from_days(CUT)).to_numpy()


def without_days(events: pd.DataFrame, _rng: np.random.Generator) -> pd.DataFrame:
    day = events["timestamp"]
    return events[~((day >= from_days(CUT + 10)) & (day < from_days(CUT + 14)))]


def nearly_empty_days(events: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    day = events["timestamp"]
    thin = ((day >= from_days(CUT + 3)) & (day < from_days(CUT + 6))).to_numpy()
    return events[~(thin & (rng.random(len(events)) < 0.97))]


def half_of_the_rows(events: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    return events[~(late(events) & (rng.random(len(events)) < 0.5))]


def foreign_items(events: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    hit = late(events) & (rng.random(len(events)) < 0.3)
    return events.assign(item_id=events["item_id"].mask(hit, "sku-" + events["item_id"]))


def foreign_users(events: pd.DataFrame, _rng: np.random.Generator) -> pd.DataFrame:
    return events.assign(user_id=events["user_id"].mask(late(events), "hash-" + events["user_id"]))


def twice(events: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    return pd.concat([events, events[late(events) & (rng.random(len(events)) < 0.2)]])


def no_purchase(events: pd.DataFrame, _rng: np.random.Generator) -> pd.DataFrame:
    return events[~(late(events) & events["event"].eq("purchase").to_numpy())]


def wave(events: pd.DataFrame, users: list[str], rows_a_day: int, num_items: int) -> pd.DataFrame:
    """These users view the same items again and again, evenly over each day after the cut."""
    act = np.arange(rows_a_day * WIDTH)
    stamps = from_days(CUT) + pd.to_timedelta(act * 86_400 / rows_a_day, unit="s")
    pattern = events["item_id"].drop_duplicates().sort_values().to_numpy()[:num_items]
    one = {"item_id": pattern[act % num_items], "event": "view", "timestamp": stamps}
    rows = [pd.DataFrame(one | {"user_id": user}) for user in users]
    return EVENTS.conform(pd.concat([events, *rows]), "test")


def one_user_does_it_all(events: pd.DataFrame, _rng: np.random.Generator) -> pd.DataFrame:
    return wave(events, ["u000"], 60, 100)


def fast_users(events: pd.DataFrame, _rng: np.random.Generator) -> pd.DataFrame:
    return wave(events, ["u001", "u002", "u003"], 80, 100)


def crowd_of_bots(events: pd.DataFrame, _rng: np.random.Generator) -> pd.DataFrame:
    return wave(events, [f"bot-{number}" for number in range(60)], 4, 3)


@pytest.mark.parametrize(
    ("broken", "what"),
    [
        (without_days, "days are missing"),
        (nearly_empty_days, "days are missing"),
        (half_of_the_rows, "all tiers collapsed at once"),
        (foreign_items, "events without a category jumped"),
        (foreign_users, "all tiers collapsed at once"),
        (twice, "duplicate rows jumped"),
        (no_purchase, "events of kind 'purchase' vanished"),
        (one_user_does_it_all, "one user has an implausible share of the events"),
        (fast_users, "users are implausibly fast"),
        (crowd_of_bots, "new users concentrate on a few items"),
    ],
)
def test_a_fault_is_named_and_is_no_drift(world: DriftWorld, broken: Break, what: str) -> None:
    verdict = found(world, broken(world.events, np.random.default_rng(1)))
    assert verdict.state == "fault"
    assert what in [fault.what for fault in verdict.faults]
    assert all(reason.startswith("data fault: ") for reason in verdict.reasons())
    report = verdict.report()["faults"][0]
    assert all(report[name] for name in ("what", "found", "wanted", "kind", "ask", "harm"))


def test_a_catalogue_that_lost_categories_is_a_fault_though_both_windows_are_affected(world: DriftWorld) -> None:
    empty = np.random.default_rng(2).random(len(world.items)) < 0.4
    broken = world.items.assign(category=world.items["category"].mask(empty))
    verdict = found(world, world.events, broken)
    assert [fault.what for fault in verdict.faults] == ["events without a category jumped"]


def test_an_empty_window_is_a_fault(world: DriftWorld) -> None:
    verdict = found(world, world.events[~late(world.events)])
    assert [fault.what for fault in verdict.faults] == ["the window is empty"]


def test_unchanged_behaviour_is_no_fault(world: DriftWorld) -> None:
    assert found(world, world.events).faults == ()


def test_one_closed_day_is_no_fault(world: DriftWorld) -> None:
    closed = world.events["timestamp"].dt.floor("D") == from_days(CUT + 9)
    assert found(world, world.events[~closed]).faults == ()


def test_a_shop_that_closes_on_sundays_is_no_fault_wherever_the_window_begins(world: DriftWorld) -> None:
    events = world.events[world.events["timestamp"].dt.dayofweek != 6]
    for end in (CUT + WIDTH - 3, CUT + WIDTH):
        feed = FeedChecks.measure(events, world.items, world.reference, end, SETTINGS, None)
        current = measure_window(world.reference, events, world.items, end)
        verdict = evaluate_window(world.reference, current, feed, SETTINGS, seed=1)
        assert [fault.what for fault in verdict.faults] == []


def test_new_users_who_behave_as_usual_are_no_fault(world: DriftWorld) -> None:
    source = world.events[late(world.events)]
    users = source["user_id"].drop_duplicates().sample(frac=0.2, random_state=1)
    guests = source[source["user_id"].isin(users)]
    guests = guests.assign(user_id="guest-" + guests["user_id"], session_id="guest-" + guests["session_id"])
    assert found(world, pd.concat([world.events, guests])).faults == ()


@pytest.mark.parametrize(("silent", "stale"), [(20, False), (40, True)])
def test_a_silent_feed_is_stale_by_the_clock(world: DriftWorld, silent: int, stale: bool) -> None:
    newest: datetime = world.events["timestamp"].max().to_pydatetime()
    settings = SETTINGS.model_copy(update={"max_silence_hours": 30.0})
    now = newest + timedelta(hours=silent)
    feed = FeedChecks.measure(world.events, world.items, world.reference, CUT + WIDTH, settings, now)
    assert feed.silent_hours == pytest.approx(silent)
    current = measure_window(world.reference, world.events, world.items, CUT + WIDTH)
    faults = evaluate_window(world.reference, current, feed, settings, seed=1).faults
    assert [fault.what for fault in faults] == (["the feed is stale"] if stale else [])


def test_without_a_limit_or_a_clock_silence_is_not_checked(world: DriftWorld) -> None:
    settings = SETTINGS.model_copy(update={"max_silence_hours": 30.0})
    clock = from_days(CUT + 999).to_pydatetime()
    for given, now in ((SETTINGS, clock), (settings, None)):
        assert (
            FeedChecks.measure(world.events, world.items, world.reference, CUT + WIDTH, given, now).silent_hours is None
        )


def test_a_log_that_no_longer_holds_the_reference_is_still_judged(world: DriftWorld) -> None:
    newer = world.events[late(world.events)]
    assert found(world, newer).state == "steady"
    assert "days are missing" in [
        fault.what for fault in found(world, without_days(newer, np.random.default_rng(1))).faults
    ]
