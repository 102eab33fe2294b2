"""Weights of histories against what they are made of."""

import numpy as np
import pytest

from tierrec_core.linalg.weighting import behaviour, degrees, entries, power, scaled


def test_entries_are_met_or_counted_or_fading(interactions):
    count = np.zeros((interactions.num_users, interactions.num_items))
    faded = np.zeros_like(count)
    np.add.at(count, (interactions.user, interactions.item), 1.0)
    np.add.at(faded, (interactions.user, interactions.item), 0.5 ** (interactions.age / 30.0))
    expected = {"binary": count > 0, "log_count": np.log1p(count), "log_decayed": np.log1p(faded)}
    rng = np.random.default_rng(0)
    candidates = rng.integers(interactions.num_items, size=(interactions.num_users, 6))
    for values, wanted in expected.items():
        np.testing.assert_allclose(behaviour(interactions, values, 30.0).toarray(), wanted, rtol=1e-5)
        found = entries(interactions, candidates, values, 30.0)
        np.testing.assert_allclose(found, np.take_along_axis(wanted, candidates, axis=1), rtol=1e-5)


@pytest.mark.parametrize("exponent", [-0.5, 0.0, 0.5])
def test_nobody_stays_nobody_whatever_the_exponent(exponent):
    np.testing.assert_allclose(power(np.array([0.0, 4.0]), exponent), [0.0, 4.0**exponent])


def test_scaling_is_a_product_with_diagonals_and_leaves_the_matrix_as_it_was(interactions):
    matrix = interactions.matrix()
    before = matrix.toarray()
    users, items = degrees(matrix)
    np.testing.assert_allclose(users, before.sum(axis=1))
    np.testing.assert_allclose(items, before.sum(axis=0))
    found = scaled(matrix, power(users, -0.3), power(items, 0.2)).toarray()
    np.testing.assert_allclose(found, np.diag(users**-0.3) @ before @ np.diag(items**0.2), rtol=1e-5)
    np.testing.assert_array_equal(matrix.toarray(), before)
