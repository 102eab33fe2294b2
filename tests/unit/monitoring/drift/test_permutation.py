"""p-values are those of all sign flips, whatever the users' values, and adjusted as scipy adjusts them."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, false_discovery_control, norm

from monitoring.drift.statistics.permutation import (
    MAX_USERS,
    ComparisonFamily,
    benjamini_hochberg,
    family_weights,
    p_values,
)
from tierrec_core.base.contracts import FloatArray

USERS, DRAWS = 10, 20_000
SIGNS = np.array(list(itertools.product([1.0, -1.0], repeat=USERS)))


def every_flip(family: ComparisonFamily) -> FloatArray:
    """The exact p-values: the share of all 2^U sign flips that reach what was observed."""
    sums = SIGNS @ family.differences
    if family.joint:
        reached = (sums**2).sum(axis=1, keepdims=True)
    else:
        reached = sums * family.side if family.side else np.abs(sums)
    return (reached >= reached[0] - 1e-9).mean(axis=0)


@pytest.mark.parametrize(("side", "joint"), [(0, False), (1, False), (-1, False), (0, True)])
def test_p_is_the_share_of_all_sign_flips(side: int, joint: bool) -> None:
    rng = np.random.default_rng(1)
    family = ComparisonFamily(rng.gamma(1.0, size=(USERS, 5)) - 0.4, side, joint)
    (found,) = p_values([family], DRAWS, seed=2)
    exact = every_flip(family)
    assert found.shape == exact.shape
    error = 5 * np.sqrt(exact * (1 - exact) / DRAWS) + 2 / DRAWS
    np.testing.assert_array_less(np.abs(found - exact), error)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-100, 100, allow_subnormal=False), min_size=USERS, max_size=USERS), st.sampled_from([0, 1, -1])
)
def test_the_bound_lies_above_the_exact_p(values: list[float], side: int) -> None:
    family = ComparisonFamily(np.array(values)[:, None], side)
    assert every_flip(family)[0] <= family.p_value_bounds()[0] + 1e-9


def test_a_p_below_the_resolution_is_its_bound() -> None:
    values = np.random.default_rng(3).normal(1.0, 0.5, (400, 1))
    (found,) = p_values([ComparisonFamily(values)], 999, seed=4)
    z = values.sum() / np.sqrt((values**2).sum())
    assert found[0] == pytest.approx(3.178 * 2 * norm.sf(z))
    assert found[0] < 1 / 1000


def test_under_the_null_p_is_below_five_percent_in_five_percent() -> None:
    rng = np.random.default_rng(5)
    heavy = rng.standard_t(2, (80, 600))
    (found,) = p_values([ComparisonFamily(heavy)], 2_000, seed=6)
    assert binomtest(int((found <= 0.05).sum()), 600, 0.05).pvalue > 0.001


def test_scaling_a_column_changes_no_p() -> None:
    values = np.random.default_rng(7).normal(0.2, 1.0, (60, 3))
    (plain,) = p_values([ComparisonFamily(values)], 999, seed=8)
    (scaled,) = p_values([ComparisonFamily(values * [1e-6, 1.0, 1e6])], 999, seed=8)
    np.testing.assert_array_equal(plain, scaled)


def test_users_without_a_difference_change_no_p() -> None:
    values = np.random.default_rng(9).normal(0.4, 1.0, (USERS, 2))
    wide = ComparisonFamily(np.concatenate([values, np.zeros((30, 2))]))
    (found,) = p_values([wide], DRAWS, seed=10)
    np.testing.assert_allclose(found, every_flip(ComparisonFamily(values)), atol=0.02)


def test_zero_differences_have_p_one() -> None:
    families = [ComparisonFamily(np.zeros((20, 2))), ComparisonFamily(np.zeros((20, 2)), joint=True)]
    plain, joint = p_values(families, 99, seed=11)
    assert plain.tolist() == [1.0, 1.0]
    assert joint.tolist() == [1.0]


@pytest.mark.parametrize(("side", "joint"), [(0, False), (1, False), (0, True)])
def test_the_normal_approximation_is_near_the_draws(side: int, joint: bool) -> None:
    rng = np.random.default_rng(12)
    values = rng.normal(0.02, 1.0, (8_000, 3))
    (drawn,) = p_values([ComparisonFamily(values, side, joint)], 4_000, seed=13)
    np.testing.assert_allclose(ComparisonFamily(values, side, joint).normal_p_values(), drawn, atol=0.04)


def test_many_users_take_the_normal_approximation() -> None:
    family = ComparisonFamily(np.random.default_rng(14).normal(size=(MAX_USERS + 1, 2)))
    (found,) = p_values([family], 9, seed=15)
    np.testing.assert_array_equal(found, family.normal_p_values())


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_benjamini_hochberg_is_scipys(values: list[float]) -> None:
    p = np.array(values)
    np.testing.assert_allclose(benjamini_hochberg(p), false_discovery_control(p), atol=1e-12)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0.1, 4)), min_size=1, max_size=40))
def test_weighted_benjamini_hochberg_is_scipys_of_p_over_weight(values: list[tuple[float, float]]) -> None:
    p, weight = np.array(values).T
    wanted = false_discovery_control(np.minimum(p / weight, 1.0))
    np.testing.assert_allclose(benjamini_hochberg(p, weight), wanted, atol=1e-12)


def test_weights_have_mean_one_and_a_small_family_weighs_more() -> None:
    weight = family_weights([31, 1, 4], [1.0, 1.0, 1.0])
    assert weight.mean() == pytest.approx(1.0)
    assert weight[31] / weight[0] == pytest.approx(np.sqrt(31))
    assert weight[32] / weight[31] == pytest.approx(0.5)
    doubled = family_weights([31, 1, 4], [1.0, 2.0, 1.0])
    assert doubled[31] / doubled[0] == pytest.approx(2 * np.sqrt(31))
