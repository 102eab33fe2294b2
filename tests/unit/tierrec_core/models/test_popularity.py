"""Shares of a window against counting with pandas."""

import dataclasses

import numpy as np
import pytest

from tierrec_core.models.popularity import Popularity


@pytest.mark.parametrize("window_days", [7.0, 30.0, 1000.0])
def test_shares_are_those_that_pandas_counts(training, events, window_days):
    now = events["timestamp"].max()
    recent = events[(now - events["timestamp"]).dt.total_seconds() <= window_days * 86_400]
    expected = recent["item_id"].value_counts(normalize=True).reindex(training.history.items, fill_value=0)
    model = Popularity.fit(training, Popularity.Config(window_days=window_days))
    np.testing.assert_allclose(model.share, expected, rtol=1e-6)


def test_events_of_guests_count(training):
    is_guest = training.history.user % 3 == 0
    users, guests = (training.history.where(mask) for mask in (~is_guest, is_guest))
    found = Popularity.fit(dataclasses.replace(training, history=users, guests=guests), Popularity.Config())
    np.testing.assert_array_equal(found.share, Popularity.fit(training, Popularity.Config()).share)


def test_events_that_are_no_target_do_not_count(training):
    model = Popularity.fit(dataclasses.replace(training, target=("view",)), Popularity.Config())
    assert not model.share.any()
