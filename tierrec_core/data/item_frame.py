"""ITEMS in the order of a catalogue."""

import pandas as pd

from tierrec_core.base.contracts import ITEMS


def align_items(items: pd.DataFrame, catalogue: pd.Index, where: str) -> pd.DataFrame:
    """Reorder ITEMS so that row i describes catalogue[i]; an item without a description has its id as title.

    where: begins the message of a ContractError
    """
    described = items.drop_duplicates("item_id").set_index("item_id").reindex(catalogue.astype("string[pyarrow]"))
    aligned = ITEMS.conform(described.rename_axis("item_id").reset_index(), where)
    aligned["category"] = aligned["category"].fillna("unknown")
    aligned["title"] = aligned["title"].fillna(aligned["item_id"])
    return aligned
