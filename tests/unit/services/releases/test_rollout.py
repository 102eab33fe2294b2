"""The rollout's verdict on simulated sides of known rates, tested after every user."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import betaln

from services.releases.rollout import MISMATCH, RolloutArm, decide_rollout, difference_bounds, is_worse_at_limit
from tierrec_core.settings import RolloutSettings

SETTINGS = RolloutSettings(min_users=50, expected_users=2_000)
RUNS, USERS = 400, 3_000
YOUNG, OLD = 1.0, 100.0


def paths(rate, challenger_rate, share=0.2, seed=0):
    """Users and conversions so far after each user, [R, N, 2]; the last axis is champion, challenger."""
    rng = np.random.default_rng(seed)
    is_challenger = rng.random((RUNS, USERS)) < share
    converted = rng.random((RUNS, USERS)) < np.where(is_challenger, challenger_rate, rate)
    sides = np.stack([~is_challenger, is_challenger], axis=-1)
    return sides.cumsum(axis=1), (sides & converted[..., None]).cumsum(axis=1)


def evidence(users, converted):
    """After which users the challenger counts as worse and as better, [R, N] each."""
    found, enough = difference_bounds(users, converted, SETTINGS), users.min(axis=-1) >= SETTINGS.min_users
    return enough & (found.high < 0), enough & (found.low > 0)


def exceeds(num_wrong, alpha):
    """Whether this number of wrong runs shows an error rate above alpha."""
    return stats.binomtest(int(num_wrong), RUNS, alpha, alternative="greater").pvalue < 0.001


def sides(users, converted):
    return [RolloutArm(int(n), int(c), int(n)) for n, c in zip(users, converted, strict=True)]


@pytest.mark.parametrize("rate", [0.02, 0.1, 0.5])
def test_an_equal_challenger_is_rarely_rolled_back_although_it_is_tested_after_every_user(rate):
    users, converted = paths(rate, rate)
    worse, better = evidence(users, converted)
    at_the_limit = is_worse_at_limit(users[:, -1], converted[:, -1], SETTINGS)
    rolled_back = worse.any(axis=1) | at_the_limit
    assert not exceeds(rolled_back.sum(), SETTINGS.alpha)
    assert not exceeds((worse | better).any(axis=1).sum(), SETTINGS.alpha)
    assert not exceeds(at_the_limit.sum(), SETTINGS.alpha / 2)


def test_ordinary_intervals_tested_as_often_would_roll_back_equal_challengers():
    """So the test above can detect an interval that is not always valid."""
    users, converted = paths(0.1, 0.1)
    rate = (converted + 1) / (users + 2)
    error = np.sqrt((rate * (1 - rate) / np.maximum(users, 1)).sum(axis=-1))
    naive = (converted / np.maximum(users, 1) * [-1, 1]).sum(axis=-1) < stats.norm.ppf(0.025) * error
    looked = naive & (users.min(axis=-1) >= SETTINGS.min_users)
    assert exceeds(looked.any(axis=1).sum(), SETTINGS.alpha)


def test_a_broken_challenger_is_rolled_back_early_and_a_good_one_promoted():
    users, converted = paths(0.2, 0.02)
    worse, better = evidence(users, converted)
    assert worse.any(axis=1).all()
    assert np.median(worse.argmax(axis=1)) < 500  # users of both sides, a fifth of them the challenger's
    assert not better.any()
    worse, better = evidence(*paths(0.1, 0.25))
    assert better.any(axis=1).mean() > 0.99
    assert not exceeds(worse.any(axis=1).sum(), SETTINGS.alpha / 2)


def test_a_loss_beyond_the_margin_is_found_at_the_limit_more_often_than_before_it():
    users, converted = paths(0.3, 0.22)
    worse, _ = evidence(users, converted)
    at_the_limit = is_worse_at_limit(users[:, -1], converted[:, -1], SETTINGS)
    assert at_the_limit.mean() > 0.9
    assert worse.any(axis=1).mean() < at_the_limit.mean()


def test_the_test_at_the_limit_is_fishers_exact_test():
    generous = SETTINGS.model_copy(update={"margin": 0.0})
    for converted in ([80, 5], [80, 10], [80, 12], [300, 60], [300, 52]):
        table = [[converted[1], 200 - converted[1]], [converted[0], 800 - converted[0]]]
        wanted = stats.fisher_exact(table, alternative="less").pvalue <= SETTINGS.alpha / 2
        assert is_worse_at_limit(np.array([800, 200]), np.array(converted), generous) == wanted


def test_a_loss_within_the_margin_is_promoted():
    users, converted = np.array([80_000, 20_000]), np.array([8_000, 1_850])  # 7.5% less, beyond chance
    champion, challenger = sides(users, converted)
    assert stats.norm.cdf(-0.0075 / np.sqrt(0.09 / 80_000 + 0.0839 / 20_000)) < 0.001
    assert not is_worse_at_limit(users, converted, SETTINGS)
    assert is_worse_at_limit(users, converted, SETTINGS.model_copy(update={"margin": 0.05}))
    loose = SETTINGS.model_copy(update={"expected_users": 10**9, "alpha": 1e-12})
    assert decide_rollout(champion, challenger, 0.2, OLD, loose).action == "promote"


def test_verdicts_agree_with_the_vectorized_tests():
    rng = np.random.default_rng(3)
    seen = set()
    for rates in ((0.1, 0.1), (0.2, 0.02), (0.1, 0.25)):
        users, converted = paths(*rates, seed=5)
        worse, better = evidence(users, converted)
        for run, step in zip(rng.integers(RUNS, size=60), rng.integers(USERS, size=60), strict=True):
            verdict = decide_rollout(*sides(users[run, step], converted[run, step]), 0.2, YOUNG, SETTINGS)
            wanted = "rollback" if worse[run, step] else "promote" if better[run, step] else "wait"
            assert verdict.action == wanted
            assert (verdict.difference is None) == (users[run, step].min() < SETTINGS.min_users)
            seen.add(verdict.action)
    assert seen == {"rollback", "promote", "wait"}


def test_a_challenger_without_users_is_rolled_back():
    champion = [RolloutArm(users, users // 10, users) for users in range(200)]
    acts = [decide_rollout(one, RolloutArm(), 0.2, YOUNG, SETTINGS) for one in champion]
    first = next(row for row, verdict in enumerate(acts) if verdict.action == "rollback")
    assert "planned shares" in acts[first].reason
    mixture = betaln(80 + first, 20) - betaln(80, 20)  # 100 users' worth of belief in the shares
    assert acts[first].split_p_value == pytest.approx(np.exp(first * np.log(0.8) - mixture))
    assert acts[first].split_p_value < MISMATCH <= acts[first - 1].split_p_value


def test_the_planned_split_is_rarely_rejected_at_any_of_many_tests():
    users, _ = paths(0.1, 0.1)
    champion, challenger = users[..., 0], users[..., 1]
    mixture = betaln(80 + champion, 20 + challenger) - betaln(80, 20)
    chance = np.exp(champion * np.log(0.8) + challenger * np.log(0.2) - mixture)
    least = chance.argmin(axis=1)
    assert not exceeds((chance.min(axis=1) < MISMATCH).sum(), MISMATCH)
    for run in range(5):
        arms = [RolloutArm(int(n), 0, 0) for n in users[run, least[run]]]
        assert decide_rollout(*arms, 0.2, YOUNG, SETTINGS).split_p_value == pytest.approx(
            min(chance[run, least[run]], 1)
        )


def test_at_the_time_limit_a_challenger_that_is_no_worse_is_promoted():
    equal = RolloutArm(800, 80, 900), RolloutArm(200, 20, 210)
    assert decide_rollout(*equal, 0.2, YOUNG, SETTINGS).action == "wait"
    assert decide_rollout(*equal, 0.2, SETTINGS.max_hours, SETTINGS).action == "promote"
    lost = RolloutArm(800, 240, 900), RolloutArm(200, 44, 210)
    before = decide_rollout(*lost, 0.2, YOUNG, SETTINGS)
    after = decide_rollout(*lost, 0.2, OLD, SETTINGS)
    assert (before.action, after.action) == ("wait", "rollback")
    assert "worse beyond 10%" in after.reason


@pytest.mark.parametrize(("without_traffic", "action"), [("hold", "wait"), ("promote", "promote")])
def test_at_the_time_limit_without_users_the_settings_decide(without_traffic, action):
    settings = SETTINGS.model_copy(update={"without_traffic": without_traffic})
    few = RolloutArm(4 * (SETTINGS.min_users - 1), 80, 900), RolloutArm(SETTINGS.min_users - 1, 9, 100)
    for arms in ((RolloutArm(), RolloutArm()), few):
        untested = decide_rollout(*arms, 0.2, OLD, settings)
        assert (untested.action, untested.difference) == (action, None)
        assert "too few users to detect a loss" in untested.reason
        assert ("`tierrec promote`" in untested.reason) is (action == "wait")


def test_without_a_time_limit_the_challenger_is_promoted_at_once():
    at_once = SETTINGS.model_copy(update={"max_hours": 0.0})
    assert decide_rollout(RolloutArm(500, 50, 500), RolloutArm(), 0.2, 0.0, at_once).action == "promote"


def test_a_challenger_for_all_users_has_no_comparison():
    everybody = RolloutArm(), RolloutArm(5_000, 10, 5_000)
    young, old = (decide_rollout(*everybody, 1.0, age, SETTINGS) for age in (YOUNG, OLD))
    assert (young.action, old.action) == ("wait", "promote")
    assert young.split_p_value == 1.0
