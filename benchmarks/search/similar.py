"""Precision of similar items on the demo shop's baskets of the test window.

python -m benchmarks.search.similar. For each item of each basket: the share of the item's first 10 neighbours in the
same basket. Rare items are the half with fewest earlier purchases. As cold items, a random tenth is held out; their
neighbours are among the other items.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from implicit.nearest_neighbours import CosineRecommender
from implicit.utils import ParameterWarning
from rich.console import Console
from rich.table import Table
from scipy import sparse
from threadpoolctl import threadpool_limits

from benchmarks.search.content import restrict_columns
from benchmarks.shop_data import ShopData
from tierrec_core.base.contracts import IntArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.features.item_content import ContentModel
from tierrec_core.linalg.cosine import nearest_by_cosine
from tierrec_core.search.similar_items import SimilarItems

_FIRST, _HELD = 10, 0.1


@dataclass(frozen=True)
class Baskets:
    """Test baskets. together: number with both items, [I, I]; seen: with the item, [I]."""

    together: sparse.csr_matrix
    seen: IntArray

    @classmethod
    def of(cls, future: Interactions) -> "Baskets":
        """Count the baskets of a history."""
        _, basket = np.unique(future.session, return_inverse=True)
        shape = (int(basket.max()) + 1, future.num_items)
        held = sparse.coo_matrix((np.ones(len(basket)), (basket, future.item)), shape).tocsr()
        held.data[:] = 1.0
        return cls((held.T @ held).tocsr(), np.asarray(held.sum(axis=0)).ravel())

    def precision(self, neighbours: IntArray, rows: IntArray) -> float:
        """Share of the first 10 neighbours [R, 10] of the items `rows` [R] in the items' baskets."""
        first = neighbours[:, :_FIRST]
        hits = np.asarray(self.together[np.repeat(rows, _FIRST), first.ravel()]).reshape(first.shape)
        hits[first < 0] = 0.0
        return float(hits.sum() / (self.seen[rows].sum() * _FIRST))


def implicit_cosine(history: Interactions) -> IntArray:
    """Neighbours by implicit's cosine of users' purchases, [I, 50]."""
    model = CosineRecommender(K=51, num_threads=1)
    with warnings.catch_warnings(action="ignore", category=ParameterWarning):
        model.fit(history.binary_matrix().astype(np.float64), show_progress=False)
    table = np.full((history.num_items, 50), -1, np.int32)
    for item in range(history.num_items):
        found, _ = model.similar_items(item, N=51)
        found = found[found != item][:50]
        table[item, : len(found)] = found
    return table


def known_item_methods(data: ShopData, baskets: Baskets) -> Mapping[str, IntArray]:
    """Each method's neighbours of all items, [I, 50]."""
    count = np.bincount(data.past.item, minlength=len(data.items))
    popular = np.argsort(-count, kind="stable")[:50]
    by_vector, _ = nearest_by_cosine(data.vectors, data.vectors, 51)
    return {
        "the most popular, for every item": np.tile(popular, (len(data.items), 1)),
        "cosine of ALS vectors": by_vector[:, 1:],
        "cosine of users (implicit)": implicit_cosine(data.past),
        "SimilarItems": SimilarItems.fit(data.past, data.items, data.vectors).neighbours,
    }


def cold_item_methods(data: ShopData, held: IntArray, kept: IntArray) -> Mapping[str, IntArray]:
    """Each method's neighbours of the held items among the kept ones, [H, 50]."""
    past, items = restrict_columns(data.past, kept), data.items.iloc[kept].reset_index(drop=True)
    vectors = data.vectors[kept]
    vectors_of_held = ContentModel.fit(items, vectors, past).vectors(data.items.iloc[held])
    similar = SimilarItems.fit(past, items, vectors)
    return {
        "cosine of content vectors": kept[nearest_by_cosine(vectors_of_held, vectors, 50)[0]],
        "SimilarItems.of_unseen": kept[similar.of_unseen(vectors_of_held, vectors)[0]],
    }


def main() -> None:
    """Print the precision of each method."""
    with threadpool_limits(1):
        data = ShopData.read()
        baskets = Baskets.of(data.future)
        shuffled = np.random.default_rng(0).permutation(len(data.items))
        held, kept = np.split(shuffled, [int(_HELD * len(data.items))])
        count = np.bincount(data.past.item, minlength=len(data.items))
        every, rare = np.arange(len(count)), np.flatnonzero(count <= np.median(count))
        known, unseen = known_item_methods(data, baskets), cold_item_methods(data, held, kept)
    table = Table("neighbours", "precision@10", "of rare items", "items shown")
    for name, neighbours in known.items():
        shares = baskets.precision(neighbours, every), baskets.precision(neighbours[rare], rare)
        shown = len(np.unique(neighbours[:, :_FIRST])) / len(every)
        table.add_row(name, *(f"{share:.4f}" for share in shares), f"{shown:.0%}")
    for name, neighbours in unseen.items():
        table.add_row(f"{name}, unseen items", f"{baskets.precision(neighbours, held):.4f}", "", "")
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
