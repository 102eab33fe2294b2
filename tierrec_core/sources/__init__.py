"""Data sources, one module per kind: module NAME has a function `read_NAME(source, root, seed)` for `kind: NAME`."""

from importlib import import_module
from pathlib import Path

from tierrec_core.base import artifacts
from tierrec_core.base.paths import Layout
from tierrec_core.settings import Settings, Source
from tierrec_core.sources import feedback
from tierrec_core.sources.frames import SourceFrames
from tierrec_core.sources.input_files.forgotten import ForgottenUsers

__all__ = ["SourceFrames", "read_source", "run"]


def run(layout: Layout, settings: Settings) -> None:
    """Stage ingest: write EVENTS, ITEMS, USERS and EXPOSURES; print the size of each."""
    log = read_source(settings.source, layout.root, settings.seed)
    artifacts.write_frame(log.events, layout.raw_events)
    artifacts.write_frame(log.items, layout.raw_items)
    artifacts.write_frame(log.users, layout.raw_users)
    artifacts.write_frame(log.exposures, layout.raw_exposures)
    forgotten = f"; {log.num_forgotten} rows of forgotten users are left out" if log.num_forgotten else ""
    print(  # noqa: T201
        f"{len(log.events)} events, {len(log.items)} items, {len(log.users)} described users, "
        f"{len(log.exposures)} exposures{forgotten}"
    )


def read_source(source: Source, root: Path, seed: int, feedback_folder: Path | None = None) -> SourceFrames:
    """Read the source, and the feedback store's export if `source.feedback` is set, without forgotten users.

    feedback_folder: of the export, by default the project's
    Raises DataError when a file cannot be read, ArtifactError when the list of forgotten users cannot.
    """
    forgotten = ForgottenUsers.read(Layout(root))
    reader = getattr(import_module(f"{__name__}.{source.kind}"), f"read_{source.kind}")
    log: SourceFrames = reader(source, root, seed)
    if source.feedback:
        log = feedback.append_feedback(log, feedback_folder or Layout(root).feedback, source.guests)
    return log.without_forgotten(forgotten)
