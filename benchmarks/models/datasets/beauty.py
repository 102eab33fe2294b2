"""Amazon Beauty with the split of SASRec and S3-Rec: each user's last purchase is the test."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from benchmarks.models.peers.implicit import bm25, cosine
from benchmarks.models.stacked import fit_stacked, fit_without_last
from benchmarks.models.task import DatasetNotes, Entry, Round, Target, events_frame, pairs_of, read_table, training_of
from tierrec_core.base.contracts import ITEMS
from tierrec_core.data.interactions import Interactions
from tierrec_core.settings import SearchRange

END = pd.Timestamp("2020-01-01", tz="UTC")
_IDS = ("user_id", "item_id")


@dataclass(frozen=True)
class LeaveOneOut:
    """Rank all unseen items for the next one; mean over users.

    A round's training data and history are all purchases before the one to predict: the test round's include the
    validation purchases. Only the order is known: positions are a day apart, and all users end on the same day.
    """

    name: str
    targets: Sequence[Target]
    published: Mapping[str, Mapping[str, float]]
    entries: Sequence[Entry]
    notes: DatasetNotes
    tuning_users: int = 6000
    metrics: Sequence[str] = ("hit@10", "ndcg@10")

    def rounds(self, folder: Path, seed: int) -> tuple[Round, Round]:
        """Read `NAME.parquet`: user_id, item_id, pos, split; and `NAME_attributes.parquet`: item_id, attribute_id."""
        frame = read_table(folder, self.name, self.notes).sort_values(["user_id", "pos"])
        back = frame["pos"] - frame.groupby("user_id")["pos"].transform("max")
        frame["timestamp"] = END + pd.to_timedelta(back, unit="D")
        users, items = (pd.Index(sorted(frame[column].astype(str).unique()), dtype=object) for column in _IDS)
        catalogue = items_frame(items, read_table(folder, f"{self.name}_attributes", self.notes))
        valid, test = frame["split"] == "valid", frame["split"] == "test"

        def interactions(part: pd.DataFrame) -> Interactions:
            events = events_frame(part["user_id"], part["item_id"], timestamp=part["timestamp"])
            return Interactions.from_events(events, users=users, items=items)

        def round_of(past: pd.DataFrame, future: pd.DataFrame) -> Round:
            history = interactions(past)
            return Round(training_of(history, catalogue, seed), history, pairs_of(interactions(future)), history)

        return round_of(frame[~valid & ~test], frame[valid]), round_of(frame[~test], frame[test])


def items_frame(items: pd.Index, attributes: pd.DataFrame) -> pd.DataFrame:
    """ITEMS with the attributes as words of the title; the rarest is the brand, the second the category."""
    size = attributes["attribute_id"].map(attributes["attribute_id"].value_counts())
    words = pd.DataFrame(
        {"item_id": attributes["item_id"].astype(str), "word": "a" + attributes["attribute_id"].astype(str)}
    )
    ordered = words.assign(size=size).sort_values(["size", "word"]).groupby("item_id")["word"]
    frame = pd.DataFrame({"item_id": items})
    for name, found in (("title", ordered.agg(" ".join)), ("brand", ordered.nth(0)), ("category", ordered.nth(1))):
        if name != "title":
            found = pd.Series(found.to_numpy(), index=words.loc[found.index, "item_id"])
        frame[name] = frame["item_id"].map(found).fillna("none")
    return ITEMS.conform(frame, "benchmark")


def _published(**figures: tuple[float, float]) -> Mapping[str, Mapping[str, float]]:
    return {name.replace("_", "-"): {"hit@10": hit, "ndcg@10": ndcg} for name, (hit, ndcg) in figures.items()}


_FIXED: Mapping[str, object] = {"step": "event", "neighbours": 2000}
_SPACE = {
    "reach": SearchRange(10, 60, log=True),
    "gap_exponent": SearchRange(0.2, 1.5),
    "backward": SearchRange(0.0, 1.0),
    "user_exponent": SearchRange(0.0, 0.6),
    "source_exponent": SearchRange(0.0, 0.7),
    "target_exponent": SearchRange(0.0, 0.6),
    "half_life_steps": SearchRange(0.5, 6.0, log=True),
}
_NEAR: Mapping[str, object] = {
    "reach": 18,
    "gap_exponent": 0.7,
    "backward": 0.15,
    "user_exponent": 0.15,
    "source_exponent": 0.43,
    "target_exponent": 0.04,
    "half_life_steps": 1.4,
}
_WIDE: Mapping[str, object] = {
    "reach": 50,
    "gap_exponent": 0.4,
    "backward": 0.6,
    "user_exponent": 0.0,
    "source_exponent": 0.3,
    "target_exponent": 0.3,
    "half_life_steps": 6.0,
}
_ITEM_KNN = {"values": "log_decayed", "half_life": 2.0, "alpha": 0.6, "shrinkage": 1.0, "neighbours": 1000}
_STACKED: Mapping[str, object] = {
    "members": {
        "near": {"kind": "transitions", **_FIXED, **_NEAR},
        "wide": {"kind": "transitions", **_FIXED, **_WIDE},
        "item_knn": _ITEM_KNN,
        "popularity": {"window_days": 1e6},
    },
    "windows": 1,
    "candidates": 40,
    "blend": {"attributes": ("brand", "category"), "num_trees": 200, "negative_share": 0.3, "truncation": 10},
}

BEAUTY = LeaveOneOut(
    name="beauty",
    targets=(Target("hit@10", 0.085), Target("ndcg@10", 0.055)),
    published=_published(
        PopRec=(0.0152, 0.0068),
        GRU4Rec=(0.0283, 0.0137),
        BERT4Rec=(0.0347, 0.0170),
        SASRec=(0.0605, 0.0318),
        S3_Rec=(0.0647, 0.0327),
    )
    | {"SASRec with sampled softmax, replicated": {"ndcg@10": 0.0531}, "eSASRec, replicated": {"ndcg@10": 0.0523}},
    entries=(
        Entry("popularity", "popularity", fixed={"window_days": 1e6}),
        Entry("implicit_bm25", "implicit", fixed={"neighbours": 500}, is_peer=True, build=bm25),
        Entry("implicit_cosine", "implicit", fixed={"neighbours": 500}, is_peer=True, build=cosine),
        Entry("item_knn", "item_knn", fixed=_ITEM_KNN),
        Entry("transitions", "transitions", fixed=_FIXED, space=_SPACE, trials=25, first=[_NEAR]),
        Entry("transitions_without_valid", "transitions", fixed={**_FIXED, **_NEAR}, build=fit_without_last),
        Entry("stacked", "blend", fixed=_STACKED, build=fit_stacked),
    ),
    notes=DatasetNotes(
        "S3-Rec's repository (github.com/RUCAIBox/CIKM2020-S3Rec, data/Beauty.txt and Beauty_item2attributes.json)",
        "beauty.parquet: user_id, item_id, pos (order within the user), split (train, valid or test), and "
        "beauty_attributes.parquet: item_id, attribute_id",
        comparable=("transitions_without_valid",),
        extra_data="each user's validation purchase",
    ),
)
