"""Data sets of user-item pairs without times with the publisher's split: Gowalla and MovieLens-1M.

Gowalla's test part is not random: an item's share in test against train varies 2.8 times as much as by chance
(chi-squared per degree of freedom over items with more than 20 pairs; MovieLens 1.0), and items frequent in users' last
rows are frequent in the test. The rows are therefore in order of time, and the validation round holds out each user's
last rows. Models do not see the order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.models.task import (
    DatasetNotes,
    Entry,
    Round,
    Target,
    events_frame,
    held_out,
    pairs_of,
    read_table,
    training_of,
)
from tierrec_core.data.interactions import Interactions

VALID_SHARE = 0.1


@dataclass(frozen=True)
class GivenSplit:
    """Rank all items that are not in the user's train part; mean over users with a test pair.

    The validation round holds out a tenth of each user's train pairs: random ones, or the last in the file's order
    where the test is later than train.
    """

    name: str
    targets: Sequence[Target]
    published: Mapping[str, Mapping[str, float]]
    entries: Sequence[Entry]
    notes: DatasetNotes
    is_test_later: bool = False
    tuning_users: int = 4000
    metrics: Sequence[str] = ("recall@20", "ndcg@20")

    def rounds(self, folder: Path, seed: int) -> tuple[Round, Round]:
        """Read `NAME.parquet`: user_id, item_id, split."""
        frame = read_table(folder, self.name, self.notes)
        frame[["user_id", "item_id"]] = frame[["user_id", "item_id"]].astype(str)
        ids = {side: pd.Index(sorted(frame[f"{side}_id"].unique()), dtype=object) for side in ("user", "item")}
        train, test = frame[frame["split"] == "train"], frame[frame["split"] == "test"]
        rank = np.random.default_rng(seed).random(len(train))
        if self.is_test_later:
            rank = -np.arange(len(train), dtype=float)
        hidden = held_out(train["user_id"].to_numpy(), rank, VALID_SHARE)
        return _round(train[~hidden], train[hidden], ids, seed), _round(train, test, ids, seed)


def _round(past: pd.DataFrame, future: pd.DataFrame, ids: Mapping[str, pd.Index], seed: int) -> Round:
    history, target = (
        Interactions.from_events(events_frame(part["user_id"], part["item_id"]), users=ids["user"], items=ids["item"])
        for part in (past, future)
    )
    return Round(training_of(history, None, seed), history, pairs_of(target), history)
