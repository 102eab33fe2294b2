"""The recorded drift page is the one that the recorded figures give, and states each miss."""

import pytest

from benchmarks.drift.page import TARGETS, drift_page
from benchmarks.drift.results_file import PAGE, read_figures


def test_the_page_is_that_of_the_recorded_figures():
    assert PAGE.read_text() == drift_page(read_figures())


@pytest.mark.parametrize("name", [name for name, *_ in TARGETS])
def test_every_target_is_in_the_table_with_its_result(name):
    (row,) = [line for line in PAGE.read_text().splitlines() if line.startswith(f"| {name} |")]
    assert row.split("|")[-2].strip() in ("met", "missed")


def test_missed_targets_are_counted_and_named():
    page = drift_page(read_figures())
    missed = [line.split("|")[1].strip() for line in page.splitlines() if line.endswith("| missed |")]
    assert f"and {len(missed)} missed: {', '.join(f'`{name}`' for name in missed)}." in page


def test_figures_from_before_the_decision_by_value_are_those_of_drift_alone():
    old = read_figures()
    assert not any(name.startswith("hindsight_regrets") for name in old)
    page = drift_page(old)
    assert "ours" not in page
    assert "The measured revision had no decision by value yet" in page
    assert "| drift | 8 | 45.82 | 0.3460 |" in page
    new = drift_page(old | {"hindsight_regrets_other": [0.1]})
    assert "| ours | 8 | 45.82 | 0.3460 |" in new
    assert "no decision by value" not in new


def test_a_replay_with_a_hindsight_line_says_how_far_each_policy_is_from_it():
    figures = read_figures()
    line = [0.0048, 0.002, 0.0011, 0.0008, 0.0006, 0.0005, 0.0004, 0.0003, 0.0002, *[0.0] * 7]
    figures |= {"hindsight_regrets_diffuse": line, "ours_reaction_diffuse": 1, "monthly_reaction_diffuse": None}
    page = drift_page(figures)
    assert "| least regret with as many retrains | looks from day 196 to a retrain |" in page
    rows = [row for row in page.splitlines() if row.startswith(("| ours |", "| monthly |")) and row.count("|") == 8]
    assert [row.split("|")[-3:-1] for row in rows] == [[" 0.0002 ", " 1 "], [" 0.0003 ", " - "]]
    assert page.count("Target, regret not above that of `monthly`") == 1
