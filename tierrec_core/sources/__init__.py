"""Data sources: one module per kind, each returning the same four frames."""

from pathlib import Path

from tierrec_core.base.paths import Layout
from tierrec_core.settings import CompleteJourneySource, Source, SyntheticSource
from tierrec_core.sources import feedback
from tierrec_core.sources.frames import SourceFrames

__all__ = ["SourceFrames", "read_source"]


def read_source(source: Source, root: Path, seed: int) -> SourceFrames:
    """Read the source that params.yaml names, and beside it what the feedback store has exported, if asked to.

    Only a made world needs the seed. Raises DataError when something cannot be read.
    """
    log = _read(source, root, seed)
    return feedback.append_feedback(log, Layout(root).feedback) if source.feedback else log


def _read(source: Source, root: Path, seed: int) -> SourceFrames:
    if isinstance(source, CompleteJourneySource):
        from tierrec_core.sources import complete_journey

        return complete_journey.read_complete_journey()
    if isinstance(source, SyntheticSource):
        from tierrec_core.sources import synthetic

        return synthetic.read_synthetic(source, seed)
    from tierrec_core.sources import files

    return files.read_files(source, root)
