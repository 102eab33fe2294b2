"""The benchmark's evaluator against resampled pairs one by one, and its pairs against the log."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from benchmarks.families.multitask.evaluator import Evaluator


@pytest.fixture
def evaluator():
    rng = np.random.default_rng(0)
    user = np.repeat(np.arange(30), 20)
    return Evaluator.of(rng.random(600) < 0.2, user, draws=40, seed=1)


@pytest.fixture
def probability(evaluator):
    return (np.random.default_rng(2).random(600) + evaluator.label) / 4


def test_areas_are_those_of_the_drawn_households(evaluator, probability):
    found = evaluator([probability])
    assert found.auc == pytest.approx(roc_auc_score(evaluator.label, probability))
    for counts, drawn in zip(evaluator.counts, found.drawn_auc, strict=True):
        weight = counts[evaluator.user]
        assert drawn == pytest.approx(roc_auc_score(evaluator.label, probability, sample_weight=weight), abs=1e-5)


def test_calibration_error_by_hand(evaluator, probability):
    order = np.argsort(probability).reshape(10, 60)
    gaps = [abs((probability[tenth] - evaluator.label[tenth]).sum()) for tenth in order]
    assert evaluator([probability]).ece == pytest.approx(sum(gaps) / 600, rel=1e-3)


def test_a_model_is_not_ahead_of_itself(evaluator, probability):
    found = evaluator([probability, probability])
    assert found.by_seed[0] == found.by_seed[1]
    assert found.ahead_of(evaluator([probability])) == {"value": 0.0, "ci": [0.0, 0.0]}
