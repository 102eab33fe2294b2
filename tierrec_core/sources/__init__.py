"""Data sources, one module per kind: module NAME has a function `read_NAME(source, root, seed)` for `kind: NAME`."""

from importlib import import_module
from pathlib import Path

from tierrec_core.base.paths import Layout
from tierrec_core.settings import Source
from tierrec_core.sources import feedback
from tierrec_core.sources.frames import SourceFrames

__all__ = ["SourceFrames", "read_source"]


def read_source(source: Source, root: Path, seed: int) -> SourceFrames:
    """Read the source, and the feedback store's export if `source.feedback` is set.

    Raises DataError when a file cannot be read.
    """
    reader = getattr(import_module(f"{__name__}.{source.kind}"), f"read_{source.kind}")
    log: SourceFrames = reader(source, root, seed)
    return feedback.append_feedback(log, Layout(root).feedback) if source.feedback else log
