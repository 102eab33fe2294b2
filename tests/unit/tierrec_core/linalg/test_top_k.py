"""Top-k selection against sorting in plain Python."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse

from tierrec_core.data.interactions import Interactions
from tierrec_core.linalg.top_k import rank_candidates, top_k
from tierrec_core.ranking.candidates import rank_catalogue, rank_catalogue_variants

TIED = st.sampled_from([-np.inf, np.nan, -1.0, 0.0, 0.5, 1.0, np.inf])
SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, max_side=9)


def sorted_in_python(scores, columns, k):
    pairs = [(-s, c) for s, c in zip(scores, columns, strict=True) if c >= 0 and s > -np.inf]
    best = [c for _, c in sorted(pairs)][:k]
    return best + [-1] * (k - len(best))


class Counted:
    """Scores by history and counts how many users it scored."""

    def __init__(self) -> None:
        self.scored = 0

    def score_catalogue(self, history: Interactions):
        self.scored += history.num_users
        return history.decayed_matrix(30.0).toarray()


@pytest.mark.medium
@given(hnp.arrays(np.float32, SHAPES, elements=TIED), st.integers(1, 12), st.randoms())
@settings(max_examples=200, deadline=None)
def test_top_k_equals_sorting(scores, k, random):
    blocked = np.array([[random.random() < 0.3 for _ in row] for row in scores])
    ranked = top_k(scores, k, sparse.csr_matrix(blocked))
    hidden = np.where(blocked, np.nan, scores)
    expected = [sorted_in_python(row, range(len(row)), k) for row in hidden]
    assert ranked.items.tolist() == expected
    for row, items, values in zip(scores, ranked.items, ranked.scores, strict=True):
        np.testing.assert_array_equal(values, [row[item] if item >= 0 else -np.inf for item in items])


@pytest.mark.medium
@given(hnp.arrays(np.float32, SHAPES, elements=TIED), st.integers(1, 12), st.randoms())
@settings(max_examples=200, deadline=None)
def test_candidates_equal_sorting(scores, k, random):
    candidates = np.array([random.sample(range(-1, 30), scores.shape[1]) for _ in scores])
    ranked = rank_candidates(scores, candidates, k)
    assert ranked.items.tolist() == [
        sorted_in_python(row, columns, k) for row, columns in zip(scores, candidates, strict=True)
    ]


def test_scores_are_not_modified():
    scores = np.array([[1.0, np.nan, 3.0]], np.float32)
    top_k(scores, 2, sparse.csr_matrix([[0, 0, 1]]))
    np.testing.assert_array_equal(scores, np.array([[1.0, np.nan, 3.0]], np.float32))


@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_batches_change_nothing(interactions, batch):
    whole = top_k(interactions.decayed_matrix(30.0).toarray(), 5)
    ranked = rank_catalogue(Counted(), interactions, 5, exclude_seen=False, batch=batch)
    np.testing.assert_array_equal(ranked.items, whole.items)
    np.testing.assert_array_equal(ranked.scores, whole.scores)


def test_seen_items_are_excluded_only_on_request(interactions):
    model = Counted()
    everything, unseen = rank_catalogue_variants(model, interactions, 40, exclude_seen=(False, True))
    met = interactions.binary_matrix().toarray().astype(bool)
    assert model.scored == interactions.num_users
    assert (np.sort(everything.items, axis=1) == np.arange(40)).all()
    for row, items in enumerate(unseen.items):
        assert set(items[items >= 0]) == set(np.flatnonzero(~met[row]))


def test_a_single_user_and_no_users(interactions):
    one = rank_catalogue(Counted(), interactions.select_users(np.array([3])), 4, exclude_seen=False)
    all_users = rank_catalogue(Counted(), interactions, 4, exclude_seen=False)
    np.testing.assert_array_equal(one.items[0], all_users.items[3])
    nobody = interactions.select_users(np.array([], int))
    assert rank_catalogue(Counted(), nobody, 4, exclude_seen=False).items.shape == (0, 4)
