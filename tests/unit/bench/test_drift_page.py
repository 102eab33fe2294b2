"""The recorded drift page is the one that the recorded figures give, and states each miss."""

import pytest

from benchmarks.drift.benchmark import PAGE
from benchmarks.drift.page import TARGETS, drift_page
from benchmarks.drift.results_file import read_figures


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
