"""The posterior mean against numerical optimisation, and what the prior is worth in a made low-rank world."""

import dataclasses

import numpy as np
import pytest
from scipy.optimize import minimize

from tests.support.plain_histories import plain_training, purchase_history
from tierrec_core.data.interactions import Interactions
from tierrec_core.models.cold_start import ColdStart

NOW, NUM_USERS, NUM_ITEMS, HELD = 400.0, 400, 120, 100


@pytest.fixture(scope="module")
def model(training):
    return ColdStart.fit(training, ColdStart.Config(factors=5))


@pytest.mark.parametrize("user", [0, 30, 59])
def test_scores_are_the_posterior_mean(model, interactions, user):
    one = interactions.select_users(np.array([user]))
    count, tier = one.matrix().toarray()[0].astype(float), model.tiering.assign(one)[0]
    weight = 1 + model.config.confidence * np.log1p(count)
    items, mean = model.item_factors.astype(float), model.mean[tier].astype(float)
    precision = model.config.prior_weight * model.precision[tier].astype(float)

    def loss(factors):
        error, away = (count > 0) - items @ factors, factors - mean
        return (weight * error**2).sum() + away @ precision @ away

    best = minimize(loss, mean, method="BFGS", options={"gtol": 1e-8}).x
    np.testing.assert_allclose(model.score_catalogue(one)[0], items @ best, atol=1e-3)


def test_nobody_gets_the_mean_of_their_tier(model, interactions):
    """A prior that outweighs the evidence of 40 items not met leaves the mean."""
    sure = dataclasses.replace(model, config=model.config.model_copy(update={"prior_weight": 1e9}))
    nobody = Interactions.from_history([], interactions.items, interactions.now)
    tier = model.tiering.assign(nobody)[0]
    expected = model.item_factors @ model.mean[tier]
    np.testing.assert_allclose(sure.score_catalogue(nobody)[0], expected, atol=1e-3)


def history(rows, users):
    user, item, day = (np.array(column) for column in zip(*rows, strict=True))
    return purchase_history(user, item, day, (users, NUM_ITEMS), NOW)


@pytest.fixture(scope="module")
def low_rank():
    """Chances of an item are a softmax of four tastes and a popularity; users buy 25 items."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(NUM_USERS, 4)) @ rng.normal(size=(4, NUM_ITEMS)) + 1.5 * rng.normal(size=NUM_ITEMS)
    noisy = logits + rng.gumbel(size=logits.shape)
    taken = np.argsort(-noisy, axis=1)[:, :25]
    return np.take_along_axis(taken, rng.permuted(np.tile(np.arange(25), (NUM_USERS, 1)), axis=1), axis=1)


@pytest.fixture(scope="module")
def fitted(low_rank):
    known = low_rank[HELD:]
    rows = [(user, item, 300.0 + place) for user, items in enumerate(known) for place, item in enumerate(items)]
    past = history(rows, len(known))
    return ColdStart.fit(plain_training(past, num_layers=4), ColdStart.Config(factors=8)), past


def precision_at_10(scores, support, rest):
    """Share of the first ten that a held-out user really took beyond the k items that are known of them."""
    scores = scores.astype(float).copy()
    np.put_along_axis(scores, support, -np.inf, axis=1)
    top = np.argsort(-scores, axis=1)[:, :10]
    return np.mean([np.isin(list_, own).mean() for list_, own in zip(top, rest, strict=True)])


@pytest.mark.parametrize("k", [1, 3, 5])
def test_the_prior_beats_popularity_and_plain_fold_in(low_rank, fitted, k):
    model, past = fitted
    held = low_rank[:HELD]
    support, rest = held[:, :k], held[:, k:]
    asked = history([(user, item, NOW - 1) for user in range(HELD) for item in support[user]], HELD)
    flat = np.tile(model.config.l2 * np.eye(8, dtype=np.float32), (3, 1, 1))
    config = model.config.model_copy(update={"prior_weight": 1.0})
    plain = dataclasses.replace(model, mean=np.zeros_like(model.mean), precision=flat, config=config)
    popularity = np.tile(np.bincount(past.item, minlength=NUM_ITEMS), (HELD, 1))
    learned, folded, popular = (
        precision_at_10(scores, support, rest)
        for scores in (model.score_catalogue(asked), plain.score_catalogue(asked), popularity)
    )
    assert learned > popular
    assert learned > folded
