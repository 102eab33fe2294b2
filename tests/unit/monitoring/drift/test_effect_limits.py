"""Limits are learned from usual changes: a drift between past windows does not raise them."""

import numpy as np
import pytest

from monitoring.drift import DriftReference
from monitoring.drift.statistics.effect_limits import MIN_PAIRS, without_outliers
from monitoring.simulation.synthetic_drift import SEASON_WEEKS, add_season
from monitoring.simulation.world import ReplayRecommender, ReplayWorld, synthetic_world
from tierrec_core.settings import MonitorSettings


def pairs(sizes: list[float], seed: int = 0) -> list[dict[str, np.ndarray]]:
    """Effects of two families; those of shares are as large as these sizes say."""
    rng = np.random.default_rng(seed)
    return [{"shares/all": size * rng.uniform(0.8, 1.0, 5), "volume/all": rng.uniform(0.05, 0.1, 1)} for size in sizes]


def test_usual_pairs_are_all_kept() -> None:
    usual = pairs([0.05, 0.07, 0.04, 0.06, 0.08, 0.05, 0.06, 0.04])
    assert without_outliers(usual) == usual


def test_all_pairs_that_overlap_a_drift_are_left_out_though_they_are_most() -> None:
    sizes = [0.05, 0.3, 0.4, 0.6, 0.4, 0.3, 0.3, 0.05, 0.06, 0.05, 0.04]
    kept = without_outliers(pairs(sizes))
    assert [float(effects["shares/all"].max()) < 0.1 for effects in kept] == [True] * 5


def test_a_few_pairs_are_kept_whatever_they_are() -> None:
    assert len(without_outliers(pairs([0.05, 5.0, 5.0, 5.0]))) == MIN_PAIRS
    assert len(without_outliers(pairs([0.05, 0.05, 0.06, 5.0, 6.0, 7.0, 8.0]))) == MIN_PAIRS


def test_without_pairs_nothing_is_kept() -> None:
    assert without_outliers([]) == []


def largest_limit(world: ReplayWorld, cut: float) -> float:
    """The largest limit of the shares of categories among all users, as of a day."""
    model, past = ReplayRecommender.fit(world, cut, 1), world.between(-np.inf, cut)
    history = model.canary.history
    reference = DriftReference.build(past, world.items, cut, model.tiering, history, MonitorSettings())
    return float(reference.thresholds["shares/all"].max())


@pytest.mark.medium
def test_a_season_that_began_between_past_windows_raises_no_limit() -> None:
    world = synthetic_world(2017, num_users=400, num_items=150, days=225)
    cut = world.start + 224
    season = add_season(world.events, world.items, starts=(cut - 7 * SEASON_WEEKS,), rng=np.random.default_rng(1))
    assert largest_limit(world.after(season), cut) < 1.5 * largest_limit(world, cut)
