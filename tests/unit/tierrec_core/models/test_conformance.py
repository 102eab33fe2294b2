"""What every model owes, whatever its kind. A new line in registry.KINDS is tested by being there."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from tests.conftest import NUM_GROUPS, NUM_ITEMS
from tierrec_core.base import artifacts
from tierrec_core.bundle.user_states import UserStates
from tierrec_core.data.interactions import Interactions
from tierrec_core.models import registry
from tierrec_core.protocols.model import Ranker, Retriever
from tierrec_core.ranking import score_candidates

# Networks learn 60 users in a second or two when they are small; the other kinds are taken as they come.
FACTORS = {"embedding_size": 8, "batch_size": 16}
TOWERS = {"embedding_size": 8, "batch_size": 32, "negatives": 32}
SMALL = {
    "symmetric_mf": FACTORS | {"epochs": 30, "learning_rate": 0.03, "negatives": 64, "negative_weight": 2.0},
    "sasrec": {"embedding_size": 16, "epochs": 15, "learning_rate": 0.01, "negatives": 32, "max_length": 20},
    "two_tower": TOWERS | {"epochs": 20, "early_stopping": None, "learning_rate": 0.02},
    "multitask": {"embedding_size": 8, "epochs": 15, "hidden_size": 16, "learning_rate": 0.01},
    "set_encoder": {"embedding_size": 16, "epochs": 20, "dropout": 0.0, "learning_rate": 0.01, "batch_size": 16},
}
NOT_PERSONAL = {"popularity", "tier_prior"}


def fit(kind, training):
    model, config = registry.configure(kind, SMALL.get(kind, {}))
    return model.fit(training, config)


def scores_of(model, history):
    """Scores of the whole catalogue, from a retriever and a ranker alike."""
    if isinstance(model, Retriever):
        return model.score_catalogue(history)
    return model.score_candidates(history, np.tile(np.arange(NUM_ITEMS), (history.num_users, 1)))


@pytest.fixture(scope="module", params=registry.KINDS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def model(kind, training):
    return fit(kind, training)


@pytest.fixture(scope="module")
def scores(model, interactions):
    return scores_of(model, interactions)


def test_is_a_retriever_or_a_ranker(model):
    assert isinstance(model, Retriever | Ranker)
    assert dataclasses.is_dataclass(model)


def test_scores_are_finite_float32_one_a_user_and_item(scores, interactions):
    assert scores.shape == (interactions.num_users, interactions.num_items)
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()


def test_a_second_fit_is_the_same_to_the_byte(kind, training, model, scores, tmp_path):
    again = fit(kind, training)
    np.testing.assert_array_equal(scores_of(again, training.history), scores, strict=True)
    for name, one in (("first", model), ("second", again)):
        artifacts.save(one, tmp_path / name)
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes(), path.name


def test_survives_disk_exactly(model, interactions, scores, tmp_path):
    artifacts.save(model, tmp_path / "model")
    again = artifacts.load(type(model), tmp_path / "model")
    np.testing.assert_array_equal(scores_of(again, interactions), scores, strict=True)


@pytest.mark.parametrize("name", ["sasrec", "symmetric_mf", "two_tower"])
def test_early_stopping_on_the_holdout(name, training, caplog):
    options = SMALL[name] | {"early_stopping": 1, "validation_share": 0.3, "epochs": 100}
    network, config = registry.configure(name, options)
    with caplog.at_level("INFO", "tierrec_core.neural.trainer"):
        model = network.fit(training, config)
    assert 1 < len(caplog.records) < 100
    assert np.isfinite(model.score_catalogue(training.history)).all()


def test_scoring_leaves_the_history_as_it_was(model, interactions):
    before = interactions.day.copy(), interactions.item.copy(), interactions.matrix().toarray()
    scores_of(model, interactions)
    after = interactions.day, interactions.item, interactions.matrix().toarray()
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_stranger_with_the_history_of_a_user_gets_that_users_scores(model, interactions, scores):
    known = interactions.select_users(np.array([33]))
    stranger = dataclasses.replace(known, users=pd.Index(["never seen"], dtype=object))
    np.testing.assert_allclose(scores_of(model, stranger)[0], scores[33], rtol=1e-4, atol=1e-5)


def test_an_empty_history_has_finite_scores(model, interactions):
    nobody = Interactions.from_history([], interactions.items, interactions.now)
    assert np.isfinite(scores_of(model, nobody)).all()


def test_an_empty_history_among_others_changes_nothing(model, interactions, scores):
    mixed = interactions.where(interactions.user != 7)
    others = np.arange(interactions.num_users) != 7
    np.testing.assert_allclose(scores_of(model, mixed)[others], scores[others], rtol=1e-4, atol=1e-5)


def test_order_of_rows_does_not_matter(model, interactions, scores):
    order = np.random.default_rng(1).permutation(interactions.num_users)
    shuffled = scores_of(model, interactions.select_users(order))
    np.testing.assert_allclose(shuffled, scores[order], rtol=1e-4, atol=1e-5)


def test_a_batch_is_its_rows_one_by_one(model, interactions, scores):
    alone = [scores_of(model, interactions.select_users(np.array([row])))[0] for row in range(0, 60, 9)]
    np.testing.assert_allclose(np.stack(alone), scores[::9], rtol=1e-4, atol=1e-5)


def test_taste_groups_are_recovered(kind, scores, interactions):
    """A quarter of the top 10 is of the own group by chance; those who know the user find far more."""
    own = np.argsort(-scores, axis=1)[:, :10] // 10 == (np.arange(60) % NUM_GROUPS)[:, None]
    if kind in NOT_PERSONAL:
        assert own.mean() == pytest.approx(1 / NUM_GROUPS, abs=0.02)
    else:
        assert own.mean() >= 0.6


def test_padding_is_never_chosen_and_moves_no_other_score(model, interactions, scores):
    candidates = np.tile(np.array([4, -1, 17, -1, 30]), (interactions.num_users, 1))
    if isinstance(model, Ranker):
        scored = model.score_candidates(interactions, candidates)
        assert (scored[:, [1, 3]] == -np.inf).all()
        np.testing.assert_allclose(scored[:, ::2], scores[:, [4, 17, 30]], rtol=1e-4, atol=1e-5)
    else:
        assert not hasattr(model, "score_candidates")


def test_given_candidates_have_the_scores_of_the_catalogue(model, interactions, scores):
    backwards = np.tile(np.arange(NUM_ITEMS)[::-1], (interactions.num_users, 1))
    found = score_candidates({"it": model}, interactions, backwards)["it"]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[:, ::-1], scores, rtol=1e-4, atol=1e-5)


def test_one_users_kept_state_is_enough_for_that_user(model, interactions, scores):
    states = UserStates.of({"it": model}, interactions)
    for user in range(0, interactions.num_users, 13):
        one, candidates = interactions.select_users(np.array([user])), np.array([[9, -1, 0, 33, -1]])
        found = score_candidates({"it": model}, one, candidates, states.row(user))["it"][0]
        np.testing.assert_allclose(found[[0, 2, 3]], scores[user, [9, 0, 33]], rtol=1e-4, atol=1e-5)
        assert (found[[1, 4]] == -np.inf).all()


def test_an_empty_history_has_the_scores_of_the_catalogue_for_given_candidates_too(model, interactions):
    nobody, some = Interactions.from_history([], interactions.items, interactions.now), np.array([[3, 11]])
    found = score_candidates({"it": model}, nobody, some)["it"]
    np.testing.assert_allclose(found, scores_of(model, nobody)[:, [3, 11]], rtol=1e-4, atol=1e-5)
    assert score_candidates({"it": model}, nobody, some[:, :0])["it"].shape == (1, 0)
