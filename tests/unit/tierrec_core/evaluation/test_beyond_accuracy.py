"""Audits in worlds whose answers are known."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierrec_core.evaluation import beyond_accuracy

TIERS = ("light", "medium", "heavy")


@given(st.lists(st.integers(0, 5), min_size=1, max_size=20))
def test_gini_is_the_mean_absolute_difference(shown):
    count = np.bincount(shown, minlength=6)
    differences = np.abs(count[:, None] - count[None, :]).mean()
    assert beyond_accuracy.exposure_gini(np.array([shown]), 6) == pytest.approx(differences / (2 * count.mean()))


def test_gini_of_equal_and_of_one():
    assert beyond_accuracy.exposure_gini(np.array([[0, 1], [2, 3]]), 4) == pytest.approx(0.0)
    assert beyond_accuracy.exposure_gini(np.array([[2, -1], [2, -1]]), 4) == pytest.approx(0.75)
    assert beyond_accuracy.exposure_gini(np.array([[-1, -1]]), 4) == 0.0


def test_popular_lists_have_a_bias_and_own_histories_have_none(interactions):
    buyers = np.asarray(interactions.binary_matrix().sum(axis=0)).ravel()
    best = np.tile(np.argsort(-buyers)[:5], (interactions.num_users, 1))
    assert beyond_accuracy.popularity_bias(best, interactions)["bias"] > 0.1
    last = [interactions.item[interactions.user == user] for user in range(interactions.num_users)]
    width = max(map(len, last))
    own = np.array([np.pad(items, (0, width - len(items)), constant_values=-1) for items in last])
    assert beyond_accuracy.popularity_bias(own, interactions)["bias"] == pytest.approx(0.0, abs=1e-12)


def test_no_list_has_no_bias(interactions):
    nothing = np.full((interactions.num_users, 3), -1)
    assert beyond_accuracy.popularity_bias(nothing, interactions) == {"recommended": 0.0, "own": 0.0, "bias": 0.0}


def test_diversity_counts_pairs():
    category = np.array([0, 0, 1, 2])
    assert beyond_accuracy.diversity(np.array([[0, 1, 2]]), category) == pytest.approx(2 / 3)
    assert beyond_accuracy.diversity(np.array([[0, 2, 3], [0, 1, -1], [3, -1, -1]]), category) == pytest.approx(0.5)
    assert beyond_accuracy.diversity(np.array([[3, -1, -1]]), category) == 0.0


def test_groups_big_enough_are_told_apart():
    ids = pd.Index([f"u{i}" for i in range(100)], dtype=object)
    users = pd.DataFrame(
        {"user_id": ids[:90], "age": ["young"] * 50 + ["old"] * 35 + ["rare"] * 5, "same": "x", "income": range(90)}
    )
    values = np.r_[np.full(50, 0.2), np.full(35, 0.8), np.zeros(15)]
    found = beyond_accuracy.demographic_groups(values, ids, users, 200, np.random.default_rng(0))
    assert list(found) == ["age"]
    assert {name: (count, one.value) for name, (count, one) in found["age"].items()} == {
        "young": (50, pytest.approx(0.2)),
        "old": (35, pytest.approx(0.8)),
    }


def test_users_without_demographics_give_no_groups():
    users = pd.DataFrame({"user_id": pd.Series([], dtype="string")})
    assert (
        beyond_accuracy.demographic_groups(np.ones(2), pd.Index(["a", "b"]), users, 10, np.random.default_rng(0)) == {}
    )


def test_each_user_has_a_popularity_that_averages_to_the_bias(interactions):
    lists = np.argsort(np.random.default_rng(0).random((interactions.num_users, 40)), axis=1)[:, :5]
    recommended, own = beyond_accuracy.popularity_of_users(lists, interactions)
    assert (recommended - own).mean() == pytest.approx(beyond_accuracy.popularity_bias(lists, interactions)["bias"])
    buyers = np.asarray(interactions.binary_matrix().sum(axis=0)).ravel()
    below = [((buyers < buyers[item]).sum() + (buyers <= buyers[item]).sum() + 1) / 2 / 40 for item in lists[7]]
    assert recommended[7] == pytest.approx(np.mean(below))


def test_a_list_too_short_for_a_pair_has_no_diversity():
    found = beyond_accuracy.diversity_of_lists(np.array([[0, 2, 3], [3, -1, -1]]), np.array([0, 0, 1, 2]))
    assert found[0] == 1.0
    assert np.isnan(found[1])


def test_tiers_of_any_size_are_compared_at_the_same_number_of_lists():
    rng = np.random.default_rng(0)
    lists = rng.integers(1000, size=(520, 5))
    tier = np.repeat([0, 2], [480, 40])
    found = beyond_accuracy.exposure_by_group(lists, 1000, (tier, TIERS), 300, rng)
    assert list(found) == ["light", "heavy"]
    for name in ("coverage", "exposure_gini"):
        light, heavy = found["light"][name], found["heavy"][name]
        assert light.low < light.value < light.high
        assert light.value == pytest.approx(heavy.value, abs=0.01)
    same = np.where(tier[:, None] == 0, lists, 3)
    assert beyond_accuracy.exposure_by_group(same, 1000, (tier, TIERS), 50, rng)["heavy"][
        "exposure_gini"
    ].value == pytest.approx(0.999)


def test_means_of_tiers_leave_out_whom_nothing_is_known_of():
    values, tier = np.array([0.0, 1.0, np.nan, 4.0]), np.array([0, 0, 0, 2])
    found = beyond_accuracy.mean_by_group(values, (tier, TIERS), 50, np.random.default_rng(0))
    assert {name: one.value for name, one in found.items()} == {"light": 0.5, "heavy": 4.0}


def test_a_group_that_is_only_more_active_stands_even_with_its_tiers():
    tier = np.array([0, 0, 2, 2, 2])
    values = np.array([0.1, 0.3, 0.7, 0.8, 0.9])
    np.testing.assert_allclose(beyond_accuracy.tier_adjusted(values, tier), [-0.1, 0.1, -0.1, 0.0, 0.1], atol=1e-12)
