"""LightGBM data sets and parameters, shared by the rankers and the churn classifier."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray
from tierrec_core.settings.learning import BoostingOptions

if TYPE_CHECKING:
    import lightgbm


@dataclass(frozen=True)
class RankingExamples:
    """Labelled candidates for learning to rank, in order of user; each user's candidates are one group.

    table: features by name, [P]; user: row of each candidate's user, [P]; label: whether it is relevant, [P]
    """

    table: dict[str, FloatArray]
    user: IntArray
    label: BoolArray


def ranking_data(parts: Sequence[RankingExamples], columns: Sequence[str], max_bin: int) -> "lightgbm.Dataset":
    """Concatenate the examples into one data set with a group per user and part."""
    import lightgbm

    return lightgbm.Dataset(
        np.concatenate([stack_columns(part.table, columns) for part in parts]),
        label=np.concatenate([part.label for part in parts]),
        group=np.concatenate([np.unique(part.user, return_counts=True)[1] for part in parts]),
        params={"max_bin": max_bin, "verbose": -1},
        free_raw_data=False,
    )


def stack_columns(table: Mapping[str, FloatArray], columns: Sequence[str]) -> FloatArray:
    """Features in the given order of columns, [P, F] float32."""
    return np.stack([table[name] for name in columns], axis=1, dtype=np.float32, casting="unsafe")


def boosting_parameters(
    options: BoostingOptions, seed: int, *, objective: str, row_share: float, num_threads: int
) -> dict[str, object]:
    """LightGBM parameters under which the same data gives the same trees."""
    return {
        "objective": objective,
        "learning_rate": options.learning_rate,
        "num_leaves": options.num_leaves,
        "min_data_in_leaf": options.min_data_in_leaf,
        "feature_fraction": options.feature_share,
        "bagging_fraction": row_share,
        "bagging_freq": 1,
        "lambda_l2": options.l2,
        "max_bin": options.max_bin,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": num_threads,
        "verbose": -1,
    }
