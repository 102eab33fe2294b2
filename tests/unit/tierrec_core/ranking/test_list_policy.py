"""Policy: a blocked item is never shown, a cap is a cap, and a neutral policy changes nothing."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierrec_core.base import artifacts
from tierrec_core.data.interactions import Interactions
from tierrec_core.linalg.top_k import TopK, rank_candidates
from tierrec_core.protocols.model import Training
from tierrec_core.ranking.policy import Audience, ListPolicy
from tierrec_core.settings import PolicySettings as PolicySettings
from tierrec_core.settings import TierPolicySettings


def fitted(interactions: Interactions, items: pd.DataFrame, **settings: object) -> ListPolicy:
    return ListPolicy.fit(interactions, items, PolicySettings(**settings))


def test_a_neutral_policy_changes_nothing(interactions: Interactions, items: pd.DataFrame):
    policy = fitted(interactions, items)
    scores = np.array([3.0, 1.0, 2.0])
    adjusted = policy.adjust(scores, np.zeros(3, int), np.arange(3), np.array([0]))
    np.testing.assert_array_equal(adjusted, scores)


@given(st.lists(st.integers(0, 39), min_size=1, max_size=39, unique=True), st.integers(0, 2**32 - 1))
def test_a_blocked_item_is_never_listed(interactions: Interactions, items: pd.DataFrame, blocked: list[int], seed: int):
    policy = fitted(interactions, items, blocked_items=tuple(f"i{item:02d}" for item in blocked))
    item = np.arange(40)
    scores = np.random.default_rng(seed).normal(size=40) + 100.0 * np.isin(item, blocked)
    adjusted = policy.adjust(scores, np.zeros(40, int), item, np.array([1]))
    listed = rank_candidates(adjusted[None], item[None], 40).items
    assert set(listed[listed >= 0]) == set(range(40)) - set(blocked)


@given(st.integers(1, 4), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_no_category_holds_more_than_its_cap(training: Training, items: pd.DataFrame, most: int, k: int, seed: int):
    policy = fitted(training.history, items, max_per_category=most)
    order = np.random.default_rng(seed).permutation(40)
    one_user = Audience(training.history.select_users(np.array([0])), training.tiering.tier[:1], training.tiering)
    ranked = TopK(order[None].astype(np.int32), -np.arange(40, dtype=np.float32)[None])
    capped = policy.apply(ranked, k, one_user)
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
def test_novelty_breaks_ties(interactions: Interactions, items: pd.DataFrame, novelty: float, first: str):
    policy = fitted(interactions, items, tiers={"light": TierPolicySettings(novelty=novelty)})
    popularity = np.bincount(interactions.item, minlength=40)
    item = np.array([popularity.argmax(), popularity.argmin()])
    scores = np.array([1.0, 1.0, -1.0, 3.0])
    user = np.array([0, 0, 0, 0])
    adjusted = policy.adjust(scores, user, np.r_[item, [3, 4]], np.array([0]))[:2]
    assert adjusted.argmax() == (1 if first == "least" else 0)
    heavy = policy.adjust(scores, user, np.r_[item, [3, 4]], np.array([2]))
    np.testing.assert_array_equal(heavy, scores)


def listed(training: Training, k: int = 10, rows: np.ndarray | None = None, **settings: object) -> TopK:
    """What the policy makes of the order 0, 1, 2 ... for the tiny world's users."""
    rows = np.arange(training.history.num_users) if rows is None else rows
    policy = fitted(training.history, training.items, **settings)
    audience = Audience(training.history.select_users(rows), training.tiering.tier[rows], training.tiering)
    order = np.tile(np.arange(40, dtype=np.int32), (len(rows), 1))
    return policy.apply(TopK(order, -order.astype(np.float32)), k, audience)


def test_settings_that_ask_for_nothing_leave_the_list_alone(training: Training):
    plain = listed(training)
    np.testing.assert_array_equal(plain.items, np.tile(np.arange(10), (60, 1)))
    for settings in (
        {"tiers": {"light": TierPolicySettings()}},
        {"rerank": {"kind": "mmr", "weight": 0.0}},
        {"rerank": {"kind": "calibrated", "weight": 0.0}},
    ):
        np.testing.assert_array_equal(listed(training, **settings).items, plain.items)


def test_only_the_tier_that_asks_is_limited(training: Training):
    light = training.tiering.tier == 0
    found = listed(training, tiers={"light": TierPolicySettings(repeat_slots=0.2)})
    met = training.history.binary_matrix().toarray()[np.arange(60)[:, None], found.items] > 0
    assert met[light].sum(axis=1).max() <= 2
    np.testing.assert_array_equal(found.items[~light], np.tile(np.arange(10), ((~light).sum(), 1)))
    assert (np.diff(found.scores, axis=1) <= 0).all()


def test_new_items_below_the_floor_are_left_out(training: Training):
    history = training.history
    policy = fitted(history, training.items, tiers={"light": TierPolicySettings(quality_floor=0.5)})
    found = listed(training, k=40, tiers={"light": TierPolicySettings(quality_floor=0.5)})
    met = history.binary_matrix().toarray() > 0
    for user in np.flatnonzero(training.tiering.tier == 0):
        good = np.flatnonzero(met[user] | (policy.quality >= 0.5))
        np.testing.assert_array_equal(found.items[user][found.items[user] >= 0], good)


def test_quality_is_how_many_buyers_came_back(training: Training):
    history = training.history
    policy = fitted(history, training.items, tiers={"heavy": TierPolicySettings(quality_floor=0.1)})
    days = [
        [set(np.floor(history.day[(history.user == u) & (history.item == i)])) for u in range(60)] for i in range(40)
    ]
    buyers = np.array([sum(bool(one) for one in item) for item in days])
    again = np.array([sum(len(one) > 1 for one in item) for item in days])
    value = (again + 10 * again.sum() / buyers.sum()) / (buyers + 10)
    np.testing.assert_array_equal(np.argsort(policy.quality, kind="stable"), np.argsort(value, kind="stable"))


def test_trials_are_new_rare_and_the_same_whoever_else_asks(training: Training):
    settings = {"tiers": {name: TierPolicySettings(exploration=0.2) for name in ("light", "medium", "heavy")}}
    found = listed(training, **settings)
    alone = listed(training, rows=np.array([17]), **settings)
    np.testing.assert_array_equal(found.items[17], alone.items[0])
    policy = fitted(training.history, training.items, **settings)
    met = training.history.binary_matrix().toarray() > 0
    trials = found.items[:, [4, 9]]
    assert not met[np.arange(60)[:, None], trials].any()
    middle = np.array([np.median(policy.obscurity[~row]) for row in met])
    assert (policy.obscurity[trials] > middle[:, None]).all()
    other = listed(training, **settings, seed=1).items[:, [4, 9]]
    assert (other != trials).any(axis=1).mean() > 0.5


def test_each_trial_is_drawn_as_often_as_any_other(training: Training):
    """The highest of equal draws: over seeds, every new and rare item of a user has the same chance."""
    audience = Audience(training.history, training.tiering.tier, training.tiering)
    draws = np.stack([audience.draws(np.tile(np.arange(8), (60, 1)), seed) for seed in range(50)])
    share = np.bincount(draws.argmax(axis=2).ravel(), minlength=8) / 3000
    assert np.abs(share - 1 / 8).max() < 4 * np.sqrt(1 / 8 * 7 / 8 / 3000)
    assert ((draws >= 0) & (draws < 1)).all()


def test_an_item_fills_no_more_than_its_share_of_a_tiers_lists(training: Training):
    found = listed(training, tiers={"light": TierPolicySettings(exposure_cap=0.5)})
    light = training.tiering.tier == 0
    assert np.bincount(found.items[light].ravel()).max() <= 12
    assert (found.items >= 0).all()
    alone = listed(training, rows=np.flatnonzero(light)[:1], tiers={"light": TierPolicySettings(exposure_cap=0.5)})
    np.testing.assert_array_equal(alone.items[0], np.arange(10))


@pytest.mark.parametrize("kind", ["mmr", "calibrated"])
def test_variety_brings_more_groups_into_a_list(training: Training, kind: str):
    found = listed(training, rerank={"kind": kind, "weight": 0.9})
    assert np.mean([len(set(row // 10)) for row in found.items]) > 2
    assert len(set(found.items[0])) == 10
    np.testing.assert_array_equal(listed(training, k=5, rerank={"kind": kind, "weight": 0.9}).items, found.items[:, :5])


def test_survives_disk_and_reads_what_was_written_without_the_new_parts(training: Training, tmp_path):
    settings = {"rerank": {"kind": "mmr", "weight": 0.5}, "tiers": {"light": TierPolicySettings(quality_floor=0.5)}}
    policy = fitted(training.history, training.items, **settings)
    artifacts.save(policy, tmp_path / "policy")
    again = artifacts.load(ListPolicy, tmp_path / "policy")
    assert again.settings == policy.settings
    np.testing.assert_array_equal(again.quality, policy.quality)
    meta = artifacts.read_json(tmp_path / "policy" / "meta.json")
    del meta["fields"]["settings"]
    artifacts.write_json(meta, tmp_path / "policy" / "meta.json")
    assert artifacts.load(ListPolicy, tmp_path / "policy").settings == PolicySettings()
