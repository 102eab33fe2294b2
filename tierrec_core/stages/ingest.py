"""Stage ingest: read the source into four raw frames."""

from tierrec_core import sources
from tierrec_core.base import artifacts
from tierrec_core.base.paths import Layout
from tierrec_core.settings import Settings


def run(layout: Layout, settings: Settings) -> None:
    """Write EVENTS, ITEMS, USERS and EXPOSURES; print the size of each."""
    log = sources.read_source(settings.source, layout.root, settings.seed)
    artifacts.write_frame(log.events, layout.raw_events)
    artifacts.write_frame(log.items, layout.raw_items)
    artifacts.write_frame(log.users, layout.raw_users)
    artifacts.write_frame(log.exposures, layout.raw_exposures)
    print(
        f"{len(log.events)} events, {len(log.items)} items, {len(log.users)} described users, "
        f"{len(log.exposures)} exposures"
    )
