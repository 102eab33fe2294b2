"""Stage `reference`: measure the champion's last window once, with the thresholds that newer windows must exceed."""

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

    Where the split is no cut in time, the cut is the newest day that the training part knows.
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
    own = reference.observation
    print(
        f"reference {from_days(own.start):%Y-%m-%d} to {from_days(own.end):%Y-%m-%d}: "
        f"{int((own.events > 0).sum())} of {len(reference.users)} users, {int(own.events.sum()):,} events, "
        f"{len(reference.catalogue.names)} categories"
    )
    limits = {
        name.removesuffix(f"/{ALL}"): limit
        for name, limit in reference.thresholds.items()
        if name.endswith(ALL)
    }
    words = ", ".join(f"{name} {float(limit.max()):.3f}" for name, limit in limits.items())
    print(f"an alarm wants an effect over (from {reference.num_past} pairs of past windows): {words}")
