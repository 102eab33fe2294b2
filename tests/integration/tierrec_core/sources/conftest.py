"""A log that tests write in many ways."""

import numpy as np
import pandas as pd
import pytest

from tests.support.source_files import NUM_ROWS


@pytest.fixture(scope="module")
def log():
    """Events of 40 users and 25 items, as texts."""
    rng = np.random.default_rng(5)
    moments = pd.Timestamp("2024-01-05") + pd.to_timedelta(np.arange(NUM_ROWS) * 11, unit="h")
    item = rng.integers(0, 25, NUM_ROWS)
    frame = pd.DataFrame({"user_id": rng.integers(0, 40, NUM_ROWS), "item_id": item, "event": "view"})
    frame = frame.assign(timestamp=moments, qty=1, product_name=[f"thing {n}" for n in item])
    return frame.astype(str)
