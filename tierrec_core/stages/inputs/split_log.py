"""Reads the split log."""

from tierrec_core.base import artifacts
from tierrec_core.base.paths import Layout
from tierrec_core.data.splits import SplitLog


def read_split(layout: Layout) -> SplitLog:
    """The log as the split stage cut it. Raises ArtifactError when it is missing or damaged."""
    return artifacts.load(SplitLog, layout.split)
