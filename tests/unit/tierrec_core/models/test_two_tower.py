"""Content ranks what nobody has met, in a world whose tastes are its categories; the towers and the loss by hand."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from tests.conftest import NUM_GROUPS, NUM_ITEMS
from tierrec_core.base import artifacts
from tierrec_core.base.contracts import ITEMS
from tierrec_core.data.interactions import Interactions
from tierrec_core.features.item_content import content_features
from tierrec_core.models.two_tower import SnapshotExamples, TwoTower
from tierrec_core.models.two_tower.network import ItemInputs, TowerBatch, TwoTowerNetwork, UserInputs

CONFIG = TwoTower.Config(
    embedding_size=8, epochs=20, early_stopping=None, learning_rate=0.02, batch_size=32, negatives=32
)
UNMET = np.array([7, 17, 27, 37])  # one item of each group


@pytest.fixture(scope="module")
def model(training):
    return TwoTower.fit(training, CONFIG)


@pytest.fixture(scope="module")
def cold(training):
    """Fitted without any event of the unmet items."""
    history = training.history.where(~np.isin(training.history.item, UNMET))
    return TwoTower.fit(dataclasses.replace(training, history=history), CONFIG)


def group_of(interactions):
    return np.arange(interactions.num_users) % NUM_GROUPS


def test_an_item_without_events_is_liked_by_those_who_like_its_category(cold, interactions):
    """Others of its kind are its only witnesses: a user's own group comes first among the four."""
    scores = cold.score_catalogue(interactions)[:, UNMET]
    assert (scores.argmax(axis=1) == group_of(interactions)).mean() > 0.9


def test_an_item_outside_of_the_catalogue_is_ranked_by_its_content(cold, interactions):
    rows = [
        {"item_id": f"new{group}", "title": "thing", "category": f"group {group}", "brand": "brand 1", "price": 9.0}
        for group in range(NUM_GROUPS)
    ]
    new = ITEMS.conform(pd.DataFrame(rows), "tests")
    scores = cold.encode_users(interactions) @ cold.item_vectors(new).T
    assert (scores.argmax(axis=1) == group_of(interactions)).mean() > 0.9


def test_words_that_nobody_knows_leave_a_vector_of_zeros(cold):
    row = {"item_id": "new", "title": "xyzzy", "category": "other", "brand": "none", "price": None}
    strange = ITEMS.conform(pd.DataFrame([row]), "tests")
    np.testing.assert_array_equal(cold.item_vectors(strange), np.zeros((1, CONFIG.embedding_size + 1)))
    assert cold.item_vectors(strange.iloc[:0]).shape == (0, CONFIG.embedding_size + 1)


def test_an_item_is_its_own_vector_and_the_mean_of_its_features(model, training):
    described = content_features(training.items)[12]
    known = [feature for feature in described if feature in model.lexicon.row]
    rows = [model.lexicon.row[feature] for feature in known]
    said = model.weights["feature.weight"][rows].sum(axis=0) / np.sqrt(len(rows))
    np.testing.assert_allclose(model.item_factors[12], said + model.weights["item.weight"][12], atol=1e-5)


def test_an_empty_history_gets_the_popular_first(model, interactions):
    nobody = Interactions.from_history([], interactions.items, interactions.now)
    popularity = np.bincount(interactions.item, minlength=NUM_ITEMS)
    assert np.corrcoef(model.score_catalogue(nobody)[0], np.log(popularity))[0, 1] > 0.4


def test_examples_split_each_history_at_the_snapshot(training):
    config, history = TwoTower.Config(num_snapshots=5, step_days=10.0, horizon_days=14.0), training.history
    examples = SnapshotExamples.of(training, config)
    assert len(examples.user) > 100
    for user, now, until, last in zip(examples.user, examples.now, examples.until, examples.last, strict=True):
        mine = np.flatnonzero(history.user == user)
        day = history.day[mine]
        np.testing.assert_array_equal(mine[(day >= now) & (day < now + 14.0)], np.arange(until, last))
        assert (day < now).sum() == until - mine[0]


def test_the_loss_over_each_item_once_is_the_cross_entropy():
    """Each item is expected once among the candidates: no correction, and the softmax is over the catalogue."""
    torch.manual_seed(0)
    network = TwoTowerNetwork(5, 3, 2, CONFIG).eval()
    everything = torch.arange(5)
    described = ItemInputs(everything, torch.tensor([0, 1, 2, 0, 1]), torch.ones(5), everything)
    users = UserInputs(torch.tensor([[0, 1], [3, 3]]), torch.tensor([[0.6, 0.8], [1.0, 0.0]]), torch.randn(2, 2))
    targets = torch.tensor([[4, 2, 2], [0, 1, 3]])
    found = network.loss(TowerBatch(described, users, targets, everything, torch.zeros(5)))
    items = network.items(described)
    logits = (network.users(items, users) @ items.T).repeat_interleave(3, dim=0)
    torch.testing.assert_close(found, torch.nn.functional.cross_entropy(logits, targets.flatten()))


def test_in_training_some_items_are_their_features_alone():
    network = TwoTowerNetwork(1000, 1, 2, CONFIG)
    every = torch.arange(1000)
    described = ItemInputs(every, torch.zeros(1000, dtype=torch.int64), torch.ones(1000), every)
    alone = (network.train().items(described) == network.feature.weight[0]).all(dim=1).float().mean()
    assert 0.2 < alone < 0.4
    assert not (network.eval().items(described) == network.feature.weight[0]).all(dim=1).any()


def test_a_log_of_one_moment_can_be_learned_from(training):
    """No cut lies between a first and a last event; the fit still ends."""
    history = training.history
    moment = dataclasses.replace(history, day=np.full(len(history), history.now - 1.0))
    model = TwoTower.fit(dataclasses.replace(training, history=moment), CONFIG.model_copy(update={"epochs": 1}))
    assert np.isfinite(model.score_catalogue(moment)).all()


def test_vectors_of_items_survive_disk(model, training, tmp_path):
    artifacts.save(model, tmp_path / "model")
    loaded = artifacts.load(TwoTower, tmp_path / "model")
    np.testing.assert_array_equal(loaded.item_vectors(training.items), model.item_vectors(training.items))


def test_a_catalogue_without_a_shared_word_is_learned_from_events_alone(training, interactions):
    titles = [f"unique{row}" for row in range(NUM_ITEMS)]
    bare = training.items.assign(title=titles, category=None, brand=None, price=np.nan)
    model = TwoTower.fit(dataclasses.replace(training, items=bare), CONFIG)
    top = np.argsort(-model.score_catalogue(interactions), axis=1)[:, :10]
    assert (top // 10 == group_of(interactions)[:, None]).mean() >= 0.6
