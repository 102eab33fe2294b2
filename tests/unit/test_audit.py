"""Audits in worlds whose answers are known."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierrec_core.evaluation.audit import demographic_groups, diversity, exposure_gini, popularity_bias


@given(st.lists(st.integers(0, 5), min_size=1, max_size=20))
def test_gini_is_the_mean_absolute_difference(shown):
    count = np.bincount(shown, minlength=6)
    differences = np.abs(count[:, None] - count[None, :]).mean()
    assert exposure_gini(np.array([shown]), 6) == pytest.approx(differences / (2 * count.mean()))


def test_gini_of_equal_and_of_one():
    assert exposure_gini(np.array([[0, 1], [2, 3]]), 4) == pytest.approx(0.0)
    assert exposure_gini(np.array([[2, -1], [2, -1]]), 4) == pytest.approx(0.75)
    assert exposure_gini(np.array([[-1, -1]]), 4) == 0.0


def test_popular_lists_have_a_bias_and_own_histories_have_none(interactions):
    buyers = np.asarray(interactions.binary().sum(axis=0)).ravel()
    best = np.tile(np.argsort(-buyers)[:5], (interactions.num_users, 1))
    assert popularity_bias(best, interactions)["bias"] > 0.1
    last = [interactions.item[interactions.user == user] for user in range(interactions.num_users)]
    width = max(map(len, last))
    own = np.array([np.pad(items, (0, width - len(items)), constant_values=-1) for items in last])
    assert popularity_bias(own, interactions)["bias"] == pytest.approx(0.0, abs=1e-12)


def test_no_list_has_no_bias(interactions):
    nothing = np.full((interactions.num_users, 3), -1)
    assert popularity_bias(nothing, interactions) == {"recommended": 0.0, "own": 0.0, "bias": 0.0}


def test_diversity_counts_pairs():
    category = np.array([0, 0, 1, 2])
    assert diversity(np.array([[0, 1, 2]]), category) == pytest.approx(2 / 3)
    assert diversity(np.array([[0, 2, 3], [0, 1, -1], [3, -1, -1]]), category) == pytest.approx(0.5)
    assert diversity(np.array([[3, -1, -1]]), category) == 0.0


def test_groups_big_enough_are_told_apart():
    ids = pd.Index([f"u{i}" for i in range(100)], dtype=object)
    users = pd.DataFrame(
        {
            "user_id": ids[:90],
            "age": ["young"] * 50 + ["old"] * 35 + ["rare"] * 5,
            "same": "x",
            "income": range(90),
        }
    )
    values = np.r_[np.full(50, 0.2), np.full(35, 0.8), np.zeros(15)]
    found = demographic_groups(values, ids, users, 200, np.random.default_rng(0))
    assert list(found) == ["age"]
    assert {name: (count, one.value) for name, (count, one) in found["age"].items()} == {
        "young": (50, pytest.approx(0.2)),
        "old": (35, pytest.approx(0.8)),
    }


def test_users_without_demographics_give_no_groups():
    users = pd.DataFrame({"user_id": pd.Series([], dtype="string")})
    assert demographic_groups(np.ones(2), pd.Index(["a", "b"]), users, 10, np.random.default_rng(0)) == {}
