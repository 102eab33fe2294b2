"""Reads the training data of a model as of a snapshot."""

import pandas as pd

from tierrec_core.base import artifacts
from tierrec_core.base.paths import Layout
from tierrec_core.data.splits import SplitLog
from tierrec_core.protocols.model import Training
from tierrec_core.settings import Settings
from tierrec_core.stages.inputs.simulated_cold_users import visible_history
from tierrec_core.tiers import Tiering


def read_training(
    layout: Layout, settings: Settings, log: SplitLog, snapshot: str, *, hide_cold_users: bool = False
) -> Training:
    """The training data as of the snapshot; models are fitted without the hidden cold-start users."""
    served = (window.task for window in log.windows if window.snapshot == snapshot)
    share = settings.simulated_cold_share(served) if hide_cold_users else 0.0
    return Training(
        history=visible_history(log, snapshot, share, settings.seed),
        items=pd.read_parquet(layout.items),
        tiering=artifacts.load(Tiering, layout.tiering(snapshot)),
        target=log.target,
        seed=settings.seed,
    )
