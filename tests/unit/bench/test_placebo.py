"""Reassigned baskets stay whole and keep their user; events outside of the two windows stay."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.drift.detection_trials import reassign_baskets
from monitoring.simulation.world import ReplayWorld, synthetic_world
from tierrec_core.data.interactions import to_days


@pytest.fixture(scope="module")
def world() -> ReplayWorld:
    return synthetic_world(5, num_users=200, num_items=100, days=168)


@pytest.fixture(scope="module")
def start(world: ReplayWorld) -> float:
    return world.start + 84


def _rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def _baskets(events: pd.DataFrame) -> dict[str, list[tuple[str, ...]]]:
    """The multiset of baskets of each user, a basket being its sorted items."""
    content = events.groupby(["user_id", "session_id"])["item_id"].agg(lambda ids: tuple(sorted(ids)))
    return {user: sorted(part) for user, part in content.groupby(level=0)}


def test_each_users_baskets_and_all_outside_events_are_kept(world, start):
    events = world.events
    reassigned = reassign_baskets(events, start=start - 28, width=28, rng=_rng())
    assert _baskets(reassigned) == _baskets(events)
    day = to_days(events["timestamp"])
    outside = (day < start - 28) | (day >= start + 28)
    moved = to_days(reassigned["timestamp"])
    left = reassigned[(moved < start - 28) | (moved >= start + 28)]
    pd.testing.assert_frame_equal(left.reset_index(drop=True), events[outside].reset_index(drop=True))
    assert sorted((to_days(reassigned["timestamp"]) % 7).round(5)) == sorted((day % 7).round(5))


def test_half_of_the_baskets_change_window(world, start):
    events = world.events[world.events["event"] == "view"]
    reassigned = reassign_baskets(events, start=start - 28, width=28, rng=_rng())
    first = events.groupby("session_id")["timestamp"].min()
    second = reassigned.groupby("session_id")["timestamp"].min()
    inside = to_days(first).astype(float)
    inside = (inside >= start - 28) & (inside < start + 28)
    moved = (first != second)[inside]
    assert abs(moved.sum() - len(moved) / 2) < 4 * np.sqrt(len(moved)) / 2
    assert not reassign_baskets(events, start=start - 28, width=28, rng=_rng(1)).equals(reassigned)
