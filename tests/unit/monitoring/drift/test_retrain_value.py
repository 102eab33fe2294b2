"""The loss adds up over looks as by hand, and is above or below the worth of a retrain only with confidence."""

import math

import pytest

from monitoring.drift import CanaryResult, RetrainValue
from tierrec_core.evaluation.bootstrap import ConfidenceInterval


def result(end: float, value: float, half: float, *, cut: float = 100.0) -> CanaryResult:
    return CanaryResult(cut, end - 7, end, ConfidenceInterval(value, value - half, value + half), 500)


def bounds(value: RetrainValue) -> tuple[float, float, float]:
    assert value.loss is not None
    return value.loss.value, value.loss.low, value.loss.high


def test_the_first_result_stands_for_the_days_that_its_model_is_newer() -> None:
    value = RetrainValue.of(result(110, 0.002, 0.001), [], 0.01)
    assert bounds(value) == pytest.approx((0.006, 0.006 - 0.001 * math.sqrt(21), 0.006 + 0.001 * math.sqrt(21)))


def test_results_add_up_with_the_days_between_them() -> None:
    looks = [result(114, 0.001, 0.0005), result(128, 0.002, 0.0005), result(142, 0.003, 0.001)]
    half = math.sqrt((7 * 0.0005) ** 2 + (14 * 0.0005) ** 2 + (14 * 0.001) ** 2)
    total = 7 * 0.001 + 14 * 0.002 + 14 * 0.003
    for earlier in (looks[:2], looks[1::-1], [*looks[:2], *looks[:2], looks[2]]):  # any order, and looks twice
        assert bounds(RetrainValue.of(looks[2], earlier, 0.1)) == pytest.approx((total, total - half, total + half))


def test_a_model_that_lost_nothing_for_months_has_no_credit_when_it_begins_to_lose() -> None:
    quiet = [result(114 + 14 * look, -0.01, 0.002) for look in range(5)]
    value = RetrainValue.of(result(184, 0.004, 0.001), quiet, 0.03)
    assert bounds(value) == pytest.approx((0.056, 0.042, 0.070))
    assert value.pays


def test_daily_looks_at_one_week_are_no_seven_proofs() -> None:
    daily = [result(114 + day, 0.001, 0.0005) for day in range(15)]
    weekly = [result(114 + day, 0.001, 0.0005) for day in (0, 7, 14)]
    each, once = (RetrainValue.of(looks[-1], looks[:-1], 0.1) for looks in (daily, weekly))
    assert bounds(each) == pytest.approx(bounds(once))


def test_other_champions_and_looks_without_a_result_count_for_nothing() -> None:
    newest = result(128, 0.002, 0.001)
    others = [result(114, 0.5, 0.1, cut=99.0), CanaryResult(100.0, 107.0, 114.0, reason="few users")]
    assert bounds(RetrainValue.of(newest, others, 0.1)) == bounds(RetrainValue.of(newest, [], 0.1))
    assert RetrainValue.of(others[1], [newest], 0.1).loss is None


def test_a_look_after_a_long_break_stands_for_a_month_at_most() -> None:
    value = RetrainValue.of(result(300, 0.001, 0.0005), [result(114, 0.001, 0.0005)], 0.1)
    assert bounds(value)[0] == pytest.approx(0.035)


@pytest.mark.parametrize(
    ("gain", "half", "worth", "pays", "cannot"),
    [
        (0.004, 0.001, 0.018, True, False),  # .028 +- .007
        (0.003, 0.001, 0.018, False, False),  # .021 +- .007: perhaps
        (0.001, 0.001, 0.018, False, True),  # .007 +- .007
        (0.001, 0.001, 0.013, False, False),
        (0.001, 0.004, 0.018, False, False),  # .007 +- .028: too few users to tell
        (-0.002, 0.001, 0.018, False, True),
        (0.001, 0.0005, 0.0, True, False),
    ],
)
def test_a_retrain_pays_or_does_not_by_the_interval(
    gain: float, half: float, worth: float, pays: bool, cannot: bool
) -> None:
    value = RetrainValue.of(result(114, gain, half), [], worth)
    assert (value.pays, value.cannot_pay) == (pays, cannot)


def test_the_sentence_has_the_loss_the_worth_and_the_gain() -> None:
    sentence = RetrainValue.of(result(19_723 + 7, 0.004, 0.001, cut=19_716.0), [], 0.018).sentence()
    assert sentence == (
        "without a retrain 0.028 [0.021, 0.035] NDCG@10 x days are lost since the training, +0.0040 [+0.0030, +0.0050] "
        "a day in the last week, against a model trained up to 2024-01-01 (500 users); a retrain is worth 0.018"
    )
    unknown = RetrainValue.of(CanaryResult(1.0, 1.0, 8.0, reason="few users"), [], 0.018)
    assert unknown.sentence() == "what a retrain would gain is not known: few users"
