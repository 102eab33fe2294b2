"""Changes of a log affect the stated users and events, and nothing else."""

import numpy as np
import pandas as pd
import pytest

from monitoring.simulation import synthetic_drift
from monitoring.simulation.world import ReplayWorld, synthetic_world
from tierrec_core.base.errors import DataError
from tierrec_core.data.interactions import to_days

_KEPT = ["user_id", "event", "timestamp", "value", "quantity", "session_id", "channel"]


@pytest.fixture(scope="module")
def world() -> ReplayWorld:
    return synthetic_world(5, num_users=200, num_items=100, days=168)


@pytest.fixture(scope="module")
def start(world: ReplayWorld) -> float:
    return world.start + 84


def _rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def _table(world: ReplayWorld) -> pd.DataFrame:
    """The log with category and day, redemptions left out: they are of campaigns, not of items."""
    kind = world.items.set_index("item_id")["category"]
    table = world.events.assign(category=world.events["item_id"].map(kind), day=to_days(world.events["timestamp"]))
    return table[table["event"] != "redeem"]


def _favourites(table: pd.DataFrame, start: float) -> pd.Series:
    past = table[table["day"] < start]
    counts = past.groupby(["user_id", "category"]).size().reset_index(name="n")
    return counts.sort_values(["n", "category"], ascending=[False, True]).groupby("user_id")["category"].first()


@pytest.mark.parametrize("kind", ["concentrated", "diffuse"])
@pytest.mark.parametrize("share", [0.1, 0.4])
def test_exactly_the_share_of_users_moves_half_of_the_favourite_and_nothing_else(world, start, kind, share):
    shifted = synthetic_drift.shift_interests(
        world.events, world.items, share=share, start=start, rng=_rng(), kind=kind
    )
    before, after = _table(world), _table(world.after(shifted))
    pd.testing.assert_frame_equal(before[_KEPT], after[_KEPT])
    changed = (before["category"] != after["category"]) | (before["item_id"] != after["item_id"])
    favourite = _favourites(before, start)
    assert len(shifted.users) == round(share * len(favourite))
    assert set(before.loc[changed, "user_id"]) <= set(shifted.users)
    assert (before.loc[changed, "category"] == before.loc[changed, "user_id"].map(favourite)).all()
    assert (before.loc[changed, "day"] >= start).all()
    exposed = before["user_id"].isin(shifted.users) & (before["day"] >= start)
    exposed &= before["category"] == before["user_id"].map(favourite)
    assert abs(changed.sum() - exposed.sum() / 2) < 4 * np.sqrt(exposed.sum()) / 2


def test_the_share_is_drawn_among_the_given_users(world, start):
    among = pd.Index(sorted(world.events["user_id"].unique())[:50], dtype=object)
    options = {"share": 0.4, "start": start, "kind": "diffuse"}
    shifted = synthetic_drift.shift_interests(world.events, world.items, rng=_rng(), among=among, **options)
    assert len(shifted.users) == 20
    assert set(shifted.users) <= set(among)


def test_users_of_a_gradual_shift_begin_on_different_days(world, start):
    options = {"share": 0.4, "start": start}
    sudden, gradual = (
        synthetic_drift.shift_interests(world.events, world.items, rng=_rng(), ramp_days=days, **options)
        for days in (0.0, 60.0)
    )
    before, at_once, later = (_table(one) for one in (world, world.after(sudden), world.after(gradual)))
    weeks = (before["day"] - start) // 7
    moved = [(before["item_id"] != after["item_id"]).groupby(weeks).sum() for after in (at_once, later)]
    assert moved[1].loc[0:3].sum() < moved[0].loc[0:3].sum() / 2
    assert moved[1].loc[9:].sum() > 0.7 * moved[0].loc[9:].sum()
    assert moved[0].loc[:-1].sum() == moved[1].loc[:-1].sum() == 0


def test_concentrated_movers_all_move_to_one_category(world, start):
    shifted = synthetic_drift.shift_interests(world.events, world.items, share=0.2, start=start, rng=_rng())
    before, after = _table(world), _table(world.after(shifted))
    changed = before["item_id"] != after["item_id"]
    (target,) = set(after.loc[changed, "category"])
    assert repr(target) in shifted.what


def test_diffuse_movers_move_to_their_rarest_category(world, start):
    shifted = synthetic_drift.shift_interests(
        world.events, world.items, share=0.4, start=start, rng=_rng(), kind="diffuse"
    )
    before, after = _table(world), _table(world.after(shifted))
    past = before[before["day"] < start]
    liked = past.pivot_table(index="user_id", columns="category", values="item_id", aggfunc="count", fill_value=0)
    changed = after[before["item_id"] != after["item_id"]]
    goals = changed.groupby("user_id")["category"].nunique()
    assert (goals == 1).all()
    assert changed["category"].nunique() > 3
    for user, category in changed.drop_duplicates("user_id")[["user_id", "category"]].itertuples(index=False):
        assert liked.loc[user, category] == liked.loc[user].min()


def test_more_movers_than_can_move_is_an_error_that_says_what_to_do(world, start):
    with pytest.raises(DataError, match="lower the share"):
        synthetic_drift.shift_interests(world.events, world.items, share=1.0, start=start, rng=_rng())


def test_a_new_category_is_used_only_from_its_day_on_and_only_by_the_movers(world, start):
    shifted = synthetic_drift.add_category(world.events, world.items, share=0.3, start=start, rng=_rng())
    after = _table(world.after(shifted))
    new = after["category"] == synthetic_drift.NEW_CATEGORY
    assert (after.loc[new, "day"] >= start).all()
    assert set(after.loc[new, "user_id"]) <= set(shifted.users)
    assert len(shifted.users) == round(0.3 * _table(world).query("day < @start")["user_id"].nunique())
    exposed = after["user_id"].isin(shifted.users) & (after["day"] >= start)
    take_up = synthetic_drift.TAKE_UP
    assert abs(new.sum() - take_up * exposed.sum()) < 4 * np.sqrt(exposed.sum() * take_up * (1 - take_up))
    assert (shifted.items["category"] == synthetic_drift.NEW_CATEGORY).sum() == synthetic_drift.NUM_NEW_ITEMS


def test_a_season_doubles_its_category_while_it_lasts_and_leaves_the_rest(world, start):
    starts = (world.start + 28, start + 14)
    shifted = synthetic_drift.add_season(world.events, world.items, starts=starts, rng=_rng())
    before, after = _table(world), _table(world.after(shifted))
    grown = after["category"].value_counts() - before["category"].value_counts()
    (category,) = grown.index[grown > 0]
    days = 7 * synthetic_drift.SEASON_WEEKS
    during = [after["day"].between(one, one + days, inclusive="left") for one in starts]
    held = [before["day"].between(one, one + days, inclusive="left") for one in starts]
    own, theirs = after["category"] == category, before["category"] == category
    grown = sum(int((own & one).sum()) for one in during)
    assert abs(grown - 2 * sum(int((theirs & one).sum()) for one in held)) <= 2  # a few minutes reach over midnight
    assert (after["category"] != category).sum() == (before["category"] != category).sum()
    assert not after.duplicated(["user_id", "item_id", "event", "timestamp"]).any()
    assert after["timestamp"].is_monotonic_increasing


def test_a_tier_that_collapses_loses_the_share_of_each_users_baskets_and_of_no_other_users(world, start):
    users = pd.Index(sorted(world.events["user_id"].unique())[:40])
    shifted = synthetic_drift.reduce_activity(
        world.events, world.items, users=users, start=start, rng=_rng(), name="light users"
    )
    before, after = _table(world), _table(world.after(shifted))
    late = [table[table["day"] >= start].groupby("user_id")["session_id"].nunique() for table in (before, after)]
    for user, baskets in late[0].items():
        left = baskets - round(synthetic_drift.LOSS * baskets) if user in users else baskets
        assert late[1].get(user, 0) == left
    pd.testing.assert_frame_equal(before[before["day"] < start], after[after["day"] < start])
