"""The trials of the gate: what makes a challenger worse does exactly that, on a made shop whose blend is right."""

from collections.abc import Mapping

import numpy as np
import pytest

from benchmarks.drift.gate_lists import Shop, ShopTask
from benchmarks.drift.gate_trials import _WORSEN, DELIBERATE, permuted_ids, run_gate, shuffled, stale, tier_popular
from tierrec_core.base.contracts import IntArray
from tierrec_core.evaluation.metrics import Truth
from tierrec_core.settings import Settings

USERS, ITEMS, LENGTH = 400, 300, 20


@pytest.fixture(scope="module")
def shop() -> Shop:
    """Each user wants ten items; the blend finds most of them, a single model fewer, the popular list almost none."""
    rng, rows = np.random.default_rng(0), np.arange(USERS)
    wanted = np.stack([rng.permutation(ITEMS)[:LENGTH] for _ in rows])
    truth = Truth.of(np.repeat(rows, 10), wanted[:, :10].ravel(), ITEMS)

    def finding(share: float) -> IntArray:
        """Lists whose places hold a wanted item with this chance, and an unwanted one of twenty else."""
        hit = np.where(np.arange(LENGTH) < 10, rng.random((USERS, LENGTH)) < share, False)
        return np.where(hit, wanted, (wanted[:, :1] + 1 + np.arange(LENGTH)) % ITEMS)

    popular = np.tile(np.arange(LENGTH), (USERS, 1))
    task = ShopTask(truth, finding(0.8), finding(0.5), popular, finding(0.6), {})
    settings = Settings.model_validate({"tasks": {"next": {}}, "models": {}})
    return Shop({"next": task, "discovery": task}, rows % 3, settings)


def worsened(shop: Shop, kind: str, strength: float, seed: int = 0) -> Mapping[str, IntArray]:
    rng = np.random.default_rng(seed)
    return {name: _WORSEN[kind](task, shop.tier, strength, rng) for name, task in shop.tasks.items()}


@pytest.mark.parametrize("kind", _WORSEN)
def test_strength_zero_changes_nothing_and_is_kept(shop: Shop, kind: str):
    before = {name: task.blend for name, task in shop.tasks.items()}
    after = worsened(shop, kind, 0.0)
    for name, lists in after.items():
        np.testing.assert_array_equal(lists, before[name])
    report = run_gate(shop, before, after, np.random.default_rng(0))
    assert (report.verdict, report.passed) == ("no change", True)


@pytest.mark.parametrize("kind", _WORSEN)
def test_what_is_deliberately_worse_loses_and_is_refused(shop: Shop, kind: str):
    before = {name: task.blend for name, task in shop.tasks.items()}
    report = run_gate(shop, before, worsened(shop, kind, DELIBERATE[kind]), np.random.default_rng(0))
    assert report.tasks["next"].overall.interval.value < 0
    assert (report.verdict, report.passed) == ("worse", False)


def test_shuffling_moves_the_share_of_users_and_keeps_their_items(shop: Shop):
    task = shop.tasks["next"]
    lists = shuffled(task, shop.tier, 0.3, np.random.default_rng(0))
    np.testing.assert_array_equal(np.sort(lists, axis=1), np.sort(task.blend, axis=1))
    assert (lists != task.blend).any(axis=1).mean() == pytest.approx(0.3, abs=0.07)


def test_popularity_comes_to_one_tier_alone(shop: Shop):
    task = shop.tasks["next"]
    lists = tier_popular(task, shop.tier, 1.0, np.random.default_rng(0))
    hit = (lists == task.popular).all(axis=1)
    assert len(set(shop.tier[hit])) == 1
    assert hit.sum() == pytest.approx(USERS / 3, abs=1)
    np.testing.assert_array_equal(lists[~hit], task.blend[~hit])


def test_mistaken_items_stand_for_one_another(shop: Shop):
    task = shop.tasks["next"]
    lists = permuted_ids(task, shop.tier, 0.4, np.random.default_rng(0))
    stands_for: dict[int, set[int]] = {}
    for old, new in zip(task.blend.ravel(), lists.ravel(), strict=True):
        stands_for.setdefault(int(old), set()).add(int(new))
    assert all(len(one) == 1 for one in stands_for.values())
    assert len(set.union(*stands_for.values())) == len(stands_for)
    moved = np.mean([{old} != new for old, new in stands_for.items()])
    assert moved == pytest.approx(0.4, abs=0.1)


def test_stale_lists_take_the_place_of_all(shop: Shop):
    task = shop.tasks["next"]
    np.testing.assert_array_equal(stale(task, shop.tier, 1.0, np.random.default_rng(0)), task.stale)
