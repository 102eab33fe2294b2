"""The gate against closed forms, scipy, exact enumeration, and how often it errs in worlds whose truth is known."""

import itertools
import json

import numpy as np
import pytest
from scipy import stats

from tierrec_core.base.errors import EmptyDataError, GateError
from tierrec_core.evaluation.promotion_gate import GateReport, GateSide, Scores, check_promotion, loss_p_value
from tierrec_core.settings import GateSettings

SETTINGS = GateSettings(bootstraps=400)
NOTHING = GateSide({})


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def scores(delta: np.ndarray, tier: np.ndarray | None = None) -> Scores:
    """Sides that differ by exactly delta; the champion's mean is .4."""
    base = np.linspace(0.15, 0.65, len(delta))
    return Scores(base, base + delta, np.arange(len(delta)) % 3 if tier is None else tier)


def verdict(delta: np.ndarray, seed: int = 0, settings: GateSettings = SETTINGS) -> GateReport:
    return check_promotion({"next": scores(delta)}, NOTHING, NOTHING, settings, rng(seed))


def noise(count: int, mean: float, spread: float = 0.1, seed: int = 1) -> np.ndarray:
    """Differences whose mean and standard deviation are exactly these."""
    drawn = rng(seed).normal(size=count)
    return mean + spread * (drawn - drawn.mean()) / drawn.std()


def check(report: GateReport, name: str) -> bool:
    (found,) = [one for one in report.checks if one.name == name]
    return found.passed


def test_big_samples_have_the_normal_interval():
    delta = noise(8_000, 0.003)
    found = verdict(delta, settings=GateSettings(bootstraps=2000)).tasks["next"].overall
    wanted = stats.norm.interval(0.95, loc=0.003, scale=0.1 / np.sqrt(8_000))
    assert found.users == 8_000
    assert (found.interval.low, found.interval.high) == pytest.approx(wanted, abs=2e-4)


def test_a_small_sample_has_the_interval_of_scipys_bootstrap():
    delta = rng(3).exponential(0.02, 60) - 0.01
    found = verdict(delta, settings=GateSettings(bootstraps=20_000)).tasks["next"].overall.interval
    theirs = stats.bootstrap((delta,), np.mean, n_resamples=20_000, method="percentile", rng=rng(4))
    spread = found.high - found.low
    assert found.low == pytest.approx(theirs.confidence_interval.low, abs=0.04 * spread)
    assert found.high == pytest.approx(theirs.confidence_interval.high, abs=0.04 * spread)


def test_each_tier_has_its_own_interval_and_users():
    tier = np.repeat([0, 1], [600, 300])
    delta = np.r_[noise(600, 0.02), noise(300, -0.004, seed=2)]
    found = check_promotion({"next": scores(delta, tier)}, NOTHING, NOTHING, SETTINGS, rng()).tasks["next"].by_tier
    assert {name: one.users for name, one in found.items()} == {"light": 600, "medium": 300}
    assert found["light"].interval.value == pytest.approx(0.02)
    assert found["medium"].interval.value == pytest.approx(-0.004)


@pytest.mark.parametrize("count", [1, 3, 8, 12])
def test_the_chance_of_a_few_to_lose_is_that_of_all_signs(count: int):
    delta = np.round(rng(count).normal(-0.3, 1.0, count), 1)
    means = [np.mean(delta * signs) for signs in itertools.product([1, -1], repeat=count)]
    wanted = np.mean(np.array(means) <= delta.mean() + 1e-12)
    assert loss_p_value(np.r_[delta, np.zeros(40)]) == pytest.approx(wanted)


@pytest.mark.parametrize("count", [13, 30, 400])
def test_the_chance_of_more_to_lose_is_that_of_scipys_permutations(count: int):
    delta = rng(count).laplace(-0.3 / np.sqrt(count), 0.3, count)
    options = {"permutation_type": "samples", "vectorized": True, "n_resamples": 20_000, "batch": 2_000}
    theirs = stats.permutation_test((delta,), np.mean, alternative="less", rng=rng(), **options)
    assert loss_p_value(delta) == pytest.approx(theirs.pvalue, rel=0.1, abs=0.002)


def test_nobody_moved_and_nobody_lost():
    assert loss_p_value(np.zeros(30)) == 1.0


# means in standard errors of 10,000 users with a spread of 0.1, which is 0.001; the margin is four of them
@pytest.mark.parametrize(
    ("mean", "wanted", "passed"),
    [
        (0.003, "better", True),
        (0.0, "no change", True),
        (-0.0015, "no change", True),
        (0.0018, "no change", True),
        (-0.003, "worse", False),
        (-0.02, "worse", False),
    ],
)
def test_many_users_are_judged_by_the_margin(mean: float, wanted: str, passed: bool):
    found = verdict(noise(10_000, mean))
    assert (found.verdict, found.passed) == (wanted, passed)


@pytest.mark.parametrize("mean", [-0.002, 0.002])
def test_a_significant_difference_that_does_not_matter_is_no_change(mean: float):
    found = verdict(noise(10_000, mean, 0.03))
    assert abs(found.tasks["next"].overall.interval.value) > 0.0015
    assert (found.verdict, found.passed) == ("no change", True)


@pytest.mark.parametrize(
    ("delta", "wanted"),
    [(np.zeros(20), "no change"), (np.zeros(300), "no change"), (noise(60, 0.001), "undecided")],
    ids=["few equal", "many equal", "a wide interval"],
)
def test_without_a_difference_few_users_are_no_reason_to_refuse(delta: np.ndarray, wanted: str):
    found = verdict(delta)
    assert (found.verdict, found.passed) == (wanted, True)


def test_too_few_users_are_no_evidence():
    found = verdict(noise(12, 0.2))
    assert (found.verdict, found.passed) == ("undecided", False)
    assert [one.name for one in found.checks if not one.passed] == ["next: users"]


def test_nobody_is_an_error():
    with pytest.raises(EmptyDataError, match="no user"):
        verdict(np.zeros(0))


def test_a_tier_that_loses_refuses_what_is_better_overall():
    tier = np.repeat([0, 1], [200, 1800])
    delta = np.where(tier == 0, noise(2000, -0.05), noise(2000, 0.02, seed=2))
    found = check_promotion({"next": scores(delta, tier)}, NOTHING, NOTHING, SETTINGS, rng())
    assert found.tasks["next"].overall.interval.low > 0
    assert found.verdict == "worse"
    assert [one.name for one in found.checks if not one.passed] == ["next, light users: NDCG@10"]


def test_a_further_task_that_loses_refuses_too():
    tasks = {"next": scores(noise(2000, 0.02)), "discovery": scores(noise(2000, -0.018, 0.05))}
    found = check_promotion(tasks, NOTHING, NOTHING, SETTINGS, rng())
    assert found.verdict == "worse"
    assert "discovery: NDCG@10" in [one.name for one in found.checks if not one.passed]
    assert check(found, "next: NDCG@10")


def test_a_handful_of_users_who_lose_by_chance_refuses_nothing():
    tier = np.repeat([0, 1], [4, 1000])
    delta = np.where(tier == 0, -0.2, noise(1004, 0.01))
    found = check_promotion({"next": scores(delta, tier)}, NOTHING, NOTHING, SETTINGS, rng())
    assert found.tasks["next"].by_tier["light"].interval.high < -SETTINGS.tier_margin * 0.4
    assert (found.verdict, found.passed) == ("better", True)


def share_refused(loss: float, users: int, worlds: int) -> float:
    """How often a challenger with this true loss everywhere is refused; differences are spiky, as those of NDCG."""
    refused = []
    for world in range(worlds):
        source = rng([users, world])
        tier = source.choice(3, users, p=(0.45, 0.35, 0.2))
        delta = source.laplace(0, 0.08, (2, users)) * (source.random((2, users)) < 0.6) - loss
        tasks = {name: scores(one, tier) for name, one in zip(("next", "discovery"), delta, strict=True)}
        refused.append(not check_promotion(tasks, NOTHING, NOTHING, GateSettings(bootstraps=100), source).passed)
    return float(np.mean(refused))


@pytest.mark.parametrize("users", [40, 200, 800])
def test_an_equal_challenger_is_rarely_refused_whatever_the_number_of_users(users: int):
    # at most 2.5% overall and 2.5% for all else, and the standard error of 80 worlds is 2.4%
    assert share_refused(0.0, users, worlds=80) <= 0.125


@pytest.mark.parametrize(("users", "loss"), [(40, 0.08), (200, 0.03), (800, 0.015)])
def test_a_loss_that_so_many_users_can_show_is_refused(users: int, loss: float):
    assert share_refused(loss, users, worlds=40) >= 0.95


def test_sides_are_held_to_their_limits():
    tasks = {"next": scores(noise(2000, 0.01))}
    champion = GateSide({"next": 0.4}, 0.05, 0.010)
    for side, broken in (
        (GateSide({"next": 0.301}, 0.099, 0.0199), []),
        (GateSide({"next": 0.299}, 0.05, 0.01), ["next: coverage"]),
        (GateSide({}, 0.05, 0.01), ["next: coverage"]),
        (GateSide({"next": 0.4}, 0.101, 0.01), ["churn: calibration error"]),
        (GateSide({"next": 0.4}, 0.05, 0.0201), ["latency: p95"]),
        (GateSide({"next": 0.4}, None, None), []),
    ):
        found = check_promotion(tasks, champion, side, SETTINGS, rng())
        assert [one.name for one in found.checks if not one.passed] == broken
        assert found.verdict == "better"


def test_a_challenger_need_not_be_better_calibrated_than_a_champion_that_misses_the_limit():
    tasks = {"next": scores(noise(2000, 0.01))}
    for error, passed in ((0.14, True), (0.16, False)):
        found = check_promotion(tasks, GateSide({}, 0.15), GateSide({}, error), SETTINGS, rng())
        assert check(found, "churn: calibration error") is passed


def test_the_report_is_json_and_the_same_for_the_same_seed():
    tasks = {"next": scores(noise(500, 0.001)), "discovery": scores(noise(400, -0.05))}
    first, again = (
        check_promotion(tasks, GateSide({"next": 0.2}), GateSide({"next": 0.3}), SETTINGS, rng()) for _ in range(2)
    )
    text = json.dumps(first.report(), allow_nan=False)
    assert text == json.dumps(again.report(), allow_nan=False)
    report = json.loads(text)
    assert report["verdict"] == "worse"
    assert not report["passed"]
    assert {tuple(one) for one in report["checks"]} == {("name", "found", "wanted", "passed")}
    task = report["tasks"]["next"]
    assert task["users"] == 500
    assert task["overall"]["value"] == pytest.approx(0.001)
    assert set(task["overall"]) == {"value", "ci"}
    assert sum(one["users"] for one in task["by_tier"].values()) == 500
    assert task["by_tier"]["light"]["ci"][0] < task["by_tier"]["light"]["value"]


def test_a_refusal_names_what_refused():
    found = verdict(noise(3000, -0.05))
    with pytest.raises(GateError, match=r"next: NDCG@10 is -0\.05.* wanted >= -0\.004") as refusal:
        found.require_passed()
    assert type(refusal.value) is GateError
    assert len(str(refusal.value).splitlines()) == 3
    verdict(noise(3000, 0.01)).require_passed()
