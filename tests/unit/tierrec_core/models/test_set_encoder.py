"""The set encoder against Bayes' rule in a world of three kinds of users."""

import numpy as np
import pytest
import torch

from tests.support.plain_histories import plain_training, purchase_history
from tierrec_core.models.set_encoder import SetEncoder, SetEncoderNetwork

NUM_USERS, NUM_ITEMS, KINDS, NOW = 1500, 24, 3, 100.0
SIZES = {"embedding_size": 8, "hidden_size": 16, "horizon_days": 50, "window_days": 50}
CONFIG = SetEncoder.Config(epochs=15, dropout=0.0, learning_rate=0.01, batch_size=100, **SIZES)


@pytest.fixture(scope="module")
def taste():
    """What each kind of user takes, [kinds, items]: mostly its own third."""
    rng = np.random.default_rng(0)
    own = np.arange(NUM_ITEMS) // (NUM_ITEMS // KINDS) == np.arange(KINDS)[:, None]
    weight = np.where(own, 8.0, 1.0) * rng.uniform(0.5, 2.0, NUM_ITEMS)
    return weight / weight.sum(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def model(taste):
    rng = np.random.default_rng(1)
    kind = rng.integers(KINDS, size=NUM_USERS)
    taken = np.stack([rng.choice(NUM_ITEMS, 18, p=taste[one]) for one in kind])
    day = np.tile(np.sort(rng.uniform(0, NOW, 18)), (NUM_USERS, 1))
    return SetEncoder.fit(plain_training(history(taken, day)), CONFIG)


def history(items, day):
    """Each row of items [U, K] is a user, who took them on these days."""
    user = np.repeat(np.arange(len(items)), items.shape[1])
    return purchase_history(user, items.ravel(), day.ravel(), (len(items), NUM_ITEMS), NOW)


def predictive(support, taste):
    """What will be taken next by Bayes' rule, [U, I]; all kinds are as likely before anything is known."""
    likelihood = np.exp(np.log(taste)[:, support].sum(axis=2)).T
    return likelihood / likelihood.sum(axis=1, keepdims=True) @ taste


@pytest.mark.parametrize("count", [0, 1, 2, 4])
def test_it_predicts_as_bayes_rule_does(model, taste, count):
    rng = np.random.default_rng(2)
    kinds = rng.integers(KINDS, size=200)
    support = np.stack([rng.choice(NUM_ITEMS, count, replace=False, p=taste[one]) for one in kinds])
    asked = history(support, np.full(support.shape, NOW - 1))
    found = torch.from_numpy(model.score_catalogue(asked)).softmax(1).numpy()
    right = predictive(support, taste)
    apart = 0.5 * np.abs(found - right).sum(axis=1).mean()
    blind = 0.5 * np.abs(taste.mean(axis=0) - right).sum(axis=1).mean()
    assert apart < 0.15
    assert count == 0 or apart < 0.4 * blind


def test_neither_order_nor_padding_of_a_support_counts():
    network = SetEncoderNetwork(9, CONFIG).eval()
    support = torch.tensor([[3, 1, 8, -1], [8, -1, 3, 1]])
    first, second = network.users(support).detach()
    torch.testing.assert_close(first, second)


def test_only_the_newest_items_are_looked_at(model):
    few = np.array([[1, 2, 3, 4, 5, 6, 7, 8]])
    many = np.concatenate([[[20, 21, 22]], few], axis=1)
    days = NOW - np.arange(11, 0, -1)[None].astype(float)
    np.testing.assert_array_equal(
        model.score_catalogue(history(many, days)), model.score_catalogue(history(few, days[:, 3:]))
    )
