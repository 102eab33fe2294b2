"""Baseline detectors against values computed by hand and by scipy."""

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import chisquare

from monitoring.simulation.policies import EvidentlyPreset, detector_frame, population_stability_index
from monitoring.simulation.world import synthetic_world


def test_psi_is_the_textbook_sum():
    before, after = np.array([50, 30, 20]), np.array([400, 300, 300])
    by_hand = (0.4 - 0.5) * np.log(0.4 / 0.5) + 0.0 + (0.3 - 0.2) * np.log(0.3 / 0.2)
    assert population_stability_index(before, after) == pytest.approx(by_hand)
    assert population_stability_index(after, before) == pytest.approx(by_hand)
    assert population_stability_index(before, 7 * before) == pytest.approx(0)


def test_psi_of_an_empty_category_is_finite():
    assert np.isfinite(population_stability_index(np.array([10, 0]), np.array([5, 5])))


def _column(shares: list[float], rows: int) -> pd.DataFrame:
    """Categories in exactly these shares, and a number that never changes."""
    names = np.repeat([f"c{number}" for number in range(len(shares))], np.round(np.array(shares) * rows).astype(int))
    return pd.DataFrame({"category": names.astype(object), "value": np.tile(np.arange(10.0), rows // 10)})


@pytest.mark.parametrize("moved", [0.0, 0.05, 0.1, 0.15, 0.2, 0.3])
def test_a_column_drifts_where_scipys_jensen_shannon_distance_reaches_a_tenth(moved):
    first, second = [0.5, 0.3, 0.2], [0.5 - moved, 0.3, 0.2 + moved]
    found = EvidentlyPreset.of(_column(first, 4000), _column(second, 4000))
    assert ("category" in found.columns) == (jensenshannon(first, second) >= 0.1)


@pytest.mark.parametrize("moved", [0.0, 0.04, 0.08, 0.12])
def test_of_few_rows_a_column_drifts_where_scipys_chi_square_is_significant(moved):
    first, second = [0.5, 0.3, 0.2], [0.5 - moved, 0.3, 0.2 + moved]
    found = EvidentlyPreset.of(_column(first, 500), _column(second, 500))
    p_value = chisquare(500 * np.array(second), 500 * np.array(first)).pvalue
    assert ("category" in found.columns) == (p_value < 0.05)


def test_the_data_set_drifts_when_half_of_its_columns_do():
    before, after = _column([0.5, 0.3, 0.2], 4000), _column([0.1, 0.3, 0.6], 4000)
    one_of_two = EvidentlyPreset.of(before, after)
    assert (one_of_two.dataset, one_of_two.columns) == (True, {"category"})
    wider = [part.assign(price=part["value"], quantity=part["value"]) for part in (before, after)]
    one_of_four = EvidentlyPreset.of(*wider)
    assert (one_of_four.dataset, one_of_four.columns) == (False, {"category"})


def test_a_sample_is_of_whole_users_of_the_window_and_within_its_budget():
    world = synthetic_world(1, num_users=80, num_items=40, days=60)
    start, end = world.start + 20, world.start + 48
    whole = detector_frame(world.events, world.items, start, end, 10**6, 0)
    part = detector_frame(world.events, world.items, start, end, 1000, 0)
    window = world.between(start, end)
    assert len(whole) == len(window)
    assert 0.5 * 1000 < len(part) <= 1000
    kinds = world.items.set_index("item_id")["category"]
    expected = window["item_id"].map(kinds).value_counts().to_dict()
    assert whole["category"].value_counts().to_dict() == expected
    pd.testing.assert_frame_equal(part, detector_frame(world.events, world.items, start, end, 1000, 0))
