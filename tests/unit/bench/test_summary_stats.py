"""Figures of trials: shares with exact intervals, the parts of power, and delays counted by hand."""

from dataclasses import replace

import pytest
from scipy.stats import beta

from benchmarks.drift import summary_stats
from benchmarks.drift.detection_trials import DetectionTrial

_TRIAL = DetectionTrial("w", 140.0, "placebo", "", "steady", (), (), {"ours": False, "psi_10": True}, 0, 28.0)


@pytest.mark.parametrize(("found", "of"), [(0, 210), (3, 210), (40, 40), (37, 40)])
def test_intervals_are_clopper_and_pearsons_quantiles_of_the_beta_distribution(found, of):
    interval = summary_stats.share_interval(found, of)
    low = beta.ppf(0.025, found, of - found + 1) if found else 0.0
    high = beta.ppf(0.975, found + 1, of - found) if found < of else 1.0
    assert (interval.value, interval.low, interval.high) == pytest.approx((found / of, low, high), abs=1e-9)


def _alarm(trial: DetectionTrial, yes: bool) -> DetectionTrial:
    return replace(trial, alarms={"ours": yes}, state="drift" if yes else "steady")


def test_false_alarms_are_counted_over_all_windows_without_a_change_and_by_source():
    made = [replace(_TRIAL, what="stationary"), _alarm(replace(_TRIAL, what="stationary"), True), _TRIAL, _TRIAL]
    found = summary_stats.detection_figures(made)
    assert (found["placebo_windows"], found["false_alarm_rate"]) == (4, 0.25)
    assert (found["false_alarm_rate_real"], found["false_alarm_rate_synthetic"]) == (0.0, 0.5)
    assert found["psi_10_false_alarm_rate"] == 1.0  # of the three windows on which it was asked


def test_power_is_the_share_of_shifts_seen_with_both_kinds_listed():
    moved = replace(_TRIAL, what="interests 10%")
    made = [
        _TRIAL,
        *(_alarm(replace(moved, part="concentrated"), True) for _ in range(4)),
        *(_alarm(replace(moved, part="diffuse"), number > 0) for number in range(4)),
    ]
    found = summary_stats.detection_figures(made)
    assert found["power_10"] == pytest.approx(7 / 8)
    assert (found["power_10_concentrated"], found["power_10_diffuse"]) == (1.0, 0.75)
    assert "power_20" not in found


def test_delay_is_the_mean_time_to_the_first_alarm_over_found_shifts():
    def shift(seed: int, *seen: bool) -> list[DetectionTrial]:
        trial = replace(_TRIAL, what=summary_stats.DELAY, part="diffuse", seed=seed)
        return [_alarm(replace(trial, days=7.0 * (number + 1)), one) for number, one in enumerate(seen)]

    found = summary_stats.detection_figures(
        [_TRIAL, *shift(1, False, True, True, True), *shift(2, True, False, True, True), *shift(3, *[False] * 4)]
    )
    assert found["delay_windows"] == pytest.approx((0.5 + 0.25) / 2)
    assert found["delay_found"] == pytest.approx(2 / 3, abs=1e-4)


def test_a_named_fault_is_one_that_the_verdict_calls_so_and_drift_would_have_retrained():
    broken = replace(_TRIAL, what="fault", alarms={"ours": False})
    made = [
        replace(broken, part="stale", state="fault"),
        replace(broken, part="stale", state="steady"),
        replace(broken, part="few_bots", state="drift", alarms={"ours": True}),
        replace(broken, what="real", state="drift", alarms={"ours": True}),
    ]
    found = summary_stats.change_figures(made, ["stale"], ["few_bots"])
    assert (found["broken_feed_named"], found["bot_wave_named"]) == (0.5, 0.0)
    assert found["faults_retrained"] == pytest.approx(1 / 3, abs=1e-6)
    assert (found["real_windows"], found["real_windows_alarm"]) == (1, 1)


def test_every_error_is_counted_under_its_own_name():
    shift = replace(_TRIAL, what="interests 10%", part="diffuse")
    made = [
        _TRIAL,
        replace(_alarm(_TRIAL, True), families=("moves/all", "shares/light")),
        shift,
        _alarm(shift, True),
        replace(_TRIAL, what="season", part="return", state="fault"),
        replace(_TRIAL, what="fault", part="stale"),
    ]
    found = summary_stats.miss_figures(made)
    assert found["false_alarm_families"] == {"moves/all": 1, "shares/light": 1}
    assert found["missed_shifts"] == {"interests 10% diffuse on day 140": 1}
    assert found["wrong_faults"] == {"season return": 1}
    assert found["unnamed_faults"] == {"stale": 1}
    assert (found["power_10_trials"], found["power_20_trials"]) == (2, 0)
