"""Refuses a retrain on a newest window with faults of the feed, whoever asked for it."""

from collections.abc import Sequence
from datetime import datetime

from flows.loop.newest_window import NewestWindow, read_reference
from flows.project.champion import Champion
from monitoring.drift import DriftReference, FeedFault, find_faults
from tierrec_core.base.errors import ArtifactError, GateError
from tierrec_core.base.paths import Layout
from tierrec_core.settings import Settings


def require_sound_feed(layout: Layout, settings: Settings, now: datetime) -> None:
    """Raise GateError when the newest complete window has faults; passes without a champion to compare with.

    Raises the errors of reading the log.
    """
    champion = Champion.find(layout)
    if champion is None:
        return
    try:
        reference = read_reference(champion)
    except ArtifactError:  # of another version, or none: a retrain makes a new one
        return
    faults = find_feed_faults(layout, settings, reference, now)
    if faults:
        kinds = sorted({fault.kind for fault in faults})
        raise GateError(
            f"retrain: the newest window has {len(faults)} faults of the feed, and a model would learn them:\n"
            + "\n".join(fault.sentence() for fault in faults)
            + "\nrepair the feed and deliver its days again with `tierrec add --replace`; a change that is intended "
            f"is accepted by its kind in monitor.accepted_faults ({', '.join(kinds)}), other limits are in monitor"
        )


def find_feed_faults(
    layout: Layout, settings: Settings, reference: DriftReference, now: datetime
) -> Sequence[FeedFault]:
    """The faults of the newest complete window."""
    window = NewestWindow.read(layout, settings, reference, now)
    feed, current = window.measure()
    return find_faults(feed, reference, current, settings.monitor)
