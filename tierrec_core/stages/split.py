"""Stage split: split the prepared log into snapshots and windows, and align the item frame with its catalogue."""

import numpy as np
import pandas as pd

from tierrec_core.base import artifacts
from tierrec_core.base.contracts import EVENTS, ITEMS
from tierrec_core.base.paths import Layout
from tierrec_core.data.splits import SplitLog
from tierrec_core.settings import Settings, TaskSettings


def run(layout: Layout, settings: Settings) -> None:
    """Write the SplitLog and the ITEMS of its catalogue; print one line per window."""
    events = artifacts.read_frame(layout.prepared_events, EVENTS)
    guests = artifacts.read_frame(layout.prepared_guests, EVENTS)
    log = SplitLog.cut(events, settings.split, dict[str, TaskSettings](settings.tasks.items()), guests)
    catalogue = _align(artifacts.read_frame(layout.raw_items, ITEMS), log.log.items)
    artifacts.save(log, layout.split)
    artifacts.write_frame(catalogue, layout.items)
    print(f"{log.log.num_users} users, {log.log.num_items} items, {len(log.log)} events")
    for window in log.windows:
        user, _ = log.truth(window)
        print(
            f"{window.name:16} {window.role:6} after {window.snapshot:10} "
            f"{len(user)} pairs of {len(np.unique(user))} users"
        )


def _align(items: pd.DataFrame, catalogue: pd.Index) -> pd.DataFrame:
    """Reorder ITEMS so that row i describes catalogue[i]; an item without a description has its id as title."""
    described = items.drop_duplicates("item_id").set_index("item_id").reindex(catalogue.astype("string[pyarrow]"))
    aligned = ITEMS.conform(described.rename_axis("item_id").reset_index(), "split")
    aligned["category"] = aligned["category"].fillna("unknown")
    aligned["title"] = aligned["title"].fillna(aligned["item_id"])
    return aligned
