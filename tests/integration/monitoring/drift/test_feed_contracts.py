"""Each fault of a feed is named by its kind; unchanged windows and real shifts of behaviour have no fault."""

from functools import partial

import numpy as np
import pandas as pd
import pytest

from monitoring.drift import FeedChecks, FeedFault, find_faults, measure_window
from monitoring.simulation import faults, synthetic_drift
from monitoring.simulation.catalogue_faults import rename_categories
from monitoring.simulation.fault_period import Fault, FaultPeriod
from monitoring.simulation.tracking_faults import double_kind, lose_category, thin_kind
from tests.support.drift_world import CUT, SETTINGS, WIDTH, DriftWorld, made
from tierrec_core.settings import MonitorSettings

NAMED = {
    "renamed_category": "taxonomy",
    "renamed_all": "taxonomy",
    "merged_categories": "taxonomy",
    "relisted_items": "relisting",
    "price_x100": "price",
    "price_x0.92": "price",
    "price_x7.5": "price",
    "price_category": "price",
    "price_rows": "price",
    "near_duplicates": "near_duplicates",
    "doubled_kind": "event_ratio",
    "thinned_kind": "event_ratio",
    "lost_category": "lost_category",
    "clock_3_hours": "clock",
    "clock_12_hours": "clock",
    "clock_minus_5_hours": "clock",
    "rekeyed_users": "rekeyed_users",
    "rekeyed_share": "rekeyed_users",
    "lost_users": "lost_users",
    "scrapers": "bots",
    "mimics_even": "bots",
    "mimics_unconverted": "bots",
    "few_bots": "bots",
    "hijacked": "bots",
}
QUICK = ("merged_categories", "relisted_items", "price_x0.92", "clock_3_hours", "rekeyed_share", "scrapers")


@pytest.fixture(scope="module")
def world() -> DriftWorld:
    return made(seed=11)


@pytest.fixture(scope="module")
def period(world: DriftWorld) -> FaultPeriod:
    return FaultPeriod(world.events, world.items, CUT, CUT + WIDTH)


def found(
    world: DriftWorld, events: pd.DataFrame, items: pd.DataFrame, settings: MonitorSettings = SETTINGS
) -> dict[str, FeedFault]:
    feed = FeedChecks.measure(events, items, world.reference, CUT + WIDTH, settings, None)
    current = measure_window(world.reference, events, items, CUT + WIDTH)
    found_faults = find_faults(feed, world.reference, current, settings)
    return {fault.kind: fault for fault in reversed(found_faults)}  # the first of each kind


def broken(world: DriftWorld, period: FaultPeriod, fault: Fault, seed: int = 2) -> dict[str, FeedFault]:
    change = fault(period, np.random.default_rng(seed))
    return found(world, change.events, change.items)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in NAMED]
)
def test_a_fault_is_named_with_its_first_day_evidence_and_advice(world, period, name):
    fault = broken(world, period, faults.FAULTS[name])[NAMED[name]]
    assert all((fault.since, fault.sure, fault.ask, fault.harm))
    assert fault.sentence().endswith(")")


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.parametrize("share", [0.1, pytest.param(0.2, marks=pytest.mark.slow), 0.4])
@pytest.mark.parametrize("kind", ["concentrated", "diffuse"])
def test_a_shift_of_interests_is_no_fault(world, period, share, kind, seed):
    shift = partial(synthetic_drift.shift_interests, share=share, start=CUT, kind=kind)
    change = shift(period.events, period.items, rng=np.random.default_rng(seed))
    assert found(world, change.events, change.items) == {}


def test_unchanged_windows_and_a_new_category_have_no_fault(world, period):
    assert found(world, world.events, world.items) == {}
    new = synthetic_drift.add_category(period.events, period.items, share=0.2, start=CUT, rng=np.random.default_rng(1))
    assert found(world, new.events, new.items) == {}


def test_old_and_new_names_of_a_category_are_told(world, period):
    fault = broken(world, period, rename_categories)["taxonomy"]
    old = next(name for name in world.items["category"].unique() if repr(name) in fault.found)
    assert fault.what == "categories were renamed"
    assert f"{old!r} became '{old} (range 0)'" in fault.found


def test_the_factor_of_a_price_and_the_hours_of_a_clock_are_told(world, period):
    assert "0.92 times" in broken(world, period, faults.FAULTS["price_x0.92"])["price"].found
    assert "+3 hours later" in broken(world, period, faults.FAULTS["clock_3_hours"])["clock"].found


@pytest.mark.parametrize("event", ["view", "cart", "purchase"])
def test_the_kind_of_event_that_changed_is_told(world, period, event):
    assert f"more {event} events" in broken(world, period, partial(double_kind, event=event))["event_ratio"].what
    assert f"fewer {event} events" in broken(world, period, partial(thin_kind, event=event))["event_ratio"].what


def test_a_feed_that_ends_within_the_window_is_dated(world, period):
    fault = broken(world, period, partial(lose_category, delay=14.0))["lost_category"]
    assert fault.since == "2024-07-01"  # CUT is 2024-06-17


def test_an_accepted_kind_is_no_fault(world, period):
    change = rename_categories(period, np.random.default_rng(2))
    accepting = SETTINGS.model_copy(update={"accepted_faults": ("taxonomy",)})
    assert "taxonomy" in found(world, change.events, change.items)
    assert found(world, change.events, change.items, accepting) == {}
