"""Faults of the data: what is lost, repeated or added is exactly that, and the rest of the log stays."""

import numpy as np
import pandas as pd
import pytest

from monitoring.simulation import faults
from monitoring.simulation.fault_period import FaultPeriod
from monitoring.simulation.world import synthetic_world
from tierrec_core.base.contracts import EVENTS
from tierrec_core.data.interactions import to_days


@pytest.fixture(scope="module")
def span() -> FaultPeriod:
    world = synthetic_world(6, num_users=150, num_items=80, days=112)
    return FaultPeriod(world.events, world.items, world.start + 84, world.start + 112)


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


def _inside(span: FaultPeriod, events: pd.DataFrame) -> pd.DataFrame:
    day = to_days(events["timestamp"])
    return events[(day >= span.start) & (day < span.end)]


@pytest.mark.parametrize("name", sorted(faults.FAULTS))
def test_before_the_fault_the_log_is_as_it_was_and_the_frames_keep_their_contract(span, name):
    broken = faults.FAULTS[name](span, _rng())
    day, was = to_days(broken.events["timestamp"]), to_days(span.events["timestamp"])
    pd.testing.assert_frame_equal(
        broken.events[day < span.start].reset_index(drop=True), span.events[was < span.start].reset_index(drop=True)
    )
    assert dict(broken.events.dtypes) == dict(EVENTS.conform(span.events, "test").dtypes)
    assert broken.events["timestamp"].is_monotonic_increasing
    assert not (broken.events.equals(span.events) and broken.items.equals(span.items))


def test_missing_days_are_so_many_in_a_row(span):
    broken = faults.missing_days(span, _rng(), days=5)
    days = set(range(int(span.start), int(span.end)))
    left = set(np.floor(to_days(_inside(span, broken.events)["timestamp"])).astype(int))
    gone = sorted(days - left)
    assert gone == list(range(gone[0], gone[0] + 5))


def test_a_silent_feed_has_nothing_after_it_fell_silent(span):
    broken = faults.stale_feed(span, _rng(), days=7)
    assert to_days(broken.events["timestamp"]).max() < span.end - 7


def test_a_thinned_feed_loses_its_share(span):
    broken = faults.lost_rows(span, _rng(), share=0.3)
    before, after = len(_inside(span, span.events)), len(_inside(span, broken.events))
    assert abs(after - 0.7 * before) < 4 * np.sqrt(before * 0.21)


def test_doubled_rows_are_equal_in_every_column(span):
    broken = faults.duplicate_rows(span, _rng(), share=0.3)
    again = broken.events.duplicated()
    assert again.sum() == len(broken.events) - len(span.events)
    before = len(_inside(span, span.events))
    assert abs(again.sum() - 0.3 * before) < 4 * np.sqrt(before * 0.21)


def test_foreign_ids_are_in_no_catalogue(span):
    broken = faults.foreign_items(span, _rng(), share=0.5)
    known = broken.events["item_id"].isin(span.items["item_id"])
    assert (~known).sum() == broken.events["item_id"].str.startswith("sku:").sum()
    before = len(_inside(span, span.events))
    assert abs((~known).sum() - 0.5 * before) < 4 * np.sqrt(before * 0.25)


def test_a_kind_of_event_vanishes_and_no_other(span):
    broken = faults.missing_kind(span, _rng(), event="cart")
    before, after = (_inside(span, one)["event"].value_counts().to_dict() for one in (span.events, broken.events))
    assert before.pop("cart") > 0
    assert after == before


@pytest.mark.parametrize("kind", ["new", "hijacked"])
def test_bots_repeat_few_events_at_even_intervals(span, kind):
    broken = faults.bots(span, _rng(), kind=kind, num=3, events_a_day=50, num_items=4)
    assert len(broken.users) == 3
    assert broken.users.isin(span.events["user_id"]).all() == (kind == "hijacked")
    assert len(broken.events) - len(span.events) == 3 * 50 * 28
    fresh = pd.concat([span.events, broken.events]).drop_duplicates(keep=False)
    assert fresh.groupby("user_id")["item_id"].nunique().eq(4).all()
    apart = fresh.sort_values("timestamp").groupby("user_id")["timestamp"].diff().dt.total_seconds()
    assert apart.min() == 12 * 3600 / 50


def test_it_is_known_how_each_fault_should_be_named():
    assert set(faults.EXPECTED_KINDS) == set(faults.FAULTS)
    assert set(faults.INDISTINGUISHABLE) < set(faults.FAULTS)
