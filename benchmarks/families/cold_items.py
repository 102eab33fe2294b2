"""Cold items: random tenths of the demo shop's items are held out and ranked by their content alone.

All models are fitted without events of the held-out items. The ground truth is the held-out items that a user buys in
the test window: recall among the first 20, a share of min(bought, 20). Tenths differ, since a few items are bought by
many users: a user counts with the mean over the tenths with a purchase.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from benchmarks.search.content import restrict_columns
from benchmarks.shop_data import ShopData
from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray
from tierrec_core.evaluation.bootstrap import bootstrap_mean, paired_bootstrap
from tierrec_core.features.item_content import ContentModel
from tierrec_core.models.als import Als
from tierrec_core.models.two_tower import TwoTower
from tierrec_core.protocols.model import Training
from tierrec_core.settings import TierSettings
from tierrec_core.tiers import Tiering

TITLE = "Cold items: what content alone tells"
_HELD, _FIRST, _REPEATS, _DRAWS = 0.1, 20, 5, 1000
_BASELINES = ("random", "popularity of the category", "popularity of the product type")
_CONTENT, _TOWER, _BOTH = "ContentModel, ridge", "two_tower, item tower", "both, mean of ranks"
_BOUND = "upper bound: ALS with all events"


@dataclass(frozen=True)
class Tenth:
    """A random held-out tenth: its columns [H], the other columns [K], and training data of the others."""

    held: IntArray
    kept: IntArray
    training: Training
    users: IntArray
    bought: BoolArray

    @classmethod
    def of(cls, data: ShopData, rng: np.random.Generator) -> "Tenth":
        """Hold out a random tenth. users: buyers of a held item in the test, [U]; bought: which, [U, H]."""
        shuffled = rng.permutation(len(data.items))
        size = int(_HELD * len(data.items))
        held, kept = np.sort(shuffled[:size]), np.sort(shuffled[size:])
        past, items = restrict_columns(data.past, kept), data.items.iloc[kept].reset_index(drop=True)
        tiering = Tiering.fit(past, items, TierSettings(), seed=0)
        bought = restrict_columns(data.future, held).binary_matrix()
        users = np.flatnonzero((np.diff(bought.indptr) > 0) & (np.diff(past.offsets) > 0))
        training = Training(past, items, tiering, ("purchase",), seed=0)
        return cls(held, kept, training, users, bought[users].toarray() > 0)

    def popularity_of(self, column: pd.Series) -> FloatArray:
        """Mean logarithm of the kept items' events for each held item's value of a column, [H]."""
        count = np.bincount(self.training.history.item, minlength=len(self.kept))
        value = column.fillna("").to_numpy()
        logs = pd.Series(np.log1p(count)).groupby(value[self.kept]).mean()
        return pd.Series(value[self.held]).map(logs).fillna(logs.mean()).to_numpy(float)


def score_methods(data: ShopData, tenth: Tenth, rng: np.random.Generator) -> dict[str, FloatArray]:
    """Scores of the held-out items by each method, [U, H]."""
    training, new = tenth.training, data.items.iloc[tenth.held]
    users = training.history.select_users(tenth.users)
    als = Als.fit(training, data.als.config)
    content = ContentModel.fit(training.items, als.item_factors, training.history)
    tower = TwoTower.fit(training, TwoTower.Config())
    by_content = als.encode_users(users) @ content.vectors(new).T
    by_tower = tower.encode_users(users) @ tower.item_vectors(new).T
    scores = {
        _BASELINES[0]: rng.random(tenth.bought.shape),
        _BASELINES[1]: tenth.popularity_of(data.items["category"]),
        _BASELINES[2]: tenth.popularity_of(data.items["product_type"]),
        "ContentModel, its popularity": content.popularity(new),
        _CONTENT: by_content,
        _TOWER: by_tower,
        _BOTH: _ranks(by_content) + _ranks(by_tower),
        _BOUND: data.als.score_catalogue(data.past.select_users(tenth.users))[:, tenth.held],
    }
    return {name: np.broadcast_to(values, tenth.bought.shape) for name, values in scores.items()}


def recall(scores: FloatArray, bought: BoolArray) -> FloatArray:
    """Recall among the first 20 by scores [U, H] of each user, [U]."""
    first = np.argsort(-scores, axis=1, kind="stable")[:, :_FIRST]
    hits = np.take_along_axis(bought, first, axis=1).sum(axis=1)
    share: FloatArray = hits / np.minimum(bought.sum(axis=1), _FIRST)
    return share


def measure(seed: int) -> dict[str, Any]:
    """Mean recall of each method with its interval, by tenth, and paired against the baselines."""
    data, parts, sizes = ShopData.read(), [], []
    with threadpool_limits(1):
        for repeat in range(_REPEATS):
            rng = np.random.default_rng([seed, repeat])
            tenth = Tenth.of(data, rng)
            found = {name: recall(scores, tenth.bought) for name, scores in score_methods(data, tenth, rng).items()}
            parts.append(pd.DataFrame(found, index=tenth.users).assign(tenth=repeat))
            sizes.append(len(tenth.held))
    every = pd.concat(parts)
    users = every.drop(columns="tenth").groupby(level=0).mean()
    rng = np.random.default_rng(seed)
    record = {}
    for name in users:
        mine = users[name].to_numpy()
        gaps = {base: asdict(paired_bootstrap(mine, users[base].to_numpy(), _DRAWS, rng)) for base in _BASELINES}
        tenths = every.groupby("tenth")[name].mean().round(6).tolist()
        record[str(name)] = asdict(bootstrap_mean(mine, _DRAWS, rng)) | {"tenths": tenths, "against": gaps}
    return {"users": len(users), "held_items": sizes, "ways": record}


def lines(record: Mapping[str, Any]) -> Iterator[str]:
    """Targets and one table."""
    found = record["ways"]
    yield (
        f"{_REPEATS} random tenths ({record['held_items'][0]} items each), {record['users']} users who buy a held item "
        "in the test window; 95% intervals over users.\n"
    )
    for name in (_CONTENT, _TOWER, _BOTH):
        lowest = min(gap["low"] for gap in found[name]["against"].values())
        yield f"- {name} significantly above all baselines: {'reached' if lowest > 0 else 'missed'}"
    yield f"\n| held items ranked by | recall@20 | - {_BASELINES[2]} | each tenth |"
    yield "|---" * 4 + "|"
    for name, one in found.items():
        gap = "" if name == _BASELINES[2] else _format(one["against"][_BASELINES[2]], "+")
        yield f"| {name} | {_format(one)} | {gap} | {' '.join(f'{value:.4f}' for value in one['tenths'])} |"


def _format(figure: Mapping[str, float], sign: str = "") -> str:
    return f"{figure['value']:{sign}.4f} [{figure['low']:{sign}.4f}, {figure['high']:{sign}.4f}]"


def _ranks(scores: FloatArray) -> FloatArray:
    """Negative log rank of each item for each user, [U, H]."""
    place = np.argsort(np.argsort(-scores, axis=1, kind="stable"), axis=1, kind="stable")
    return -np.log1p(place)
