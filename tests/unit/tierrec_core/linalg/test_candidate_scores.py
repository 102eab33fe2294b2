"""Candidate scores against the full matrix product and a plain loop."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from tierrec_core.linalg.candidate_scores import factor_products, mask_padding, sparse_products, sum_by_candidate


@pytest.fixture
def candidates(rng):
    return rng.integers(-1, 12, (5, 7))


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def entries_at(table, candidates):
    """Entries of a table [U, I] at the candidates, -inf where padded, by a loop."""
    return [
        [row[item] if item >= 0 else -np.inf for item in items] for row, items in zip(table, candidates, strict=True)
    ]


def test_factor_products_are_entries_of_the_whole_product(rng, candidates):
    users, items = rng.normal(size=(5, 3)), rng.normal(size=(12, 3))
    scores = mask_padding(factor_products(users, items, candidates), candidates)
    np.testing.assert_allclose(scores, entries_at(users @ items.T, candidates), rtol=1e-6)


@given(st.floats(0, 1), st.integers(0, 9))
def test_sparse_products_are_entries_of_the_whole_product(density, width):
    rng = np.random.default_rng(width)
    items = sparse.random(12, 6, density=density, random_state=rng, dtype=np.float32).tocsr()
    users, candidates = rng.normal(size=(4, 6)).astype(np.float32), rng.integers(-1, 12, (4, width))
    scores = mask_padding(sparse_products(users, items, candidates), candidates)
    expected = np.array(entries_at(users @ items.toarray().T, candidates)).reshape(4, width)
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("weighted", [False, True])
def test_sum_by_candidate_equals_a_loop_even_for_repeated_candidates(interactions, weighted):
    rng = np.random.default_rng(0)
    candidates = rng.integers(-1, interactions.num_items, (interactions.num_users, 25))
    weight = rng.random(len(interactions)) if weighted else None
    scores = mask_padding(sum_by_candidate(interactions, candidates, weight), candidates)
    table = np.zeros((interactions.num_users, interactions.num_items))
    np.add.at(table, (interactions.user, interactions.item), 1.0 if weight is None else weight)
    np.testing.assert_allclose(scores, entries_at(table, candidates), rtol=1e-6)


def test_sum_by_candidate_without_candidates_or_events(interactions):
    assert sum_by_candidate(interactions, np.zeros((interactions.num_users, 0), int)).shape == (60, 0)
    no_events = interactions.where(np.zeros(len(interactions), bool))
    assert not sum_by_candidate(no_events, np.zeros((60, 3), int)).any()
