"""What the benchmark asks of a data set: two rounds, one to tune on and one to judge, and the figures to beat."""

from collections.abc import Callable, Mapping, Sequence
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
    """One fit and one judgement.

    training: what models are fitted on
    history: of the users to be ranked for, [U]; those without a truth are not averaged over
    truth: what these users really took next, rows as in history
    hidden: what is never ranked for each user, [U]; usually the history itself
    """

    training: Training
    history: Interactions
    truth: Truth
    hidden: Interactions


@dataclass(frozen=True)
class Entry:
    """One line of the benchmark.

    name: what the line is called
    kind: of registry.KINDS, or what a data set makes of it in `build`
    fixed: options that are not tuned; space: those that are, and from where to where
    trials: how many sets of options are tried on the validation round, 0 where nothing is tuned
    first: options to try before the search begins to guess
    is_peer: a published method as published, against which the others are compared
    build: what makes the model where it is not of the registry: training and options -> retriever
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
    """A figure that is to be reached, and whose figure it is to beat."""

    metric: str
    bound: float


class Dataset(Protocol):
    """A data set with its protocol. A new one is one module, and one line in `datasets.DATASETS`."""

    name: str
    metrics: Sequence[str]  # such as recall@20; the first decides which peer is the strongest
    targets: Sequence[Target]
    published: Mapping[str, Mapping[str, float]]  # whose -> metric -> figure on the same split
    entries: Sequence[Entry]
    tuning_users: int  # at most so many users of the validation round are ranked for in a trial

    def rounds(self, folder: Path, seed: int) -> tuple[Round, Round]:
        """The validation round, cut out of the train part by the seed, and the test round."""
        ...


def events_frame(user: pd.Series, item: pd.Series, **columns: object) -> pd.DataFrame:
    """An EVENTS frame of ids of any type; without an event it is a purchase, without a time all is at one moment."""
    at_once = {"event": "purchase", "timestamp": pd.Timestamp("2020-01-01", tz="UTC")}
    frame = pd.DataFrame({"user_id": user.astype(str), "item_id": item.astype(str)})
    return EVENTS.conform(frame.assign(**at_once | columns), "benchmark")


def training_of(history: Interactions, items: pd.DataFrame | None, seed: int) -> Training:
    """All that models may learn from; without ITEMS only ids are known of items."""
    known = ITEMS.conform(pd.DataFrame({"item_id": history.items}), "benchmark") if items is None else items
    tiering = Tiering.fit(history, known, TierSettings(), seed)
    return Training(history, known, tiering, target=("purchase",), seed=seed)


def pairs_of(history: Interactions) -> Truth:
    """The distinct pairs of a history as a truth."""
    return Truth.of(*history.unique_pairs(), history.num_items)


def held_out(group: np.ndarray, rank: FloatArray, share: float) -> BoolArray:
    """The rows of lowest rank [N] of each group [N]: a share of them and at least one, as a mask over rows [N]."""
    order = np.lexsort((rank, group))
    _, start, count = np.unique(group[order], return_index=True, return_counts=True)
    place = np.arange(len(group)) - np.repeat(start, count)
    kept = np.repeat(np.maximum(1, np.round(count * share)), count)
    mask = np.zeros(len(group), dtype=bool)
    mask[order] = place < kept
    return mask
