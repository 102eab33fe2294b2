"""Gowalla and MovieLens-1M as LightGCN and UltraGCN split them: pairs without time, train and test given.

Gowalla's test is no random part: how often an item is in it, against train, varies 2.8 times as much as chance would
have it (chi-square per degree of freedom over items with more than 20 pairs; MovieLens 1.0), and items that are
frequent in the last rows of users are frequent in the test. The rows are in order of time, then, and so the
validation round hides the last rows of each user. Models are not told of the order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.models.task import Entry, Round, Target, events_frame, held_out, pairs_of, training_of
from tierrec_core.data.interactions import Interactions

VALID_SHARE = 0.1


@dataclass(frozen=True)
class GivenSplit:
    """Rank all items that are not in the user's train part; mean over users with a test pair.

    The validation round hides a tenth of each user's train pairs: random ones, or the last in the file's order where
    the test is later than train.
    """

    name: str
    targets: Sequence[Target]
    published: Mapping[str, Mapping[str, float]]
    entries: Sequence[Entry]
    is_test_later: bool = False
    tuning_users: int = 4000
    metrics: Sequence[str] = ("recall@20", "ndcg@20")

    def rounds(self, folder: Path, seed: int) -> tuple[Round, Round]:
        """Read `NAME.parquet`: user_id, item_id, split."""
        frame = pd.read_parquet(folder / f"{self.name}.parquet")
        frame[["user_id", "item_id"]] = frame[["user_id", "item_id"]].astype(str)
        ids = {one: pd.Index(sorted(frame[f"{one}_id"].unique()), dtype=object) for one in ("user", "item")}
        train, test = frame[frame["split"] == "train"], frame[frame["split"] == "test"]
        rank = np.random.default_rng(seed).random(len(train))
        if self.is_test_later:
            rank = -np.arange(len(train), dtype=float)
        hidden = held_out(train["user_id"].to_numpy(), rank, VALID_SHARE)
        return _round(train[~hidden], train[hidden], ids, seed), _round(train, test, ids, seed)


def _round(known: pd.DataFrame, taken: pd.DataFrame, ids: Mapping[str, pd.Index], seed: int) -> Round:
    past, future = (
        Interactions.from_events(
            events_frame(part["user_id"], part["item_id"]), users=ids["user"], items=ids["item"]
        )
        for part in (known, taken)
    )
    return Round(training_of(past, None, seed), past, pairs_of(future), past)
