"""Precedence and order of findings and faults in a verdict, and its JSON forms."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from monitoring.drift import DriftFinding, DriftVerdict, FeedChecks, FeedFault, evaluate_window, measure_window
from monitoring.drift.statistics.effect_limits import BOUNDS
from tests.support.drift_world import CUT, SETTINGS, WIDTH, DriftWorld, made, moved_to
from tierrec_core.data.interactions import from_days

LARGE = DriftFinding("shares", "medium", "BEEF", 0.041, 0.069, 0.125, 0.05, 0.0002, 0.01, True)
FALL = DriftFinding("volume", "heavy", "events a user", 3.0, 2.0, -1.0, 0.2, 0.0001, 0.002, True)
NEAR = DriftFinding("volume", "light", "events a user", 2.0, 2.18, 0.18, 0.2, 0.03, 0.2, False)
CALM = DriftFinding("shares", "light", "BEEF", 0.05, 0.051, 0.004, 0.05, 0.6, 1.0, False)
AGAINST = DriftFinding("moves", "light", "evidence", 0.4, 0.1, -0.3, 0.05, 0.999, 1.0, False)
FAULT = FeedFault("days are missing", "4 of 28", "fewer than 2")


def verdict(*findings: DriftFinding, faults: tuple[FeedFault, ...] = ()) -> DriftVerdict:
    return DriftVerdict(CUT, CUT + WIDTH, 400, findings, faults)


@pytest.fixture(scope="module")
def world() -> DriftWorld:
    return made(seed=5)


@pytest.fixture(scope="module")
def drifted(world: DriftWorld) -> pd.DataFrame:
    """Half of the events of the medium tier's users move to one category."""
    members = world.reference.users[world.reference.groups.tier == 1]
    return moved_to(world, members, "category 3", 0.5, np.random.default_rng(1))


def test_alarms_come_largest_relative_to_their_limit_first() -> None:
    assert verdict(CALM, LARGE, NEAR, FALL).alarms == (FALL, LARGE)


def test_a_fault_wins_over_an_alarm_and_an_alarm_over_calm() -> None:
    assert verdict(CALM).state == "steady"
    assert verdict(CALM, LARGE).state == "drift"
    assert verdict(CALM, LARGE, faults=(FAULT,)).state == "fault"
    assert verdict(LARGE, faults=(FAULT,)).reasons() == ["data fault: days are missing: 4 of 28, wanted fewer than 2"]


def test_a_steady_verdict_reports_the_nearest_finding() -> None:
    assert verdict(CALM, NEAR).reasons() == [f"no drift; nearest to an alarm: {NEAR.sentence()}"]
    assert verdict().reasons() == ["no drift"]


@pytest.mark.parametrize("family", BOUNDS)
def test_every_family_has_a_sentence_with_its_unit(family: str) -> None:
    finding = replace(LARGE, family=family, what="'it'", users=50, moved=7)
    assert finding.sentence().startswith("medium users: ")
    unit = {"moves": "nats a user", "arrivals": "nats a user", "volume": "log of events"}.get(family, "Cohen's h")
    assert ("standard deviations" if family == "embedding" else unit) in finding.sentence()
    assert f"a net 7 of 50 users ({family}: .12 > .05" in finding.sentence()


def test_a_change_in_the_other_direction_is_not_near_an_alarm() -> None:
    assert verdict(AGAINST, NEAR).reasons() == verdict(NEAR).reasons()


def test_a_fall_of_volume_reads_as_a_loss() -> None:
    # exp(-1) - 1 = -63%
    test = "heavy users: -63% events a user (volume: 1 > .2 log of events, p .0001)"
    assert FALL.sentence() == f"{test}; look for a season, a campaign or an outage: a retrain brings no visits back"
    assert replace(FALL, alarm=False).sentence() == test


def test_the_event_names_tiers_and_categories_of_alarms_alone() -> None:
    payload = verdict(CALM, LARGE, FALL, NEAR).payload()
    assert payload["tiers"] == ["heavy", "medium"]
    assert payload["layers"] == ["BEEF"]
    assert payload["effects"] == {"volume/heavy/events a user": -1.0, "shares/medium/BEEF": 0.125}
    assert payload["window"] == {"start": "2024-06-17", "end": "2024-07-15"}


@pytest.mark.medium
def test_a_real_verdict_is_json_and_holds_every_test(world: DriftWorld, drifted: pd.DataFrame) -> None:
    found = world.verdict(drifted)
    report = json.loads(json.dumps(found.report(), allow_nan=False))
    assert [DriftFinding(**one) for one in report["findings"]] == list(found.findings)
    assert (report["state"], report["faults"]) == ("drift", [])
    assert json.loads(json.dumps(found.payload(), allow_nan=False)) == found.payload()


@pytest.mark.medium
def test_a_finding_counts_its_users_and_those_who_moved(world: DriftWorld, drifted: pd.DataFrame) -> None:
    found = {(one.family, one.tier, one.what): one for one in world.verdict(drifted).findings}
    share = found["shares", "medium", "category 3"]
    windows = [
        world.events[world.events["timestamp"].between(from_days(CUT - WIDTH), from_days(CUT), inclusive="left")],
        drifted[drifted["timestamp"] >= from_days(CUT)],
    ]
    goals = set(world.items.loc[world.items["category"] == "category 3", "item_id"])
    groups = world.reference.groups
    members = world.reference.users[groups.established & (groups.tier == 1)]
    shares = [
        part[part["user_id"].isin(members) & (part["event"] != "impression")]
        .groupby("user_id")["item_id"]
        .agg(lambda ids: np.mean([one in goals for one in ids]))
        for part in windows
    ]
    change = (shares[1] - shares[0]).dropna()
    assert (share.users, share.moved) == (len(change), int((change > 0).sum() - (change < 0).sum()))
    assert 0.5 * share.users < share.moved < share.users
    assert f"points more of their events in category 'category 3' ({share.before:.1%}" in share.sentence()
    assert f"a net {share.moved} of {share.users} users (shares: " in share.sentence()
    arrivals = found["arrivals", "medium", "category 3"]
    assert 0.3 * share.users < arrivals.moved < share.users
    assert found["embedding", "medium", "mean item vector"].moved == 0


def test_an_alarm_wants_significance_and_size(world: DriftWorld) -> None:
    one_sided = {"interests": -1, "moves": 1, "arrivals": 1, "new_items": 1, "unseen_categories": 1}
    members = world.reference.users[world.reference.groups.tier == 2]
    events = moved_to(world, members, "category 3", 0.3, np.random.default_rng(1))
    findings = world.verdict(events).findings
    assert {one.alarm for one in findings} == {False, True}
    for one in findings:
        side = one_sided.get(one.family, 0)
        size = one.effect * side if side else abs(one.effect)
        assert one.alarm == (one.adjusted <= SETTINGS.level and size > one.threshold)


def test_drift_on_a_broken_feed_is_a_fault_though_the_drift_is_seen(world: DriftWorld, drifted: pd.DataFrame) -> None:
    day = drifted["timestamp"]
    gap = (day >= from_days(CUT + 10)) & (day < from_days(CUT + 14))
    found = world.verdict(drifted[~gap])
    assert ("shares", "medium", "category 3") in {(one.family, one.tier, one.what) for one in found.alarms}
    assert found.state == "fault"
    assert "days are missing" in found.reasons()[0]


def test_a_stricter_level_or_higher_limits_silence_an_alarm(world: DriftWorld, drifted: pd.DataFrame) -> None:
    assert world.verdict(drifted).state == "drift"
    limits = {name: limit + 50.0 for name, limit in world.reference.thresholds.items()}
    high_limits = replace(world, reference=replace(world.reference, thresholds=limits))
    assert high_limits.verdict(drifted).state == "steady"
    current = measure_window(world.reference, drifted, world.items, CUT + WIDTH)
    feed = FeedChecks.measure(drifted, world.items, world.reference, CUT + WIDTH, SETTINGS, None)
    strict = SETTINGS.model_copy(update={"level": 1e-40})
    assert evaluate_window(world.reference, current, feed, strict, seed=3).state == "steady"
