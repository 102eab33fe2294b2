"""Stage split: split the prepared log into snapshots and windows, and align the item frame with its catalogue.

The whole log is written, too: the models that are served are fitted to it as those that are evaluated are to a part.
"""

import numpy as np
import pandas as pd

from tierrec_core.base import artifacts
from tierrec_core.base.contracts import EVENTS, ITEMS
from tierrec_core.base.paths import Layout
from tierrec_core.data.splits import SplitLog
from tierrec_core.settings import Settings, TaskSettings


def run(layout: Layout, settings: Settings) -> None:
    """Write both SplitLogs, each with the ITEMS of its catalogue; print one line per window."""
    events = artifacts.read_frame(layout.prepared_events, EVENTS)
    guests = artifacts.read_frame(layout.prepared_guests, EVENTS)
    tasks = dict[str, TaskSettings](settings.tasks.items())
    log, whole = (split(events, settings.split, tasks, guests) for split in (SplitLog.cut, SplitLog.whole))
    items = artifacts.read_frame(layout.raw_items, ITEMS)
    for place, one in ((layout, log), (layout.production, whole)):
        artifacts.save(one, place.split)
        artifacts.write_frame(_align(items, one.log.items), place.items)
    print(f"{log.log.num_users} users, {log.log.num_items} items, {len(log.log)} events")
    for window in log.windows:
        user, _ = log.truth(window)
        print(
            f"{window.name:16} {window.role:6} after {window.snapshot:10} "
            f"{len(user)} pairs of {len(np.unique(user))} users"
        )
    print(f"production: {whole.log.num_users} users, {whole.log.num_items} items, {len(whole.log)} events")


def _align(items: pd.DataFrame, catalogue: pd.Index) -> pd.DataFrame:
    """Reorder ITEMS so that row i describes catalogue[i]; an item without a description has its id as title."""
    described = items.drop_duplicates("item_id").set_index("item_id").reindex(catalogue.astype("string[pyarrow]"))
    aligned = ITEMS.conform(described.rename_axis("item_id").reset_index(), "split")
    aligned["category"] = aligned["category"].fillna("unknown")
    aligned["title"] = aligned["title"].fillna(aligned["item_id"])
    return aligned
