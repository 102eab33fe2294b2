"""Windows of a made shop for the charts: users of three tiers, four items of three categories."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from monitoring.report.window_sample import sample_window
from tierrec_core.base.contracts import EVENTS, ITEMS

START = 19_800.0
USERS = 120
TIERS = ("light", "medium", "heavy")
TIER_OF = {f"u{number}": TIERS[number % 3] for number in range(USERS)}
ITEM_FRAME = ITEMS.conform(
    pd.DataFrame({"item_id": list("abcd"), "category": ["x", "x", "y", "z"], "price": [1.0, 2.0, 3.0, 4.0]}), "test"
)
FLAT, MOVED = [0.4, 0.2, 0.2, 0.2], [0.1, 0.1, 0.4, 0.4]


def events(seed: int, shares: list[float]) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    size = 9000
    day = START + rng.uniform(0, 28, size)
    frame = pd.DataFrame(
        {
            "user_id": [f"u{one}" for one in rng.integers(USERS, size=size)],
            "item_id": rng.choice(list("abcd"), size, p=shares),
            "event": rng.choice(["view", "purchase"], size),
            "timestamp": pd.to_datetime((day * 86_400e6).astype("int64"), unit="us", utc=True),
            "value": rng.gamma(2.0, 2.0, size),
        }
    )
    return EVENTS.conform(frame, "test")


def window(seed: int, shares: list[float], rows: int = 10_000) -> pd.DataFrame:
    return sample_window(events(seed, shares), ITEM_FRAME, TIER_OF, START, START + 28, rows, 0)


def figures(folder: Path) -> dict[str, Any]:
    """Value by column, or by the metric's name where it is of no column."""
    found = json.loads((folder / "drift.json").read_text())["metrics"]
    return {one["config"].get("column", one["metric_name"].partition("(")[0]): one["value"] for one in found}
