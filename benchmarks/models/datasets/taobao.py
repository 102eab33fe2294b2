"""Taobao with the split of CRGCN and MuLe: views and carts without times, and one purchase per user to predict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.models.peers.implicit import bm25
from benchmarks.models.task import DatasetNotes, Entry, Round, Target, events_frame, pairs_of, read_table, training_of
from tierrec_core.base.contracts import FloatArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.protocols.model import Training


@dataclass(frozen=True)
class FunnelLog:
    """Rank all items that the user has not bought; mean over users.

    The validation round holds out the purchases marked `is_valid`, one per user; they are training data of the test
    round. Views and carts are the same in both rounds and may be later than the purchase: the data have no times.
    """

    name: str
    targets: Sequence[Target]
    published: Mapping[str, Mapping[str, float]]
    entries: Sequence[Entry]
    notes: DatasetNotes
    tuning_users: int = 6000
    metrics: Sequence[str] = ("hit@10", "ndcg@10")

    def rounds(self, folder: Path, seed: int) -> tuple[Round, Round]:
        """Read `NAME.parquet`: user_id, item_id, event, split, is_valid."""
        frame = read_table(folder, self.name, self.notes)
        users, items = (
            pd.Index(sorted(frame[column].astype(str).unique()), dtype=object) for column in ("user_id", "item_id")
        )

        def interactions(part: pd.DataFrame) -> Interactions:
            events = events_frame(part["user_id"], part["item_id"], event=part["event"])
            return Interactions.from_events(events, users=users, items=items)

        def round_of(past: pd.DataFrame, future: pd.DataFrame) -> Round:
            history = interactions(past)
            training = training_of(history, None, seed)
            return Round(training, history, pairs_of(interactions(future)), history.filter_events("purchase"))

        train = frame["split"] == "train"
        known = train & ~frame["is_valid"]
        return round_of(frame[known], frame[train & ~known]), round_of(frame[train], frame[~train])


@dataclass(frozen=True)
class Rule:
    """Items in the cart first, then viewed items, then all others, each by popularity.

    Items that were both viewed and put into the cart come first, which reproduces the published figure.

    share: of all purchases, below 1, [I]
    """

    share: FloatArray

    def score_catalogue(self, history: Interactions) -> FloatArray:
        """Funnel stage plus the item's share of purchases, [U, I]."""
        stage = np.zeros((history.num_users, history.num_items), np.float32)
        for event, value in (("view", 1.0), ("cart", 2.0)):
            seen = history.filter_events(event)
            stage[seen.user, seen.item] += value
        return stage + self.share


def rule(training: Training, _options: Mapping[str, Any]) -> Rule:
    """Fit the rule: count purchases."""
    bought = np.bincount(training.history.filter_events("purchase").item, minlength=training.history.num_items)
    return Rule((bought / (bought.sum() + 1.0)).astype(np.float32))


_RULE = {"hit@10": 0.2717, "ndcg@10": 0.1367}

TAOBAO = FunnelLog(
    name="taobao",
    targets=(Target("hit@10", 0.31), Target("ndcg@10", 0.165)),
    published={"rule, carts first": _RULE}
    | {
        name: {"hit@10": hit, "ndcg@10": ndcg}
        for name, hit, ndcg in (
            ("LightGCN", 0.0411, 0.0240),
            ("CRGCN", 0.0855, 0.0439),
            ("MB-CGCN", 0.1233, 0.0677),
            ("PKEF", 0.1385, 0.0785),
            ("MuLe", 0.1918, 0.1103),
        )
    },
    entries=(
        Entry("popularity", "popularity"),
        Entry("rule", "rule", is_peer=True, build=rule),
        Entry("implicit_bm25", "implicit", fixed={"neighbours": 500}, is_peer=True, build=bm25),
        Entry("conversion", "funnel_ranker", fixed={"num_trees": 0}),
        Entry("funnel_ranker", "funnel_ranker"),
    ),
    notes=DatasetNotes(
        "MuLe's repository (github.com/geonwooko/MULE, data/taobao)",
        "taobao.parquet: user_id, item_id, event (view, cart or purchase), split (train or test), "
        "is_valid (purchases of the validation part, which are in train too)",
        caveat="views and carts may be later than the purchase to predict, since the data have no times",
    ),
)
