"""Exact search against ranking all scores, and int8 against the factors that it rounds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from benchmarks.scale.vector_search import Vectors
from tierrec_core.base.errors import ArtifactError
from tierrec_core.linalg.top_k import top_k


def make(num_users, num_items, size=8, seed=0):
    rng = np.random.default_rng(seed)
    sides = rng.normal(size=(num_users, size)), rng.normal(size=(num_items, size))
    return Vectors.of(*(side.astype(np.float32) for side in sides))


def met_at_random(num_users, num_items, density, seed=1):
    return sparse.random(num_users, num_items, density=density, random_state=seed).tocsr()


def same(found, expected):
    np.testing.assert_array_equal(found.items, expected.items)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("num_items", "k"), [(3000, 10), (3001, 25), (40, 39), (7, 10), (1, 1)])
def test_the_search_is_a_ranking_of_all_scores(num_items, k, threads):
    vectors = make(37, num_items)
    met = met_at_random(37, num_items, 0.2)
    scores = vectors.users @ vectors.items.T
    same(vectors.top_k(np.arange(37), k, threads=threads), top_k(scores, k))
    same(vectors.top_k(np.arange(37), k, met, threads=threads), top_k(scores, k, met))


@given(st.integers(1, 90), st.integers(1, 12), st.integers(0, 10**6), st.floats(0, 1))
@settings(max_examples=150)
def test_equal_scores_are_ordered_by_column_and_hidden_ones_are_never_ranked(num_items, k, seed, density):
    rng = np.random.default_rng(seed)
    users, items = (rng.integers(-1, 2, (size, 2)).astype(np.float32) for size in (5, num_items))
    met = met_at_random(5, num_items, density, seed)
    expected = top_k(users @ items.T, k, met)
    found = Vectors.of(users, items).top_k(np.arange(5), k, met)
    np.testing.assert_array_equal(found.items, expected.items)
    np.testing.assert_array_equal(found.scores, expected.scores)


def test_any_users_in_any_order_and_nobody():
    vectors = make(50, 400)
    everybody = vectors.top_k(np.arange(50), 5)
    some = np.array([49, 3, 3, 17])
    np.testing.assert_array_equal(vectors.top_k(some, 5).items, everybody.items[some])
    np.testing.assert_array_equal(vectors.search(vectors.factors_of(some), 5).items, everybody.items[some])
    assert vectors.top_k(np.array([], int), 5).items.shape == (0, 5)


def test_rows_of_more_than_one_block_keep_their_order():
    vectors = make(23, 200_000, size=2)
    scores = vectors.users @ vectors.items.T
    np.testing.assert_array_equal(vectors.top_k(np.arange(23), 6).items, top_k(scores, 6).items)


def test_int8_is_within_half_a_step_of_the_factors_and_ranks_nearly_alike():
    vectors = make(60, 500, size=32)
    small = vectors.quantised()
    assert (small.users.dtype, small.items.dtype) == (np.int8, np.int8)
    for rounded, scale, exact in (
        (small.users, small.user_scale, vectors.users),
        (small.items, small.item_scale, vectors.items),
    ):
        assert (np.abs(rounded * scale[:, None] - exact) <= 0.5001 * scale[:, None]).all()
    first, again = (one.top_k(np.arange(60), 10).items for one in (vectors, small))
    kept = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(first, again, strict=True)])
    assert kept > 0.95


def test_int8_scores_are_those_of_the_rounded_factors():
    small = make(20, 300).quantised()
    users = small.users * small.user_scale[:, None]
    items = small.items * small.item_scale[:, None]
    same(small.top_k(np.arange(20), 7), top_k(users @ items.T, 7))


def test_a_row_of_zeros_has_int8_zeros():
    vectors = Vectors.of(np.zeros((1, 4), np.float32), np.eye(4, dtype=np.float32)).quantised()
    assert not vectors.users.any()
    np.testing.assert_array_equal(vectors.top_k(np.array([0]), 2).items, [[0, 1]])


@pytest.mark.parametrize("small", [False, True])
def test_vectors_survive_disk(tmp_path, small):
    vectors = make(30, 100).quantised() if small else make(30, 100)
    vectors.save(tmp_path / "vectors")
    again = Vectors.load(tmp_path / "vectors")
    np.testing.assert_array_equal(again.top_k(np.arange(30), 5).scores, vectors.top_k(np.arange(30), 5).scores)
    (tmp_path / "vectors" / "items.npy").unlink()
    with pytest.raises(ArtifactError, match="items"):
        Vectors.load(tmp_path / "vectors")
