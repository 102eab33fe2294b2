"""Items that nobody has met: a tenth of the demo shop's items is held out and ranked by what their content tells.

python -m tests.benchmarks.content. Collaborative filtering and ContentModel are fitted without any event of the held
items; users are asked for the held items that they buy in the test window, recall among the first 20. Which tenth is
held decides much, since a few items are bought by many: there are three.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from tests.benchmarks.shop_data import ShopData
from tierrec_core.content import ContentModel
from tierrec_core.contracts import BoolArray, FloatArray, IntArray
from tierrec_core.interactions import Interactions
from tierrec_core.models.als import Als
from tierrec_core.protocol import Training
from tierrec_core.settings import Tiers
from tierrec_core.tiers import Tiering

_HELD, _FIRST, _REPEATS = 0.1, 20, 3


def without(history: Interactions, kept: IntArray) -> Interactions:
    """The history over the kept columns only."""
    place = np.full(history.num_items, -1, np.int32)
    place[kept] = np.arange(len(kept))
    left = history.where(place[history.item] >= 0)
    return replace(left, items=history.items[kept], item=place[left.item])


def truth(data: ShopData, held: IntArray) -> tuple[IntArray, BoolArray]:
    """Users who buy a held item in the test, [U], and which, [U, H]."""
    bought = without(data.future, held).binary()
    users = np.flatnonzero(np.diff(bought.indptr))
    return users, bought[users].toarray() > 0


def recall(scores: FloatArray, bought: BoolArray) -> float:
    """Mean share found among the first 20 of scores [U, H]."""
    first = np.argsort(-scores, axis=1, kind="stable")[:, :_FIRST]
    hits = np.take_along_axis(bought, first, axis=1).sum(axis=1)
    return float(np.mean(hits / np.minimum(bought.sum(axis=1), _FIRST)))


def popularity_of(column: pd.Series, count: IntArray, kept: IntArray, held: IntArray) -> FloatArray:
    """Mean logarithm of the kept items' events for each held item's value of a column, [H]."""
    logs = pd.Series(np.log1p(count), index=kept).groupby(column.iloc[kept].fillna("").to_numpy()).mean()
    return column.iloc[held].fillna("").map(logs).fillna(logs.mean()).to_numpy(float)


def recalls(data: ShopData, seed: int) -> dict[str, float]:
    """Recall of each way to rank what is new, for one random tenth."""
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(data.items))
    size = int(_HELD * len(data.items))
    held, kept = np.sort(shuffled[:size]), np.sort(shuffled[size:])
    past, items = without(data.past, kept), data.items.iloc[kept].reset_index(drop=True)
    tiering = Tiering.fit(past, items, Tiers(), seed=0)
    als = Als.fit(Training(past, items, tiering, ("purchase",), seed=0), data.als.config)
    content = ContentModel.fit(items, als.item_factors, past)
    users, bought = truth(data, held)
    count = np.bincount(past.item, minlength=len(kept))
    category, product_type = (
        popularity_of(data.items[name], count, kept, held) for name in ("category", "product_type")
    )
    ways = {
        "random": rng.random(bought.shape),
        "popularity of the category": category,
        "popularity of the product type": product_type,
        "ContentModel.popularity": content.popularity(data.items.iloc[held]),
        "ContentModel.vectors": als.encode(past.rows(users)) @ content.vectors(data.items.iloc[held]).T,
        "as if met: factors with all events": data.als.score_catalogue(data.past.rows(users))[:, held],
    }
    return {name: recall(np.broadcast_to(scores, bought.shape), bought) for name, scores in ways.items()}


def main() -> None:
    """Print the recall of each way, and of what it is the mean."""
    with threadpool_limits(1):
        data = ShopData.read()
        found = pd.DataFrame([recalls(data, seed) for seed in range(_REPEATS)])
    table = Table("held items ranked by", "recall@20", *(f"tenth {one + 1}" for one in range(_REPEATS)))
    for name in found:
        table.add_row(str(name), *(f"{value:.4f}" for value in (found[name].mean(), *found[name])))
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
