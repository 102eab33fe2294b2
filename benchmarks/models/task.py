"""Interface of a benchmark data set: a validation and a test round, entries, targets and published figures."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from tierrec_core.base.contracts import EVENTS, ITEMS, BoolArray, FloatArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.evaluation.metrics import Truth
from tierrec_core.protocols.model import Retriever, Training
from tierrec_core.settings import SearchRange, TierSettings
from tierrec_core.tiers import Tiering


@dataclass(frozen=True)
class Round:
    """Data of one fit and one evaluation.

    training: what models are fitted to
    history: of the evaluated users, [U]; those without ground truth are not averaged over
    truth: ground truth, rows as in history
    hidden: items excluded from each user's list, [U]; usually the history itself
    """

    training: Training
    history: Interactions
    truth: Truth
    hidden: Interactions


@dataclass(frozen=True)
class Entry:
    """One model of the benchmark.

    kind: of registry.KINDS, or a label when `build` is given
    fixed: options that are not tuned; space: search ranges of those that are
    trials: number of option sets tried on the validation round, 0 without tuning
    first: options to try first
    is_peer: a published method or another library's, against which the others are compared
    build: fits a model that is not in the registry, from training data and options
    """

    name: str
    kind: str
    fixed: Mapping[str, Any] = field(default_factory=dict)
    space: Mapping[str, SearchRange] = field(default_factory=dict)
    trials: int = 0
    first: Sequence[Mapping[str, Any]] = ()
    is_peer: bool = False
    build: Callable[[Training, Mapping[str, Any]], Retriever] | None = None


@dataclass(frozen=True)
class Target:
    """A lower bound of a metric."""

    metric: str
    bound: float


@dataclass(frozen=True)
class DatasetNotes:
    """What a reader of the figures must know.

    source: where the data set is published
    expects: files that the benchmark reads, with their columns
    caveat: limitation of the protocol, stated with every target
    comparable: entries fitted to the same data as the published models; None when all are
    extra_data: what the other entries are fitted to in addition
    """

    source: str
    expects: str
    caveat: str = ""
    comparable: Collection[str] | None = None
    extra_data: str = ""

    def is_comparable(self, entry: str) -> bool:
        """Whether the entry is fitted to the same data as the published models."""
        return self.comparable is None or entry in self.comparable


class Dataset(Protocol):
    """A data set with its protocol. A new one is a module, and a line in `public.DATASETS`."""

    name: str
    metrics: Sequence[str]  # such as recall@20; the first determines the strongest peer
    targets: Sequence[Target]
    published: Mapping[str, Mapping[str, float]]  # model -> metric -> figure on the same split
    entries: Sequence[Entry]
    tuning_users: int  # most users of the validation round that are ranked for in a trial
    notes: DatasetNotes

    def rounds(self, folder: Path, seed: int) -> tuple[Round, Round]:
        """The validation round, cut out of the train part with the seed, and the test round."""
        ...


def read_table(folder: Path, name: str, notes: DatasetNotes) -> pd.DataFrame:
    """Read a data set's Parquet file. Raises FileNotFoundError with its source and form when it is missing."""
    path = folder / f"{name}.parquet"
    if not path.exists():
        raise FileNotFoundError(
            f"{path}: is missing; get the data from {notes.source}, convert it to {notes.expects}, "
            "and set TIERREC_BENCH_DATA to the folder"
        )
    return pd.read_parquet(path)


def events_frame(user: pd.Series, item: pd.Series, **columns: object) -> pd.DataFrame:
    """An EVENTS frame of ids of any type; by default purchases at one time."""
    defaults = {"event": "purchase", "timestamp": pd.Timestamp("2020-01-01", tz="UTC")}
    frame = pd.DataFrame({"user_id": user.astype(str), "item_id": item.astype(str)})
    return EVENTS.conform(frame.assign(**defaults | columns), "benchmark")


def training_of(history: Interactions, items: pd.DataFrame | None, seed: int) -> Training:
    """Training data of a history; without ITEMS, items have only ids."""
    catalogue = ITEMS.conform(pd.DataFrame({"item_id": history.items}), "benchmark") if items is None else items
    tiering = Tiering.fit(history, catalogue, TierSettings(), seed)
    return Training(history, catalogue, tiering, target=("purchase",), seed=seed)


def pairs_of(history: Interactions) -> Truth:
    """The distinct pairs of a history as ground truth."""
    return Truth.of(*history.unique_pairs(), history.num_items)


def held_out(group: np.ndarray, rank: FloatArray, share: float) -> BoolArray:
    """Mask [N] of the rows with the lowest rank [N] in each group [N]: a share of the group, at least one."""
    order = np.lexsort((rank, group))
    _, start, count = np.unique(group[order], return_index=True, return_counts=True)
    position = np.arange(len(group)) - np.repeat(start, count)
    num_held_out = np.repeat(np.maximum(1, np.round(count * share)), count)
    mask = np.zeros(len(group), dtype=bool)
    mask[order] = position < num_held_out
    return mask
