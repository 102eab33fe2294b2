"""Stage prepare: clean the valid log, and report what was removed and why."""

from dataclasses import asdict

from tierrec_core.base import artifacts
from tierrec_core.base.contracts import EVENTS
from tierrec_core.base.paths import Layout
from tierrec_core.settings import Settings
from tierrec_core.sources.cleaning import prepare


def run(layout: Layout, settings: Settings) -> None:
    """Write the prepared EVENTS and the report; print the counts."""
    events = artifacts.read_frame(layout.valid_events, EVENTS)
    clean, report = prepare(events, settings.prepare)
    artifacts.write_frame(clean, layout.prepared_events)
    artifacts.write_json(asdict(report), layout.preparation)
    print(f"{report.events} of {report.events_in} events are left, of {report.users} users")
