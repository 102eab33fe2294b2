"""Shares of many categories on Evidently's page, against pandas and scipy."""

import re

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import jensenshannon

from monitoring.report.evidently_page import CHART_CATEGORIES, category_shares, write_window_page
from monitoring.report.window_sample import sample_window
from tests.support.chart_windows import FLAT, START, TIER_OF, TIERS, events, figures
from tierrec_core.base.contracts import EVENTS, ITEMS


def many_categories(seed: int, rows: int = 9000) -> pd.DataFrame:
    """A window with 60 categories, of which the first are the most frequent."""
    rng = np.random.default_rng(seed)
    shares = 1 / np.arange(1, 61)
    frame = events(seed, FLAT).head(rows)
    ids = [f"i{one}" for one in rng.choice(60, len(frame), p=shares / shares.sum())]
    items = ITEMS.conform(
        pd.DataFrame({"item_id": [f"i{one}" for one in range(60)], "category": [f"c{one:02d}" for one in range(60)]}),
        "test",
    )
    frame = EVENTS.conform(frame.assign(item_id=ids), "test")
    return sample_window(frame, items, TIER_OF, START, START + 28, rows, 0)


def test_categories_without_a_bar_are_summed_and_left_out_of_the_distance(tmp_path):
    before, after = many_categories(0), many_categories(1)
    page, _ = write_window_page(before, after, TIERS, tmp_path, START + 28)
    charted = before["category"].value_counts().index[:CHART_CATEGORIES]
    found = figures(tmp_path)
    rows = [re.findall(r"[\d.]+%(?= →)|(?<=→ )[\d.]+%", row) for row in page.read_text().split("<tr>")]
    for place, tier in enumerate(TIERS):
        own = [frame.loc[frame["tier"] == tier, "category"] for frame in (before, after)]
        bars = [one[one.isin(charted)].value_counts(normalize=True).reindex(charted, fill_value=0) for one in own]
        assert found[f"category of {tier} users"] == pytest.approx(jensenshannon(*bars))
        others = [f"{1 - one.isin(charted).mean():.1%}" for one in own]
        first = [f"{(one == charted[0]).mean():.1%}" for one in own]
        assert rows[2][2 * place : 2 * place + 2] == first
        assert rows[-1][2 * place : 2 * place + 2] == others
    table = category_shares(before, after, list(charted), TIERS)
    for place in range(3):
        cells = [row.cells[place] for row in (*table.rows, *table.sums)]
        assert sum(cell.before for cell in cells) == pytest.approx(1)
        assert sum(cell.now for cell in cells) == pytest.approx(1)


@pytest.mark.slow
def test_two_samples_of_the_same_categories_are_rarely_called_drifted(tmp_path):
    """Evidently's own limit would: most of 10 pairs of small samples lie beyond it."""
    flagged, beyond = 0, 0
    for seed in range(5):
        before, after = many_categories(10 + seed, 900), many_categories(30 + seed, 900)
        write_window_page(before, after, TIERS, tmp_path / str(seed), START + 28)
        for tier in TIERS:
            beyond += figures(tmp_path / str(seed))[f"category of {tier} users"] > 0.1
        flagged += figures(tmp_path / str(seed))["DriftedColumnsCount"]["count"]
    assert beyond > 5
    assert flagged <= 1
