"""Stored states against encoding the history again, in memory and from disk."""

from dataclasses import dataclass

import numpy as np
import pytest

from tierrec_core.base.errors import ArtifactError
from tierrec_core.bundle.user_states import DenseStates, SparseStates, UserStates
from tierrec_core.models import registry
from tierrec_core.ranking import score_candidates
from tierrec_core.settings import Params

BLOCKS = {
    "ease": {},
    "few": {"kind": "tifu_knn", "neighbours": 5},
    "many": {"kind": "tifu_knn", "neighbours": 60},
    "als": {"factors": 6},
}


@dataclass(frozen=True)
class OneStep:
    """How often the user took the item."""

    class Config(Params): ...

    @classmethod
    def fit(cls, training, config):
        return cls()

    def score_catalogue(self, history):
        return history.matrix().toarray()


@pytest.fixture(scope="module")
def models(training):
    fitted = {}
    for name, block in BLOCKS.items():
        model, config = registry.configure(name, block)
        fitted[name] = model.fit(training, config)
    return fitted


@pytest.fixture(scope="module")
def states(models, interactions):
    return UserStates.of(models, interactions)


def test_a_row_is_what_the_model_makes_of_that_user(models, states, interactions):
    for user in range(0, interactions.num_users, 9):
        kept, one = states.row(user), interactions.select_users(np.array([user]))
        assert list(kept) == list(models)
        for name, model in models.items():
            np.testing.assert_allclose(kept[name], model.encode_users(one), rtol=1e-4, atol=1e-6)
            assert kept[name].dtype == np.float32


def test_only_what_is_mostly_zero_is_kept_sparse(states):
    kinds = {name: type(kept) for name, kept in states.by_model.items()}
    assert kinds == {"ease": DenseStates, "few": SparseStates, "many": DenseStates, "als": DenseStates}


def test_states_survive_disk(states, interactions, tmp_path):
    states.save(tmp_path / "states")
    again = UserStates.load(tmp_path / "states")
    for user in range(0, interactions.num_users, 9):
        for name, kept in states.row(user).items():
            np.testing.assert_array_equal(again.row(user)[name], kept)


def test_scores_from_kept_states_are_those_of_the_catalogue(models, states, interactions):
    candidates = np.array([[5, 30, -1, 12]])
    for user in (0, 31, 59):
        one = interactions.select_users(np.array([user]))
        for given in (
            score_candidates(models, one, candidates),
            score_candidates(models, one, candidates, states.row(user)),
        ):
            for name, model in models.items():
                expected = model.score_catalogue(one)[0, [5, 30, 12]]
                np.testing.assert_allclose(given[name][0, [0, 1, 3]], expected, rtol=1e-4, atol=1e-5)
                assert given[name][0, 2] == -np.inf


def test_more_users_than_a_batch_keep_their_rows(models, interactions):
    crowd = np.random.default_rng(0).integers(interactions.num_users, size=600)
    states = UserStates.of({"few": models["few"]}, interactions.select_users(crowd))
    for row in (0, 255, 256, 599):
        expected = models["few"].encode_users(interactions.select_users(crowd[[row]]))
        np.testing.assert_allclose(states.row(row)["few"], expected, rtol=1e-4, atol=1e-6)


def test_damage_is_found(states, tmp_path):
    with pytest.raises(ArtifactError, match=r"states\.json"):
        UserStates.load(tmp_path)
    states.save(tmp_path / "states")
    (tmp_path / "states" / "als" / "values.npy").write_bytes(b"")
    with pytest.raises(ArtifactError, match="als"):
        UserStates.load(tmp_path / "states")
    (tmp_path / "states" / "states.json").write_text('{"als": "Secret"}')
    with pytest.raises(ArtifactError, match="unknown kind of states"):
        UserStates.load(tmp_path / "states")


def test_a_model_that_scores_in_one_step_has_no_state_and_is_asked_for_its_catalogue(interactions):
    states = UserStates.of({"plain": OneStep()}, interactions)
    assert states.row(3) == {}
    found = score_candidates({"plain": OneStep()}, interactions, np.tile([7, -1, 2], (60, 1)), states.row(3))["plain"]
    counts = interactions.matrix().toarray()
    np.testing.assert_array_equal(found[:, [0, 2]], counts[:, [7, 2]])
    assert (found[:, 1] == -np.inf).all()
