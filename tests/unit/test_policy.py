"""Policy: a blocked item is never shown, a cap is a cap, and a neutral policy changes nothing."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierrec_core.interactions import Interactions
from tierrec_core.policy import Policy
from tierrec_core.ranking import Ranked, rank_candidates
from tierrec_core.settings import Policy as PolicySettings
from tierrec_core.settings import TierPolicy


def fitted(interactions: Interactions, items: pd.DataFrame, **settings: object) -> Policy:
    return Policy.fit(interactions, items, PolicySettings(**settings))


def test_a_neutral_policy_changes_nothing(interactions: Interactions, items: pd.DataFrame):
    policy = fitted(interactions, items)
    scores = np.array([3.0, 1.0, 2.0])
    adjusted = policy.adjust(scores, np.zeros(3, int), np.arange(3), np.array([0]))
    np.testing.assert_array_equal(adjusted, scores)


@given(st.lists(st.integers(0, 39), min_size=1, max_size=39, unique=True), st.integers(0, 2**32 - 1))
def test_a_blocked_item_is_never_listed(
    interactions: Interactions, items: pd.DataFrame, blocked: list[int], seed: int
):
    policy = fitted(interactions, items, blocked_items=tuple(f"i{item:02d}" for item in blocked))
    item = np.arange(40)
    scores = np.random.default_rng(seed).normal(size=40) + 100.0 * np.isin(item, blocked)
    adjusted = policy.adjust(scores, np.zeros(40, int), item, np.array([1]))
    listed = rank_candidates(adjusted[None], item[None], 40).items
    assert set(listed[listed >= 0]) == set(range(40)) - set(blocked)


@given(st.integers(1, 4), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_no_category_holds_more_than_its_cap(
    interactions: Interactions, items: pd.DataFrame, most: int, k: int, seed: int
):
    policy = fitted(interactions, items, max_per_category=most)
    order = np.random.default_rng(seed).permutation(40)
    capped = policy.cap(Ranked(order[None].astype(np.int32), -np.arange(40, dtype=np.float32)[None]), k)
    listed = capped.items[0][capped.items[0] >= 0]
    seen: dict[str, int] = {}
    expected = []
    for item in order:
        category = items["category"][item]
        if seen.get(category, 0) < most:
            expected.append(item)
        seen[category] = seen.get(category, 0) + 1
    assert list(listed) == expected[:k]


@pytest.mark.parametrize(("novelty", "first"), [(1.0, "least"), (-1.0, "most")])
def test_novelty_breaks_ties_towards_unknown_or_popular_items(
    interactions: Interactions, items: pd.DataFrame, novelty: float, first: str
):
    policy = fitted(interactions, items, tiers={"light": TierPolicy(novelty=novelty)})
    popularity = np.bincount(interactions.item, minlength=40)
    item = np.array([popularity.argmax(), popularity.argmin()])
    scores = np.array([1.0, 1.0, -1.0, 3.0])
    user = np.array([0, 0, 0, 0])
    adjusted = policy.adjust(scores, user, np.r_[item, [3, 4]], np.array([0]))[:2]
    assert adjusted.argmax() == (1 if first == "least" else 0)
    heavy = policy.adjust(scores, user, np.r_[item, [3, 4]], np.array([2]))
    np.testing.assert_array_equal(heavy, scores)
