"""Stage `reference`: measures the champion's reference window and the effect limits."""

from monitoring.drift.historical_windows import ALL
from monitoring.drift.reference import DriftReference
from tierrec_core.base import artifacts
from tierrec_core.base.artifacts import read_frame
from tierrec_core.base.contracts import EVENTS, ITEMS
from tierrec_core.base.paths import Layout
from tierrec_core.data.interactions import from_days
from tierrec_core.settings import Settings
from tierrec_core.stages.inputs.split_log import read_split
from tierrec_core.tiers import Tiering


def run(layout: Layout, settings: Settings) -> None:
    """Write the reference as of the final snapshot; print its window and its limits.

    Where the split is not by time, the cut is the newest day of the training part.
    """
    log = read_split(layout)
    history = log.history(log.final.name)
    reference = DriftReference.build(
        read_frame(layout.prepared_events, EVENTS),
        read_frame(layout.raw_items, ITEMS),
        history.now,
        artifacts.load(Tiering, layout.tiering(log.final.name)),
        history,
        settings.monitor,
        settings.seed,
    )
    artifacts.save(reference, layout.reference)
    window = reference.window
    print(
        f"reference {from_days(window.start):%Y-%m-%d} to {from_days(window.end):%Y-%m-%d}: "
        f"{int((window.events > 0).sum())} of {len(reference.users)} users, {int(window.events.sum()):,} events, "
        f"{len(reference.known_items.names)} categories"
    )
    limits = ", ".join(
        f"{name.removesuffix(f'/{ALL}')} {float(limit.max()):.3f}"
        for name, limit in reference.thresholds.items()
        if name.endswith(ALL)
    )
    print(f"effect limits for an alarm (from {reference.num_past} pairs of past windows): {limits}")
