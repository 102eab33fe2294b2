"""The loop's charts over time, and the intervals of a gate's report."""

import random

import pytest

from monitoring.drift import DriftReference
from monitoring.drift.statistics.effect_limits import BOUNDS
from monitoring.drift.statistics.paired_tests import paired_comparisons
from monitoring.report import effect_timeline
from monitoring.report.loop_history import difference_bars
from tierrec_core.settings import MonitorSettings


def finding(family="shares", **changes) -> dict:
    figures = {"before": 0.1, "after": 0.2, "effect": 0.1, "threshold": 0.1, "p_value": 0.01, "adjusted": 0.02}
    return {"family": family, "tier": "all", "what": "x", "alarm": False} | figures | changes


def decision(end: str, *findings: dict, key: str = "k") -> dict:
    return {"at": f"{end}T06:00:00+00:00", "window": {"start": end, "end": end}, "key": key, "findings": findings}


def test_every_family_has_a_name_and_counts_the_changes_that_the_verdict_counts(training, events, items):
    reference = DriftReference.build(
        events, items, training.history.now, training.tiering, training.history, MonitorSettings(window_days=20)
    )
    sides = {one.family: one.side for one in paired_comparisons(reference.pair_with(reference.window))}
    assert set(effect_timeline.FAMILIES) == set(BOUNDS) == {*sides, "online"}
    assert {name: effect_timeline.FAMILIES[name][1] for name in sides} == sides


@pytest.mark.parametrize(
    ("family", "effect", "wanted"),
    [("shares", -0.2, 2.0), ("new_items", -0.2, -2.0), ("new_items", 0.2, 2.0), ("interests", -0.2, 2.0)],
)
def test_only_the_side_that_counts_is_positive(family, effect, wanted):
    assert effect_timeline.effect_ratio(finding(family, effect=effect)) == pytest.approx(wanted)
    assert effect_timeline.effect_ratio(finding(family, effect=effect, threshold=0.0)) == 0


def test_alarms_come_first_and_then_the_largest_relative_to_its_limit():
    all_findings = [
        finding(what=str(place), effect=random.Random(place).uniform(-1, 1), alarm=place % 3 == 0)
        for place in range(12)
    ]
    found = effect_timeline.rank_findings(all_findings)
    assert [one["alarm"] for one in found] == [True] * 4 + [False] * 8
    for part in (found[:4], found[4:]):
        assert [abs(one["effect"]) for one in part] == sorted((abs(one["effect"]) for one in part), reverse=True)


def test_points_lie_where_their_date_and_their_ratio_say():
    decisions = [
        decision("2024-01-08", finding(effect=0.2)),
        decision("2024-01-01", finding(effect=0.1)),
        decision("2024-01-29", finding(effect=0.9, alarm=True), finding(effect=2.0)),
    ]
    (chart,) = effect_timeline.effect_charts(decisions)
    first, second, third = chart.points
    assert first.y == chart.limit  # an effect that equals its limit
    assert first.y - second.y == pytest.approx((chart.limit - third.y) / (effect_timeline.MAX_RATIO - 1), abs=0.11)
    assert (second.x - first.x) / (third.x - first.x) == pytest.approx(7 / 28, abs=0.01)
    assert (third.alarm, third.clipped, third.ratio) == (True, True, pytest.approx(9))
    assert all(0 < point.x < effect_timeline.WIDTH and 0 < point.y < effect_timeline.HEIGHT for point in chart.points)
    assert chart.summary == "Categories: 1 of 3 windows alarm; newest 9 times the limit"


def test_the_order_of_the_records_does_not_matter_and_old_windows_are_left_out():
    decisions = [
        decision(f"20{10 + year}-{month:02d}-01", finding(effect=year / 10 + 0.1), finding("volume"), key=str(month))
        for year in range(8)
        for month in range(1, 13)
    ]
    shuffled = random.Random(1).sample(decisions, len(decisions))
    assert effect_timeline.effect_charts(shuffled) == effect_timeline.effect_charts(decisions)
    assert [chart.title for chart in effect_timeline.effect_charts(decisions)] == ["Categories", "Events per user"]
    assert len(effect_timeline.effect_charts(decisions)[0].points) == effect_timeline.MAX_WINDOWS
    assert effect_timeline.effect_charts(decisions)[0].points[-1].label.startswith("2017-12-01")


def test_a_window_without_a_family_leaves_a_gap_and_a_new_family_is_still_shown():
    found = effect_timeline.effect_charts(
        [decision("2024-01-01", finding()), decision("2024-01-08", finding("rhythm_of_day"))]
    )
    assert [(chart.title, len(chart.points)) for chart in found] == [("Categories", 1), ("Rhythm of day", 1)]
    assert effect_timeline.effect_charts([]) == []


def test_a_gates_intervals_share_an_axis_and_the_main_task_comes_first():
    def part(low: float, high: float) -> dict:
        return {"value": (low + high) / 2, "ci": [low, high], "users": 7}

    gate = {
        "tiers": ["light", "medium", "heavy"],
        "tasks": {
            "discovery": {"users": 9, "overall": {"value": 0.0, "ci": [-0.1, 0.1]}, "by_tier": {}},
            "next": {
                "users": 21,
                "overall": {"value": 0.02, "ci": [0.01, 0.03]},
                "by_tier": {"heavy": part(-0.4, -0.2), "light": part(-0.1, 0.1)},
            },
        },
    }
    found = difference_bars(gate)
    assert [(one.task, one.group, one.users, one.difference.sign) for one in found] == [
        ("next", "all users", 21, "better"),
        ("next", "light users", 7, "even"),
        ("next", "heavy users", 7, "worse"),
        ("discovery", "all users", 9, "even"),
    ]
    assert {one.reach for one in found} == {0.4}
    assert [found[2].percent(value) for value in (-0.4, 0.0, 0.4, -0.2)] == [0.0, 50.0, 100.0, 25.0]
    assert difference_bars({}) == []
