"""The small classifiers, held against the conditions of their optima and a world whose odds are known."""

import numpy as np
import pytest
from scipy.special import expit

from tierrec_core.base import artifacts
from tierrec_core.propensity.classifier import Classifier, log_odds
from tierrec_core.settings import BoostingSettings

COLUMNS = ("first", "second", "still")
SMALL = BoostingSettings(num_trees=30, min_data_in_leaf=20)


def world(num=1500, seed=0):
    """Two features that count and one that never moves; the log odds are linear."""
    rng = np.random.default_rng(seed)
    values = np.column_stack([rng.normal(3, 2, num), rng.exponential(1, num), np.full(num, 7.0)])
    odds = -1.0 + 0.8 * (values[:, 0] - 3) - 0.5 * values[:, 1]
    return values, rng.random(num) < expit(odds), odds


def test_the_weights_are_the_optimum_of_the_penalised_likelihood():
    values, label, _ = world()
    found = Classifier.logistic(COLUMNS, values, label, l2=20.0)
    standard = (values - found.centre) / found.scale
    error = found.probability(values) - label
    np.testing.assert_allclose(standard.T @ error + 20.0 * found.weights, 0, atol=1e-3)
    assert error.sum() == pytest.approx(0, abs=1e-3)


def test_known_odds_are_recovered():
    values, label, odds = world(20_000)
    found = Classifier.logistic(COLUMNS, values, label, l2=1.0)
    assert np.abs(found.probability(values) - expit(odds)).max() < 0.05
    assert list(found.importance) == ["first", "second", "still"]
    assert found.importance["still"] == 0.0


@pytest.mark.parametrize("label", [np.arange(40) % 3 == 0, np.ones(40, bool), np.arange(40) < 20])
def test_calibration_is_the_optimum_for_platts_soft_targets(label):
    values = np.arange(40.0)[:, None]
    found = Classifier.prior(("one",), -20.0, "one").calibrated(values, label)
    high, low = (label.sum() + 1) / (label.sum() + 2), 1 / ((~label).sum() + 2)
    error = found.probability(values) - np.where(label, high, low)
    assert error.sum() == pytest.approx(0, abs=1e-3)
    assert error @ (values[:, 0] - 20.0) / 20 == pytest.approx(0, abs=1e-3)


def test_calibration_takes_back_what_was_said_too_strongly():
    _, label, odds = world(20_000)
    boast = Classifier.prior(("odds",), 1.0, "odds").calibrated(3 * odds[:, None], label)
    assert boast.slope == pytest.approx(1 / 3, abs=0.03)
    assert np.abs(boast.probability(3 * odds[:, None]) - expit(odds)).max() < 0.05


def test_trees_are_the_same_at_each_fit_and_tell_the_order():
    values, label, odds = world()
    one, two = (Classifier.boosted(COLUMNS, values, label, SMALL, seed=3) for _ in range(2))
    assert one.trees == two.trees
    assert np.corrcoef(one.probability(values), expit(odds))[0, 1] > 0.9
    assert next(iter(one.importance)) == "first"
    assert sum(one.importance.values()) == pytest.approx(1.0)


@pytest.mark.parametrize("trees", [False, True])
def test_survives_disk_exactly_and_takes_no_rows(trees, tmp_path):
    values, label, _ = world()
    found = (
        Classifier.boosted(COLUMNS, values, label, SMALL, seed=3)
        if trees
        else Classifier.logistic(COLUMNS, values, label, 1.0)
    ).calibrated(values, label)
    artifacts.save(found, tmp_path / "model")
    again = artifacts.load(Classifier, tmp_path / "model")
    np.testing.assert_array_equal(again.probability(values), found.probability(values))
    assert again.probability(values[:0]).shape == (0,)


def test_a_prior_says_the_share_or_what_it_trusts():
    label = np.arange(98) < 24
    same = Classifier.prior((), log_odds(label)).probability(np.zeros((5, 0)))
    np.testing.assert_allclose(same, 25 / 100)
    trusting = Classifier.prior(COLUMNS, 0.0, "second").probability(world()[0])
    np.testing.assert_allclose(trusting, expit(world()[0][:, 1]))
    assert log_odds(np.zeros(0, bool)) == 0.0
