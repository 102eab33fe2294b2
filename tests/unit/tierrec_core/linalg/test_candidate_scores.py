"""Scores of a few candidates against the whole matrix product, and counts against a plain loop."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from tierrec_core.linalg.candidate_scores import factor_products, met_sums, or_never, sparse_products


@pytest.fixture
def candidates(rng):
    return rng.integers(-1, 12, (5, 7))


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def at(table, candidates):
    """Entries of a table [U, I] at the candidates, -inf where padded, by a loop."""
    return [
        [row[item] if item >= 0 else -np.inf for item in items]
        for row, items in zip(table, candidates, strict=True)
    ]


def test_factor_products_are_entries_of_the_whole_product(rng, candidates):
    users, items = rng.normal(size=(5, 3)), rng.normal(size=(12, 3))
    found = or_never(factor_products(users, items, candidates), candidates)
    np.testing.assert_allclose(found, at(users @ items.T, candidates), rtol=1e-6)


@given(st.floats(0, 1), st.integers(0, 9))
def test_sparse_products_are_entries_of_the_whole_product(density, width):
    rng = np.random.default_rng(width)
    items = sparse.random(12, 6, density=density, random_state=rng, dtype=np.float32).tocsr()
    users, candidates = rng.normal(size=(4, 6)).astype(np.float32), rng.integers(-1, 12, (4, width))
    found = or_never(sparse_products(users, items, candidates), candidates)
    expected = np.array(at(users @ items.toarray().T, candidates)).reshape(4, width)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("weighted", [False, True])
def test_met_sums_are_those_of_a_loop_even_for_candidates_that_come_twice(interactions, weighted):
    rng = np.random.default_rng(0)
    candidates = rng.integers(-1, interactions.num_items, (interactions.num_users, 25))
    weight = rng.random(len(interactions)) if weighted else None
    found = or_never(met_sums(interactions, candidates, weight), candidates)
    table = np.zeros((interactions.num_users, interactions.num_items))
    np.add.at(table, (interactions.user, interactions.item), 1.0 if weight is None else weight)
    np.testing.assert_allclose(found, at(table, candidates), rtol=1e-6)


def test_met_sums_of_no_candidates_and_of_nobody(interactions):
    assert met_sums(interactions, np.zeros((interactions.num_users, 0), int)).shape == (60, 0)
    nobody = interactions.where(np.zeros(len(interactions), bool))
    assert not met_sums(nobody, np.zeros((60, 3), int)).any()
