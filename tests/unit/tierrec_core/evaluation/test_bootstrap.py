"""Intervals against scipy's bootstrap, and against how often they hold the truth."""

import numpy as np
import pytest
from scipy import stats

from tierrec_core.base.errors import EmptyDataError
from tierrec_core.evaluation.bootstrap import bootstrap_by_group, bootstrap_mean, bootstrap_means, paired_bootstrap


def rng(seed=0):
    return np.random.default_rng(seed)


def test_agrees_with_scipy():
    values = rng(1).exponential(size=300)
    ours = bootstrap_mean(values, 20_000, rng())
    theirs = stats.bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=rng(2))
    assert ours.value == pytest.approx(values.mean())
    spread = ours.high - ours.low
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=0.03 * spread)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=0.03 * spread)


def test_holds_the_true_mean_about_as_often_as_it_says():
    source = rng(3)
    held = []
    for _ in range(600):
        found = bootstrap_mean(source.normal(2.0, 1.0, size=80), 400, source)
        held.append(found.low <= 2.0 <= found.high)
    # the standard error of a share of 0.95 in 600 worlds is 0.009
    assert 0.92 <= np.mean(held) <= 0.98


def test_identical_lists_differ_by_exactly_nothing():
    values = rng(4).random(50)
    found = paired_bootstrap(values, values.copy(), 500, rng())
    assert (found.value, found.low, found.high) == (0.0, 0.0, 0.0)


def test_pairing_sees_what_two_single_intervals_cannot():
    users = rng(5)
    baseline = users.random(200)
    model = baseline + 0.02 + users.normal(0, 0.01, 200)
    first, second = bootstrap_mean(model, 1000, rng()), bootstrap_mean(baseline, 1000, rng())
    assert first.low < second.high
    assert paired_bootstrap(model, baseline, 1000, rng()).low > 0.018


def test_columns_share_their_users():
    values = rng(6).random((100, 2))
    together = bootstrap_means(np.c_[values, values[:, 0] - values[:, 1]], 500, rng())
    alone = paired_bootstrap(values[:, 0], values[:, 1], 500, rng())
    assert (together[2].low, together[2].high) == (pytest.approx(alone.low), pytest.approx(alone.high))
    assert bootstrap_means(values, 500, rng()) == bootstrap_means(values, 500, rng())


def test_chunks_draw_the_same_as_one_by_one():
    values = rng(7).random((3_000_000, 1))
    source = rng()
    means = [values[source.integers(3_000_000, size=3_000_000)].mean() for _ in range(3)]
    found = bootstrap_means(values, 3, rng())[0]
    low, high = np.percentile(means, [2.5, 97.5])
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))


def test_groups_are_averaged_apart():
    values, group = np.array([1.0, 3.0, 10.0, 10.0]), np.array([0, 0, 2, -1])
    found = bootstrap_by_group(values, group, ["light", "medium", "heavy"], 100, rng())
    assert {name: one.value for name, one in found.items()} == {"light": 2.0, "heavy": 10.0}
    assert (found["light"].low, found["light"].high) == (1.0, 3.0)


def test_nobody_is_named():
    with pytest.raises(EmptyDataError, match="no user"):
        bootstrap_mean(np.array([]), 10, rng())
