"""Reads the newest data: the source's current log, and the events that the service's feedback store has recorded."""

import tempfile
from pathlib import Path

import pandas as pd

from flows.project.feedback_store import existing_store
from services.store.export import export_for_ingest
from tierrec_core import sources
from tierrec_core.base.contracts import EVENT_NAMES, EVENTS
from tierrec_core.base.paths import Layout
from tierrec_core.settings import Settings
from tierrec_core.sources import SourceFrames, feedback
from tierrec_core.sources.cleaning import prepare


def export_feedback(layout: Layout, settings: Settings) -> int:
    """Write the store's rows where ingest reads them; returns the number of events. Needs source.feedback."""
    if not settings.source.feedback:
        return 0
    with existing_store(layout) as store:
        return 0 if store is None else export_for_ingest(store, layout.feedback)


def read_newest_log(layout: Layout, settings: Settings) -> SourceFrames:
    """The four frames that ingest would write now; nothing in the project changes."""
    log = sources.read_source(settings.source.model_copy(update={"feedback": False}), layout.root, settings.seed)
    if not settings.source.feedback:
        return log
    with existing_store(layout) as store, tempfile.TemporaryDirectory(prefix="tierrec-feedback-") as scratch:
        if store is None:
            return log
        export_for_ingest(store, Path(scratch))
        return feedback.append_feedback(log, Path(scratch))


def clean_events(events: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """EVENTS after the prepare stage, without the rows that the data gate would quarantine."""
    complete = events.dropna(subset=EVENTS.required)
    return prepare(complete[complete["event"].isin(EVENT_NAMES)], settings.prepare)[0]
