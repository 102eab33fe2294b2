"""Items, log and item vectors of a finished run of the demo shop."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from tierrec_core.base import artifacts
from tierrec_core.base.contracts import ITEMS, FloatArray
from tierrec_core.base.paths import Layout
from tierrec_core.data.interactions import Interactions
from tierrec_core.data.splits import SplitLog
from tierrec_core.models.als import Als


@dataclass(frozen=True)
class ShopData:
    """A run: items: ITEMS [I]; past: before the test; future: purchases of the test; als: fitted to `past`."""

    items: pd.DataFrame
    past: Interactions
    future: Interactions
    als: Als

    @property
    def vectors(self) -> FloatArray:
        """Item factors, [I, F]."""
        return self.als.item_factors

    @classmethod
    def read(cls, root: Path = Path()) -> "ShopData":
        """Read the project in `root`. Raises ArtifactError without a finished run."""
        layout = Layout(root)
        log = artifacts.load(SplitLog, layout.split)
        bound = log.final.bound
        return cls(
            items=artifacts.read_frame(layout.items, ITEMS),
            past=log.history(log.final.name),
            future=log.log.where(log.position >= bound).filter_events(*log.target),
            als=artifacts.load(Als, layout.model("als", log.final.name)),
        )
