"""What several stages read: the split log, and a Training as of a snapshot."""

import pandas as pd

from tierrec_core import artifacts
from tierrec_core.artifacts import read_frame
from tierrec_core.layout import Layout
from tierrec_core.protocol import Training
from tierrec_core.settings import Settings
from tierrec_core.splits import SplitLog
from tierrec_core.tiers import Tiering

__all__ = ["read_frame", "read_split", "read_training"]


def read_split(layout: Layout) -> SplitLog:
    """The log as the split stage cut it."""
    return artifacts.load(SplitLog, layout.split)


def read_training(layout: Layout, settings: Settings, log: SplitLog, snapshot: str) -> Training:
    """All that a model may learn from as of the snapshot."""
    return Training(
        history=log.history(snapshot),
        items=pd.read_parquet(layout.items),
        tiering=artifacts.load(Tiering, layout.tiering(snapshot)),
        target=log.target,
        seed=settings.seed,
    )
