"""Behaviour features against a plain reading of the log, pair by pair."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from tierrec_core.base.contracts import EVENT_CODES
from tierrec_core.data.interactions import Interactions
from tierrec_core.features.user_item_history import NEVER, UserItemFeatures


@pytest.fixture(scope="module")
def table(interactions: Interactions, items: pd.DataFrame) -> pd.DataFrame:
    user = np.repeat(np.arange(interactions.num_users), interactions.num_items)
    item = np.tile(np.arange(interactions.num_items), interactions.num_users)
    features = UserItemFeatures.fit(interactions, items, ("category", "brand", "colour"), ("purchase",))
    return pd.DataFrame(features.compute(interactions, user, item) | {"user": user, "item": item})


def test_counts_and_ages_are_those_of_the_log(interactions: Interactions, table: pd.DataFrame):
    for row in table.sample(200, random_state=0).itertuples():
        mine = interactions.age[(interactions.user == row.user) & (interactions.item == row.item)]
        if not len(mine):
            assert (row.item_count, row.item_last_age, row.overdue) == (0, NEVER, -1)
            continue
        distinct = 1 + int((-np.diff(mine) > 0.5).sum())
        assert row.item_count == distinct
        assert row.item_last_age == pytest.approx(mine.min(), rel=1e-5)
        assert row.item_first_age == pytest.approx(mine.max(), rel=1e-5)
        assert row.item_decayed_30d == pytest.approx(np.exp2(-mine / 30).sum(), rel=1e-5)


def test_group_counts_are_sums_over_the_group(interactions: Interactions, items: pd.DataFrame, table: pd.DataFrame):
    category = items["category"].to_numpy()
    for row in table.sample(50, random_state=1).itertuples():
        same = category[interactions.item] == category[row.item]
        ages = interactions.age[(interactions.user == row.user) & same]
        assert row.category_decayed_90d == pytest.approx(np.exp2(-ages / 90).sum(), rel=1e-5)


def test_an_attribute_that_the_catalogue_lacks_is_left_out(table: pd.DataFrame):
    assert not [name for name in table if name.startswith("colour")]


def test_overdue_is_time_since_last_over_the_mean_interval(items: pd.DataFrame):
    index = pd.Index(items["item_id"], dtype=object)
    weekly = Interactions.from_history(["i00"] * 4, index, now=100.0)
    object.__setattr__(weekly, "day", np.array([58.0, 65.0, 72.0, 79.0]))
    found = UserItemFeatures.fit(weekly, items, (), ("purchase",)).compute(weekly, np.array([0]), np.array([0]))
    assert found["interval"][0] == pytest.approx(7.0)
    assert found["interval_spread"][0] == pytest.approx(0.0, abs=1e-3)
    assert found["overdue"][0] == pytest.approx(3.0)


def test_where_the_log_has_views_too_purchases_are_counted_apart(interactions: Interactions, items: pd.DataFrame):
    viewed = dataclasses.replace(interactions, event=interactions.event.copy())
    viewed.event[::2] = EVENT_CODES["view"]
    features = UserItemFeatures.fit(viewed, items, (), ("purchase",))
    found = features.compute(viewed, viewed.user, viewed.item)
    bought = viewed.filter_events("purchase").matrix()
    expected = np.asarray(bought[viewed.user, viewed.item]).ravel() > 0
    np.testing.assert_array_equal(found["taken_count"] > 0, expected)
    features = UserItemFeatures.fit(interactions, items, (), ("purchase",))
    assert "taken_count" not in features.compute(interactions, interactions.user, interactions.item)


def test_an_empty_history_is_finite(interactions: Interactions, items: pd.DataFrame):
    features = UserItemFeatures.fit(interactions, items, ("category",), ("purchase",))
    nobody = Interactions.from_history([], interactions.items, interactions.now)
    found = features.compute(nobody, np.zeros(5, int), np.arange(5))
    assert all(np.isfinite(column).all() for column in found.values())


def test_one_user_alone_has_the_features_of_the_batch(interactions: Interactions, items: pd.DataFrame):
    features = UserItemFeatures.fit(interactions, items, ("category",), ("purchase",))
    item = np.arange(interactions.num_items)
    alone = features.compute(interactions.select_users(np.array([7])), np.zeros(len(item), int), item)
    batch = features.compute(interactions, np.full(len(item), 7), item)
    for name, column in alone.items():
        np.testing.assert_allclose(column, batch[name], rtol=1e-6, err_msg=name)
