"""Folding in against the least-squares problem of Hu et al. solved directly, and the loss of plain SVD."""

import numpy as np
import pytest
from scipy.optimize import minimize

from tierrec_core.models.als import Als

CONFIG = Als.Config(factors=6, l2=3.0, confidence=2.0)


@pytest.fixture(scope="module")
def model(training):
    return Als.fit(training, CONFIG)


def confidence(history):
    """What an entry weighs, 1 where the item was never met, [U, I]."""
    count = history.matrix().toarray().astype(float)
    return np.where(count > 0, CONFIG.confidence * np.log1p(count), 1.0), count > 0


@pytest.mark.parametrize("user", [0, 21, 59])
def test_fold_in_minimises_the_weighted_squares(model, interactions, user):
    weight, liked = (table[user] for table in confidence(interactions))
    items = model.item_factors.astype(float)

    def loss(factors):
        error = liked - items @ factors
        gradient = -2 * items.T @ (weight * error) + 2 * CONFIG.l2 * factors
        return (weight * error**2).sum() + CONFIG.l2 * factors @ factors, gradient

    best = minimize(loss, np.zeros(6), jac=True, method="BFGS", options={"gtol": 1e-9}).x
    scores = model.score_catalogue(interactions.select_users(np.array([user])))[0]
    np.testing.assert_allclose(scores, items @ best, atol=1e-4)


def test_item_factors_are_near_the_fixed_point(training, interactions):
    """After many rounds another least-squares step for the items hardly moves them."""
    model = Als.fit(training, CONFIG.model_copy(update={"iterations": 60}))
    weight, liked = confidence(interactions)
    items = model.item_factors.astype(float)
    ridge = CONFIG.l2 * np.eye(6)

    def least_squares(known, weight, liked):
        rows = zip(weight, liked, strict=True)
        return np.stack([np.linalg.solve((known.T * w) @ known + ridge, (known.T * w) @ likes) for w, likes in rows])

    users = least_squares(items, weight, liked)
    again = least_squares(users, weight.T, liked.T)
    np.testing.assert_allclose(users @ again.T, users @ items.T, atol=0.02)


def test_fitting_says_nothing(training, capfd):
    Als.fit(training, CONFIG)
    assert capfd.readouterr() == ("", "")
