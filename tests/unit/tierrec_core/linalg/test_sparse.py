"""Weighted histories and degree scaling against dense formulas."""

import numpy as np
import pytest

from tierrec_core.linalg.sparse import degrees, safe_power, scale, weighted_history, weights_at_candidates


def test_weighted_history_is_binary_counted_or_decayed(interactions):
    count = np.zeros((interactions.num_users, interactions.num_items))
    decayed = np.zeros_like(count)
    np.add.at(count, (interactions.user, interactions.item), 1.0)
    np.add.at(decayed, (interactions.user, interactions.item), 0.5 ** (interactions.age / 30.0))
    expected = {"binary": count > 0, "log_count": np.log1p(count), "log_decayed": np.log1p(decayed)}
    rng = np.random.default_rng(0)
    candidates = rng.integers(interactions.num_items, size=(interactions.num_users, 6))
    for values, matrix in expected.items():
        np.testing.assert_allclose(weighted_history(interactions, values, 30.0).toarray(), matrix, rtol=1e-5)
        found = weights_at_candidates(interactions, candidates, values, 30.0)
        np.testing.assert_allclose(found, np.take_along_axis(matrix, candidates, axis=1), rtol=1e-5)


@pytest.mark.parametrize("exponent", [-0.5, 0.0, 0.5])
def test_safe_power_of_zero_is_zero_for_any_exponent(exponent):
    np.testing.assert_allclose(safe_power(np.array([0.0, 4.0]), exponent), [0.0, 4.0**exponent])


def test_scale_multiplies_by_diagonals_and_copies_the_matrix(interactions):
    matrix = interactions.matrix()
    before = matrix.toarray()
    users, items = degrees(matrix)
    np.testing.assert_allclose(users, before.sum(axis=1))
    np.testing.assert_allclose(items, before.sum(axis=0))
    found = scale(matrix, safe_power(users, -0.3), safe_power(items, 0.2)).toarray()
    np.testing.assert_allclose(found, np.diag(users**-0.3) @ before @ np.diag(items**0.2), rtol=1e-5)
    np.testing.assert_array_equal(matrix.toarray(), before)
