"""Confidence sequences against their own theory by quadrature, against scipy, and in worlds whose truth is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, optimize, stats

from tierrec_core.base.errors import SettingsError
from tierrec_core.evaluation.confidence_sequences import ConfidenceSequence, Moments, proportion, split_p_value

ALPHA, NUM_RUNS, BATCH, USERS = 0.05, 400, 50, 4000
PEEKS = np.arange(BATCH, USERS + 1, BATCH)


def converted(rng, rate):
    """Conversions so far at each peek, [R, P]."""
    return rng.binomial(BATCH, rate, (NUM_RUNS, len(PEEKS))).cumsum(axis=1)


def ab(rate_a, rate_b, seed=0):
    """400 experiments of two groups, looked at 80 times each."""
    rng = np.random.default_rng(seed)
    first, second = (Moments.of_successes(PEEKS, converted(rng, rate)) for rate in (rate_a, rate_b))
    return second, first


def exceeds_alpha(num_wrong, alpha=ALPHA):
    """Whether so many of the runs show that errors are more frequent than alpha."""
    return stats.binomtest(int(num_wrong), NUM_RUNS, alpha, alternative="greater").pvalue < 0.001


def wrong(bounds, truth):
    """In how many runs the truth was outside at any look."""
    return ((bounds.low > truth) | (bounds.high < truth)).any(axis=1).sum()


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.5])
def test_peeking_makes_no_false_discoveries_while_the_naive_interval_does(rate):
    sample, baseline = ab(rate, rate)
    found = ConfidenceSequence.tuned(2 * USERS, ALPHA).difference(sample, baseline)
    assert not exceeds_alpha(wrong(found, 0.0))
    error = np.sqrt(sample.variance / sample.count + baseline.variance / baseline.count)
    naive = np.abs(found.estimate) > stats.norm.ppf(1 - ALPHA / 2) * error
    assert exceeds_alpha(naive.any(axis=1).sum())


def test_differences_of_skewed_values_are_covered_too():
    rng = np.random.default_rng(1)
    sides = []
    for rate in (0.3, 0.5):
        values = rng.poisson(rate, (NUM_RUNS, USERS)) * rng.integers(1, 5, (NUM_RUNS, USERS))
        means, squares = (array.cumsum(axis=1)[:, PEEKS - 1] / PEEKS for array in (values, values**2))
        sides.append(Moments(PEEKS, means, (squares - means**2) * PEEKS / (PEEKS - 1)))
    found = ConfidenceSequence.tuned(2 * USERS, ALPHA).difference(sides[1], sides[0])
    assert not exceeds_alpha(wrong(found, 0.2 * 2.5))


def test_a_real_effect_is_found_and_has_its_sign():
    found = ConfidenceSequence.tuned(2 * USERS, ALPHA).difference(*ab(0.10, 0.14))
    assert (found.low > 0).any(axis=1).mean() > 0.95
    assert (found.high < 0).any(axis=1).mean() <= ALPHA
    assert not exceeds_alpha(wrong(found, 0.04))


def test_reach_is_where_the_mixture_of_likelihood_ratios_crosses():
    """Ville's inequality for a normal mixture: at the bound the mixture martingale is 1 / alpha."""
    sequence = ConfidenceSequence.tuned(500, ALPHA)
    for count in (20, 500, 20_000):
        total = sequence.critical(np.array(count)) * np.sqrt(count)
        mixture, _ = integrate.quad(
            lambda shift, total=total, count=count: np.exp(
                shift * total - shift**2 * count / 2 + stats.norm.logpdf(shift, 0, sequence.rho)
            ),
            *(np.array([-12, 12]) / np.sqrt(count) + total / count),
        )
        assert mixture == pytest.approx(1 / ALPHA, rel=1e-6)


@pytest.mark.parametrize("expected", [100, 40_000])
@pytest.mark.parametrize("alpha", [0.2, 0.05, 0.001])
def test_no_rho_is_tighter_at_the_tuned_count(expected, alpha):
    tuned = ConfidenceSequence.tuned(expected, alpha)
    best = optimize.minimize_scalar(
        lambda log_rho: ConfidenceSequence(alpha, np.exp(log_rho)).critical(np.array(expected)),
        bounds=(np.log(tuned.rho) - 5, np.log(tuned.rho) + 5),
        method="bounded",
    )
    assert tuned.critical(np.array(expected)) == pytest.approx(best.fun, rel=1e-6)


def test_looking_at_any_time_costs_about_half_again_in_width():
    sequence = ConfidenceSequence.tuned(10_000, 0.05)
    ratio = sequence.critical(np.array([10_000, 1000, 100_000])) / stats.norm.ppf(0.975)
    assert 1.5 < ratio[0] < 1.6
    assert (ratio[1:] > ratio[0]).all()
    assert (ratio < 2).all()


def test_standard_error_of_a_difference_is_welchs():
    rng = np.random.default_rng(2)
    first, second = rng.normal(1, 3, 70), rng.exponential(2, 40)
    sequence = ConfidenceSequence.tuned(100)
    figures = [(len(values), values.mean(), values.var(ddof=1)) for values in (first, second)]
    found = sequence.difference(*(Moments(*np.array(three)[:, None]) for three in figures))
    error = (found.high - found.estimate) / sequence.critical(np.array([110]))
    peer = stats.ttest_ind(first, second, equal_var=False)
    assert found.estimate / error == pytest.approx(peer.statistic)


def test_nothing_seen_is_nothing_known():
    nobody, somebody = (Moments.of_successes(np.array([n]), np.array([0])) for n in (0, 50))
    sequence = ConfidenceSequence.tuned(100)
    assert sequence.difference(nobody, somebody).high == np.inf
    assert sequence.difference(somebody, nobody).low == -np.inf
    assert sequence.difference(somebody, somebody).high > 0  # no conversion yet is no certainty
    bounds = proportion(np.array([0]), np.array([0]))
    assert (bounds.low, bounds.high) == (0, 1)


@pytest.mark.parametrize("rate", [0.02, 0.3])
def test_a_proportion_is_held_at_every_single_observation(rate):
    count = np.arange(1, 301)
    successes = np.random.default_rng(3).binomial(1, rate, (NUM_RUNS, len(count))).cumsum(axis=1)
    assert not exceeds_alpha(wrong(proportion(successes, count), rate))


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_a_proportions_bounds_are_where_the_bets_against_them_pay(case):
    """At a bound the average likelihood over the prior is 1 / alpha times its own; inside it is less."""
    successes, count = case
    found = proportion(np.array([successes]), np.array([count]), ALPHA)
    assert 0 <= found.low[0] <= successes / count <= found.high[0] <= 1
    mixture = stats.betabinom.pmf(successes, count, 0.5, 0.5)
    ratios = [mixture / stats.binom.pmf(successes, count, float(p[0])) for p in (found.low, found.high)]
    inner = [ratio for ratio, edge in zip(ratios, (successes > 0, successes < count), strict=True) if edge]
    assert inner == pytest.approx([1 / ALPHA] * len(inner), rel=1e-6)


def test_planned_shares_are_not_doubted_at_any_look():
    rng, shares = np.random.default_rng(4), np.array([0.5, 0.3, 0.2])
    counts = rng.multinomial(BATCH, shares, (NUM_RUNS, 40)).cumsum(axis=1)
    least = [min(split_p_value(row, shares) for row in run) for run in counts]
    assert not exceeds_alpha((np.array(least) < ALPHA).sum())


def test_a_wrong_split_is_found():
    shares = np.array([0.5, 0.5])
    assert split_p_value(np.array([5400, 4600]), shares) < 1e-9
    assert split_p_value(np.array([5020, 4980]), shares) > 0.5
    assert split_p_value(np.array([0, 0]), shares) == 1.0


def test_evidence_about_the_split_is_the_dirichlet_mixture():
    """With two groups the mixture is an integral over one share."""
    counts, shares = np.array([130, 70]), np.array([0.5, 0.5])
    mixture, _ = integrate.quad(
        lambda p: np.exp(stats.binom.logpmf(130, 200, p) + stats.beta.logpdf(p, 50, 50)), 0, 1, points=[0.6]
    )
    assert split_p_value(counts, shares) == pytest.approx(stats.binom.pmf(130, 200, 0.5) / mixture)


@pytest.mark.parametrize(("alpha", "expected"), [(0.0, 100), (1.0, 100), (0.05, 0)])
def test_senseless_settings_are_told(alpha, expected):
    with pytest.raises(SettingsError, match="confidence sequence"):
        ConfidenceSequence.tuned(expected, alpha)
