"""Figures of probabilities against scikit-learn, against counting, and against the interval of a mean."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, roc_auc_score

from tierrec_core.evaluation.bootstrap import bootstrap_mean, resample_counts
from tierrec_core.evaluation.calibration import evaluate_probabilities, reliability, roc_auc


def made(seed=0, num=300):
    """Labels that come true as often as `honest` says; `sure` says the same in too strong words."""
    rng = np.random.default_rng(seed)
    honest = rng.random(num).round(2)
    sure = np.where(honest > 0.5, 1 - (1 - honest) ** 2, honest**2)
    return rng.random(num) < honest, {"honest": honest, "sure": sure, "constant": np.full(num, 0.5)}


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4), st.integers(0, 3)), min_size=2, max_size=40))
def test_area_is_scikit_learns_with_weights_and_ties(rows):
    label, score, weight = (np.array(column) for column in zip(*rows, strict=True))
    found = roc_auc(label, score, weight[None].astype(float))[0]
    if weight[label].sum() and weight[~label].sum():
        assert found == pytest.approx(roc_auc_score(label, score, sample_weight=weight))
    else:
        assert np.isnan(found)


def test_samples_are_drawn_with_replacement_in_chunks():
    parts = list(resample_counts(2_100_000, 2, np.random.default_rng(0)))
    assert [len(part) for part in parts] == [1, 1]
    counts = np.concatenate(parts)
    assert (counts.sum(axis=1) == 2_100_000).all()
    assert counts.var() == pytest.approx(1.0, abs=0.01)


def test_points_are_scikit_learns_and_counted():
    label, models = made()
    blocks = evaluate_probabilities(label, models, "constant", 50, np.random.default_rng(0))
    for name, said in models.items():
        tenth = pd.qcut(said, 10, duplicates="drop") if name != "constant" else np.zeros(len(said))
        table = pd.DataFrame({"said": said, "true": label}).groupby(tenth, observed=True)
        gaps = (table["said"].mean() - table["true"].mean()).abs() * table.size() / len(label)
        assert blocks[name]["auc"] == pytest.approx(roc_auc_score(label, said), abs=1e-6)
        assert blocks[name]["brier"] == pytest.approx(brier_score_loss(label, said), abs=1e-6)
        assert blocks[name]["ece"] == pytest.approx(gaps.sum(), abs=1e-6)


def test_the_interval_of_brier_is_that_of_a_mean():
    label, models = made()
    block = evaluate_probabilities(label, models, "sure", 4000, np.random.default_rng(0))["honest"]
    error = {name: (models[name] - label) ** 2 for name in ("honest", "sure")}
    mean = bootstrap_mean(error["honest"], 4000, np.random.default_rng(1))
    delta = bootstrap_mean(error["honest"] - error["sure"], 4000, np.random.default_rng(2))
    assert block["brier_ci"] == pytest.approx([mean.low, mean.high], abs=0.05 * (mean.high - mean.low))
    found = block["delta_brier"]
    assert found["against"] == "sure"
    assert found["ci"] == pytest.approx([delta.low, delta.high], abs=0.05 * (delta.high - delta.low))


def test_intervals_hold_their_point_and_honesty_shows():
    label, models = made(seed=1, num=4000)
    blocks = evaluate_probabilities(label, models, "sure", 200, np.random.default_rng(0))
    for block in blocks.values():
        for name in ("auc", "brier", "ece"):
            assert block[f"{name}_ci"][0] <= block[name] <= block[f"{name}_ci"][1]
    assert blocks["honest"]["ece"] < 0.03 < blocks["sure"]["ece"]
    assert blocks["honest"]["delta_ece"]["ci"][1] < 0
    assert blocks["constant"]["auc"] == 0.5


def test_a_model_against_its_copy_differs_by_nothing():
    label, models = made()
    both = {"one": models["honest"], "two": models["honest"].copy()}
    block = evaluate_probabilities(label, both, "one", 100, np.random.default_rng(0))["two"]
    assert [block[f"delta_{name}"]["ci"] for name in ("auc", "brier", "ece")] == [[0.0, 0.0]] * 3


def test_no_order_is_judged_by_four_rows():
    label = np.arange(100) < 4
    block = evaluate_probabilities(label, {"one": np.linspace(1, 0, 100)}, "one", 20, np.random.default_rng(0))["one"]
    assert set(block) == {"brier", "brier_ci", "ece", "ece_ci"}


def test_reliability_counts():
    label, models = made()
    table = pd.DataFrame(reliability(label, models["honest"]))
    assert len(table) == 10
    assert table["rows"].sum() == len(label)
    for row in table.itertuples():
        inside = (models["honest"] >= row[list(table).index("from") + 1]) & (models["honest"] <= row.to)
        assert inside.sum() == row.rows
        assert row.observed == pytest.approx(label[inside].mean(), abs=1e-6)
        assert row.predicted == pytest.approx(models["honest"][inside].mean(), abs=1e-6)
        assert row.observed_low <= row.observed <= row.observed_high
