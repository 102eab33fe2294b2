"""The catalogue as of the champion's cut, against which later catalogues are compared."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from tierrec_core.base.contracts import FloatArray, IntArray

_COLUMNS = ["title", "category", "brand", "price"]


@dataclass(frozen=True)
class CatalogueSnapshot:
    """Items with an event before the cut, as ITEMS described them then.

    items: ids, [I]
    categories: names, [C]; category: index of each item's category, -1 without one, [I]
    content: hash of title and brand, 0 without a title, [I]
    price: NaN without one, [I]
    """

    items: pd.Index
    categories: tuple[str, ...]
    category: IntArray
    content: IntArray
    price: FloatArray

    @classmethod
    def of(cls, item_ids: pd.Series | pd.Index, items: pd.DataFrame) -> Self:
        """Describe the items of these ids from ITEMS; ids that ITEMS does not have are left out."""
        described = items.drop_duplicates("item_id").set_index("item_id").reindex(columns=_COLUMNS)
        rows = described.index.get_indexer(pd.Index(item_ids).unique())
        described = described.iloc[rows[rows >= 0]].sort_index()
        category, names = pd.factorize(described["category"].astype(object), sort=True)
        text = described["title"].fillna("") + "\n" + described["brand"].fillna("")
        content = pd.util.hash_array(text.to_numpy(dtype=object), categorize=False).view(np.int64)
        return cls(
            pd.Index(described.index, dtype=object),
            tuple(map(str, names)),
            category.astype(np.int32),
            np.where(described["title"].notna(), content, 0),
            described["price"].to_numpy(dtype=float, na_value=np.nan),
        )

    def of_ids(self, ids: pd.Index) -> IntArray:
        """Index of each id, -1 for one that is not known, [M]."""
        return self.items.get_indexer(ids)

    def content_of(self, ids: pd.Index) -> IntArray:
        """Content of each id, 0 for one that is not known, [M]."""
        return np.append(self.content, 0)[self.of_ids(ids)]
