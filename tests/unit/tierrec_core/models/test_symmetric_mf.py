"""The article's formula against arithmetic by hand, finite differences and a world of known taste groups."""

import numpy as np
import pytest
import torch
from scipy.optimize import approx_fprime

from tierrec_core.data.interactions import Interactions
from tierrec_core.models.symmetric_mf import SymmetricMf, similarity

CONFIG = SymmetricMf.Config(
    embedding_size=8, epochs=30, learning_rate=0.03, batch_size=16, negatives=64, negative_weight=2.0
)


@pytest.fixture(scope="module")
def model(training):
    return SymmetricMf.fit(training, CONFIG)


def test_similarity_is_the_formula():
    users, items = np.random.default_rng(0).normal(size=(2, 3, 4))
    expected = [[2 * (u * i).sum() / ((u * u).sum() + (i * i).sum()) for i in items] for u in users]
    np.testing.assert_allclose(similarity(torch.tensor(users), torch.tensor(items)), expected)


def test_similarity_is_one_only_at_equality():
    rng = np.random.default_rng(1)
    users = torch.tensor(rng.normal(size=(50, 3)))
    scores = similarity(users, users)
    assert torch.allclose(scores.diagonal(), torch.ones(50, dtype=torch.float64))
    assert scores[~torch.eye(50, dtype=torch.bool)].max() < 1
    assert similarity(users, 2 * users).diagonal().max() < 0.81  # 2 * 2 / (1 + 4)


def test_gradient_agrees_with_finite_differences():
    rng = np.random.default_rng(2)
    user, item = rng.normal(size=(2, 5))

    def error(u):
        return (1 - 2 * (u @ item) / (u @ u + item @ item)) ** 2

    tensor = torch.tensor(user, requires_grad=True)
    (1 - similarity(tensor[None], torch.tensor(item)[None])).square().sum().backward()
    np.testing.assert_allclose(tensor.grad, approx_fprime(user, error, 1e-7), rtol=1e-5, atol=1e-6)


def test_a_tiny_network_scores_as_by_hand(items):
    """Two items, one just bought and one half a life earlier: weights 2/3 and 1/3."""
    catalogue = items.set_index("item_id").index.astype(object)[:3]
    visitor = Interactions.from_history(["i00", "i02"], catalogue, now=100.0)
    taste = np.array([[1, 0], [5, 5], [0, 1]], np.float32)
    item = np.array([[1, 0], [0, 2], [1, 1]], np.float32)
    newcomer = np.array([0.5, 0], np.float32)
    weights = {"taste.weight": taste, "item.weight": item, "newcomer": newcomer}
    config = SymmetricMf.Config(embedding_size=2, half_life=1 / 1440)
    scores = SymmetricMf(weights, config).score_catalogue(visitor)
    user = np.array([0.5 + 1 / 3, 2 / 3])
    expected = [2 * (user @ i) / (user @ user + i @ i) for i in item]
    np.testing.assert_allclose(scores[0], expected, rtol=1e-3)


def test_an_unseen_visitor_gets_the_group_of_their_history(model, interactions):
    visitor = Interactions.from_history(["i20", "i21", "i22"], interactions.items, interactions.now)
    top = np.argsort(-model.score_catalogue(visitor)[0])[:10]
    assert (top // 10 == 2).mean() >= 0.6


def test_batch_mates_do_not_matter(model, interactions):
    scores = model.score_catalogue(interactions)
    alone = interactions.select_users(np.array([7]))
    np.testing.assert_allclose(model.score_catalogue(alone)[0], scores[7], atol=1e-6)
