"""Reads the training data of a model as of a snapshot."""

import pandas as pd

from tierrec_core.base import artifacts
from tierrec_core.base.paths import Layout
from tierrec_core.data.splits import SplitLog
from tierrec_core.protocols.model import Training
from tierrec_core.settings import Settings
from tierrec_core.stages.inputs.simulated_cold_users import known_only
from tierrec_core.tiers import Tiering


def read_training(
    layout: Layout, settings: Settings, log: SplitLog, snapshot: str, *, newcomers: bool = True
) -> Training:
    """All that is known as of the snapshot; without newcomers, what a model may learn from."""
    served = (window.task for window in log.windows if window.snapshot == snapshot)
    hidden = 0.0 if newcomers else settings.simulated_cold_share(served)
    return Training(
        history=known_only(log, snapshot, hidden, settings.seed),
        items=pd.read_parquet(layout.items),
        tiering=artifacts.load(Tiering, layout.tiering(snapshot)),
        target=log.target,
        seed=settings.seed,
    )
