"""The made world keeps its word: what its log shows is what its truth says."""

import hashlib
from importlib import import_module
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from tierrec_core import sources
from tierrec_core.base import artifacts
from tierrec_core.base.contracts import FloatArray
from tierrec_core.settings import Source, SyntheticSource
from tierrec_core.sources import synthetic
from tierrec_core.sources.synthetic import INTERESTS, SyntheticWorld

SOURCE = SyntheticSource(num_users=300, num_items=120, num_categories=8, days=240, drift_day=120, drift_share=0.3)


@pytest.fixture(scope="module")
def world() -> SyntheticWorld:
    return synthetic.make_synthetic_world(SOURCE, seed=3)


def bought_shares(world: SyntheticWorld, rows: pd.Series) -> FloatArray:
    """What share of a user's purchases goes to a category, [U, C]."""
    events = world.log.events[rows & (world.log.events["event"] == "purchase")]
    category = world.log.items.set_index("item_id")["category"]
    counts = pd.crosstab(events["user_id"], events["item_id"].map(category))
    counts = counts.reindex(index=world.log.users["user_id"], columns=list(world.categories), fill_value=0)
    return counts.to_numpy() / np.maximum(counts.sum(axis=1).to_numpy()[:, None], 1)


def before_drift(world: SyntheticWorld) -> pd.Series:
    return world.log.events["timestamp"] < pd.Timestamp(SOURCE.start, tz="UTC") + pd.Timedelta(days=120)


def test_activity_tells_the_tiers(world):
    counts = world.log.events.groupby("user_id").size().reindex(world.log.users["user_id"])
    found = KMeans(3, n_init=5, random_state=0).fit_predict(np.log(counts.to_numpy(dtype=float))[:, None])
    assert adjusted_rand_score(world.tiers, found) > 0.9
    np.testing.assert_array_equal(np.bincount(world.tiers), [120, 120, 60])


@pytest.mark.parametrize("period", ["before", "after"])
def test_purchases_tell_the_interests(world, period):
    rows = before_drift(world) if period == "before" else ~before_drift(world)
    heavy = world.tiers == 2
    truth, found = getattr(world, period)[heavy], bought_shares(world, rows)[heavy]
    assert np.abs(truth - found).mean() < 0.03
    assert np.corrcoef(truth.ravel(), found.ravel())[0, 1] > 0.95


def test_drifted_users_moved_half_of_their_top_interest_and_nobody_else_moved(world):
    change = world.after - world.before
    assert world.drifted.sum() == 90
    np.testing.assert_array_equal(change[~world.drifted], 0)
    top = world.before.max(axis=1)
    np.testing.assert_allclose(np.abs(change[world.drifted]).sum(axis=1), top[world.drifted])
    np.testing.assert_allclose(change[world.drifted].min(axis=1), -top[world.drifted] / 2)
    np.testing.assert_allclose(world.after.sum(axis=1), 1)


def test_the_log_shows_who_drifted(world):
    before, after = (bought_shares(world, rows) for rows in (before_drift(world), ~before_drift(world)))
    users, top = np.arange(len(before)), world.before.argmax(axis=1)
    lost = before[users, top] - after[users, top]
    heavy, half = world.tiers == 2, max(INTERESTS) / 2
    np.testing.assert_allclose(lost[heavy & world.drifted].mean(), half, atol=0.03)
    np.testing.assert_allclose(lost[heavy & ~world.drifted].mean(), 0, atol=0.03)
    np.testing.assert_array_equal((lost > half / 2)[heavy], world.drifted[heavy])


def test_users_come_back_to_their_favourite_items(world):
    bought = world.log.events.query("event == 'purchase'")
    again = bought.duplicated(["user_id", "item_id"]).groupby(world.tiers[bought["user_id"].str[1:].astype(int)])
    assert again.mean()[2] > 0.7


def test_what_is_bought_was_in_the_cart_and_what_is_in_the_cart_was_seen(world):
    visits = world.log.events.groupby("event")[["session_id", "item_id"]]
    pairs = {name: set(rows.itertuples(index=False, name=None)) for name, rows in visits}
    assert pairs["purchase"] < pairs["cart"] < pairs["view"]


def test_coupons_are_cheaper_and_only_they_are_redeemed(world):
    bought = world.log.events.query("event == 'purchase'").merge(world.log.items, on="item_id")
    paid = (bought["value"] / bought["quantity"] / bought["price"]).astype(float)
    np.testing.assert_allclose(paid[bought["channel"] == "coupon"], 0.8, atol=0.02)
    np.testing.assert_allclose(paid[bought["channel"] != "coupon"], 1, atol=0.02)
    redeemed = world.log.events.query("event == 'redeem'")
    assert 0 < len(redeemed) < (bought["channel"] == "coupon").sum()
    assert set(redeemed["session_id"]) <= set(bought.query("channel == 'coupon'")["session_id"])
    assert set(redeemed["item_id"]) <= set(world.log.items.query("category == 'campaign'")["item_id"])


def test_no_two_rows_are_equal(world):
    assert not world.log.events.duplicated().any()
    assert not world.log.items["item_id"].duplicated().any()
    assert len(world.log.users) == 300


def test_no_drift_day_no_drift():
    still = synthetic.make_synthetic_world(SOURCE.model_copy(update={"drift_day": None}), seed=3)
    assert not still.drifted.any()
    np.testing.assert_array_equal(still.before, still.after)


@pytest.mark.medium
def test_one_seed_one_world(tmp_path):
    digests = []
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        log = sources.read_source(SOURCE, tmp_path, seed)
        artifacts.write_frame(log.events, tmp_path / name)
        digests.append(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("size", [(1, 1, 1), (2, 3, 10), (5, 1, 4)])
def test_the_smallest_worlds_are_made(size):
    users, items, categories = size
    small = SyntheticSource(num_users=users, num_items=items, num_categories=categories, days=2, drift_day=1)
    world = synthetic.make_synthetic_world(small, seed=0)
    assert world.log.events["user_id"].nunique() == users
    assert len(world.categories) == min(items, categories)


@pytest.mark.parametrize("kind", [kind.model_fields["kind"].default for kind in get_args(get_args(Source)[0])])
def test_every_kind_of_source_has_a_reader_of_its_name(kind: str) -> None:
    assert callable(getattr(import_module(f"tierrec_core.sources.{kind}"), f"read_{kind}"))
