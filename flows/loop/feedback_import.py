"""The newest data: the log as its source has it now, and what the service's feedback store has kept since."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from flows.loop.champion import state_folder
from services.store import Store
from services.store.export import export_for_ingest
from services.tenants.shop import FEEDBACK
from services.tenants.shops import STORE_VARIABLE
from tierrec_core import sources
from tierrec_core.base.contracts import EVENT_NAMES, EVENTS
from tierrec_core.base.paths import Layout
from tierrec_core.settings import Settings
from tierrec_core.sources import SourceFrames, feedback
from tierrec_core.sources.cleaning import prepare


@contextlib.contextmanager
def opened_store(layout: Layout) -> Iterator[Store | None]:
    """The feedback store of the service; None when nothing was ever kept. Raises StoreError when it does not answer."""
    folder = state_folder(layout)
    url, path = os.environ.get(STORE_VARIABLE, ""), folder / FEEDBACK
    if not url and not path.exists():
        yield None
        return
    store = Store.open(url or f"sqlite:///{path.resolve()}", folder)
    try:
        yield store
    finally:
        store.close()


def export(layout: Layout, settings: Settings) -> int:
    """Write the store's rows where ingest reads them; how many events. Nothing where the source takes no feedback."""
    if not settings.source.feedback:
        return 0
    with opened_store(layout) as store:
        return 0 if store is None else export_for_ingest(store, layout.data / feedback.FOLDER)


def newest(layout: Layout, settings: Settings) -> SourceFrames:
    """The four frames that an ingest would write now; nothing in the project changes."""
    log = sources.read_source(
        settings.source.model_copy(update={"feedback": False}), layout.root, settings.seed
    )
    if not settings.source.feedback:
        return log
    with opened_store(layout) as store, tempfile.TemporaryDirectory(prefix="tierrec-feedback-") as scratch:
        if store is None:
            return log
        export_for_ingest(store, Path(scratch))
        return feedback.append_feedback(log, Path(scratch))


def clean(events: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """EVENTS as the prepare stage leaves them, without the rows that the data gate would send to quarantine."""
    whole = events.dropna(subset=EVENTS.required)
    return prepare(whole[whole["event"].isin(EVENT_NAMES)], settings.prepare)[0]
