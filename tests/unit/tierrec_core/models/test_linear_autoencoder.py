"""The autoencoder against its optimality condition and EASE; both models' dual and low-rank forms."""

import dataclasses

import numpy as np
import pytest

from tierrec_core.models.ease import Ease
from tierrec_core.models.linear_autoencoder import LinearAutoencoder

OPTIONS = {"l2": 0.7, "dropout": 0.4, "user_exponent": 0.35, "item_exponent": 0.2, "tilt": 0.15}
BOTH = pytest.mark.parametrize(("kind", "options"), [(Ease, {"l2": 20.0}), (LinearAutoencoder, OPTIONS)])


def few(training, rows):
    return dataclasses.replace(training, history=training.history.select_users(np.arange(rows)))


def fit(training, **options):
    return LinearAutoencoder.fit(training, LinearAutoencoder.Config(values="binary", **options))


@pytest.mark.parametrize(("rows", "dual"), [(60, False), (25, True)])
def test_weights_are_the_optimum_of_the_normalised_problem(training, rows, dual):
    """B read off by least squares from the scores; its gradient is zero off the diagonal, and B zero on it."""
    model = fit(few(training, rows), **OPTIONS)
    assert (model.precision.rows is not None) == dual
    met = training.history.select_users(np.arange(rows)).binary_matrix().toarray().astype(float)
    users, items = met.sum(axis=1), met.sum(axis=0)
    tilted = np.where(items > 0, np.maximum(items, 1) ** -0.15, 0)
    graph = met / users[:, None] ** 0.35 / np.maximum(items, 1) ** 0.2
    scale = np.diag(model.ridge_scale)
    inverse = scale @ np.linalg.inv(scale @ graph.T @ graph @ scale + np.eye(40)) @ scale
    weights = np.eye(40) - inverse / np.diag(inverse)
    ridge = np.diag(1.0 / model.ridge_scale.astype(float) ** 2)
    gradient = graph.T @ (graph @ weights - graph) + ridge @ weights
    np.testing.assert_allclose(gradient - np.diag(np.diag(gradient)), 0, atol=1e-6)
    own = np.diag(graph.T @ graph)
    np.testing.assert_allclose(np.diag(ridge), 0.7 * own.mean() + 0.4 * own, rtol=1e-5)
    expected = (met * tilted) @ weights / np.where(tilted > 0, tilted, np.inf)
    found = model.score_catalogue(training.history.select_users(np.arange(rows)))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("rows", [60, 25])
def test_without_exponents_and_dropout_it_is_ease(training, rows):
    some = few(training, rows)
    mean = float(some.history.binary_matrix().sum() / some.history.num_items)
    plain = {"dropout": 0.0, "user_exponent": 0.0, "item_exponent": 0.0, "tilt": 0.0}
    found = fit(some, l2=20.0 / mean, **plain).score_catalogue(training.history)
    ease = Ease.fit(some, Ease.Config(l2=20.0, values="binary")).score_catalogue(training.history)
    np.testing.assert_allclose(found, ease, rtol=1e-3, atol=1e-4)


@BOTH
@pytest.mark.parametrize("values", ["binary", "log_count", "log_decayed"])
def test_two_steps_give_the_scores_of_the_catalogue_in_the_dual_form_too(training, kind, options, values):
    model = kind.fit(few(training, 25), kind.Config(values=values, **options))
    state = model.encode_users(training.history)
    assert state.shape == (60, 25)
    candidates = np.random.default_rng(0).permuted(np.tile(np.arange(40), (60, 1)), axis=1)[:, :15]
    found = model.score_encoded(training.history, state, candidates)
    expected = np.take_along_axis(model.score_catalogue(training.history), candidates, axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_dropout_holds_back_the_weight_of_what_is_met_most(training):
    """What follows from the most common item weakens more than what follows from the rarest."""
    plain, dropped = (fit(training, **OPTIONS | {"dropout": one, "tilt": 0.0}) for one in (0.0, 5.0))
    size = np.asarray(training.history.binary_matrix().sum(axis=0)).ravel()

    def strength(model, item):
        one = training.history.where(training.history.item == item)
        user = int(one.user[0])
        return np.abs(model.score_catalogue(one.select_users(np.array([user])))).sum()

    ratio = [strength(dropped, item) / strength(plain, item) for item in (size.argmax(), size.argmin())]
    assert ratio[0] < ratio[1]


@BOTH
@pytest.mark.parametrize("rows", [60, 25])
def test_low_rank_form_of_every_direction_is_the_exact_one(training, kind, options, rows):
    forms = options, options | {"max_side": 10, "rank": 40}
    exact, every = (kind.fit(few(training, rows), kind.Config(**form)) for form in forms)
    assert every.precision.directions is not None
    found, expected = (model.score_catalogue(training.history) for model in (every, exact))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    candidates = np.tile(np.arange(40), (60, 1))
    again = every.score_encoded(training.history, every.encode_users(training.history), candidates)
    np.testing.assert_allclose(again, found, rtol=1e-3, atol=1e-4)
