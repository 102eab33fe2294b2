"""EASE against its own optimality condition: the ridge gradient is zero off the diagonal."""

import dataclasses

import numpy as np
import pytest

from tierrec_core.data.interactions import Interactions
from tierrec_core.models.ease import Ease

L2 = 20.0


def fit(training, rows, **options):
    few = dataclasses.replace(training, history=training.history.select_users(np.arange(rows)))
    return Ease.fit(few, Ease.Config(l2=L2, **options))


def weights(model, items):
    """B, read off by scoring: one visitor a row who met a single item once, binary values."""
    visitors = [Interactions.from_history([item], items, now=0.0).binary_matrix().toarray()[0] for item in items]
    np.testing.assert_array_equal(visitors, np.eye(len(items)))
    return np.stack([model.score_catalogue(Interactions.from_history([item], items, now=0.0))[0] for item in items])


@pytest.mark.parametrize(("rows", "dual"), [(60, False), (25, True)])
def test_weights_are_the_ridge_optimum(training, rows, dual):
    model = fit(training, rows, values="binary")
    assert (model.precision.rows is not None) == dual
    found = weights(model, training.history.items).astype(float)
    x = training.history.select_users(np.arange(rows)).binary_matrix().toarray().astype(float)
    gradient = x.T @ (x @ found - x) + L2 * found
    np.testing.assert_allclose(gradient - np.diag(np.diag(gradient)), 0, atol=1e-3)
    np.testing.assert_allclose(np.diag(found), 0, atol=1e-5)


@pytest.mark.parametrize("values", ["binary", "log_count", "log_decayed"])
def test_dual_form_is_the_primal_form(training, values):
    history = training.history.select_users(np.arange(25))
    matrix = history.binary_matrix() if values == "binary" else history.matrix()
    matrix = history.decayed_matrix(60.0) if values == "log_decayed" else matrix
    x = matrix.toarray().astype(float)
    x = x if values == "binary" else np.log1p(x)
    inverse = np.linalg.inv(x.T @ x + L2 * np.eye(x.shape[1]))
    primal = np.eye(x.shape[1]) - inverse / np.diag(inverse)
    found = fit(training, 25, values=values).score_catalogue(history)
    np.testing.assert_allclose(found, x @ primal, atol=1e-4)


def test_a_strong_pull_leaves_little(training):
    strong = Ease.fit(training, Ease.Config(l2=1e9)).score_catalogue(training.history)
    assert np.abs(strong).max() < 1e-3


def test_low_rank_form_is_ease_of_the_nearest_matrix_of_that_rank(training):
    """Against the closed form on what the first 7 singular values give."""
    model = fit(training, 60, values="binary", max_side=10, rank=7)
    x = training.history.binary_matrix().toarray().astype(float)
    left, values, right = np.linalg.svd(x, full_matrices=False)
    near = (left[:, :7] * values[:7]) @ right[:7]
    inverse = np.linalg.inv(near.T @ near + L2 * np.eye(40))
    expected = x - x @ inverse / np.diag(inverse)
    np.testing.assert_allclose(model.score_catalogue(training.history), expected, rtol=1e-2, atol=1e-3)
    state = model.encode_users(training.history)
    assert state.shape == (60, 7)
    candidates = np.tile(np.arange(40), (60, 1))
    again = model.score_encoded(training.history, state, candidates)
    np.testing.assert_allclose(again, model.score_catalogue(training.history), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("rows", "options", "form"),
    [(60, {}, "primal"), (25, {}, "dual"), (25, {"max_side": 24}, "low rank, 256 directions")],
)
def test_the_log_says_which_form_the_catalogue_takes(training, rows, options, form, caplog):
    with caplog.at_level("INFO"):
        fit(training, rows, **options)
    assert f"autoencoder of {rows} users and 40 items: {form}" in caplog.text
