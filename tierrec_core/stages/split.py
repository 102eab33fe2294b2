"""Stage split: split the prepared log into snapshots and windows, and align the item frame with its catalogue.

The whole log is written, too: the models that are served are fitted to it as those that are evaluated are to a part.
"""

import numpy as np

from tierrec_core.base import artifacts
from tierrec_core.base.contracts import EVENTS, ITEMS
from tierrec_core.base.paths import Layout
from tierrec_core.data.item_frame import align_items
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
        artifacts.write_frame(align_items(items, one.log.items, "split"), place.items)
    print(f"{log.log.num_users} users, {log.log.num_items} items, {len(log.log)} events")
    for window in log.windows:
        user, _ = log.truth(window)
        print(
            f"{window.name:16} {window.role:6} after {window.snapshot:10} "
            f"{len(user)} pairs of {len(np.unique(user))} users"
        )
    print(f"production: {whole.log.num_users} users, {whole.log.num_items} items, {len(whole.log)} events")
