"""Lists that users were shown, held by Evidently against what these users then did, and against the catalogue."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from monitoring.report.window_sample import drawn

CUTOFF = 10
_ROWS_APART = 3_000  # places of lists whose diversity is looked at: it takes a distance between any two items
_SHAPE = {"prediction": "rank", "recommendations_type": "rank"}


@dataclass(frozen=True)
class ServedLists:
    """Lists and what came of them, in one window.

    lists: user_id, item_id, rank from 1; one list a user
    truth: user_id, item_id: what users did; only those who were shown a list and did something are judged
    known: user_id, item_id: what the model has learned from, which says how popular an item is
    items: item_id, category, which says how diverse a list is
    """

    lists: pd.DataFrame
    truth: pd.DataFrame
    known: pd.DataFrame | None = None
    items: pd.DataFrame | None = None


def judged(ranked: ServedLists, rows: int, seed: int) -> pd.DataFrame:
    """One row for each place of a list and each missed item: user_id, item_id, rank, target; whole users.

    A missed item ranks behind every list, so that recall and the ideal list know of it.
    """
    truth = ranked.truth[["user_id", "item_id"]].drop_duplicates().assign(target=1)
    lists = ranked.lists.loc[ranked.lists["user_id"].isin(truth["user_id"]), ["user_id", "item_id", "rank"]]
    truth = truth[truth["user_id"].isin(lists["user_id"])]
    both = lists.merge(truth, on=["user_id", "item_id"], how="outer")
    behind = max(CUTOFF, int(lists["rank"].max() if len(lists) else 0)) + 1
    both["rank"] = both["rank"].fillna(behind).astype(int)
    both["target"] = both["target"].fillna(0).astype(int)
    # Evidently takes the last row up to a rank for the item of that rank
    return drawn(both, rows, seed).sort_values(["user_id", "rank"], ignore_index=True)


def counts(ranked: ServedLists | None, looked_at: pd.DataFrame | None) -> dict[str, int]:
    """Users who were shown a list, those of them who did something, and those in what `judged` made."""
    if ranked is None or looked_at is None:
        return {"shown": 0, "acted": 0, "judged": 0}
    shown = ranked.lists["user_id"].drop_duplicates()
    acted = shown.isin(ranked.truth["user_id"]).sum()
    return {"shown": len(shown), "acted": int(acted), "judged": int(looked_at["user_id"].nunique())}


def report(current: pd.DataFrame, reference: pd.DataFrame | None, **about: Any) -> Any:
    """Evidently's snapshot of what `judged` made: NDCG, precision, recall, hits and reciprocal rank at CUTOFF."""
    from evidently import DataDefinition, Dataset, Recsys, Report
    from evidently.metrics import MRR, NDCG, HitRate, PrecisionTopK, RecallTopK

    # RecsysPreset wants scores and draws their distribution; lists that were served have ranks only
    kinds = (NDCG, PrecisionTopK, RecallTopK, HitRate, MRR)
    shape = DataDefinition(ranking=[Recsys(**_SHAPE)])
    sides = [None if one is None else Dataset.from_pandas(one, shape) for one in (current, reference)]
    return Report([kind(k=cutoff(current, reference)) for kind in kinds]).run(*sides, **about)


def cutoff(current: pd.DataFrame, reference: pd.DataFrame | None) -> int:
    """CUTOFF, or the most rows that a user has where these are fewer: Evidently fails beyond them."""
    sides = [one for one in (current, reference) if one is not None]
    deepest = min(min(int(one["user_id"].value_counts().max()), int(one["rank"].max())) for one in sides)
    return min(CUTOFF, deepest)


def shown(ranked: ServedLists, rows: int, seed: int, **about: Any) -> list[Any]:
    """Evidently's snapshots of the lists alone, whatever users did: popularity bias and diversity, where they can be.

    Both look at the first CUTOFF places. Popularity is of the known, as a share of the most popular item's.
    """
    places = ranked.lists.loc[ranked.lists["rank"] <= CUTOFF, ["user_id", "item_id", "rank"]]
    made = [
        _popularity(places, ranked.known, rows, seed, about),
        _diversity(places, ranked.items, seed, about),
    ]
    return [one for one in made if one is not None]


def _popularity(
    places: pd.DataFrame, known: pd.DataFrame | None, rows: int, seed: int, about: dict[str, Any]
) -> Any:
    from evidently import DataDefinition, Dataset, Recsys, Report
    from evidently.metrics import PopularityBiasMetric

    lists = drawn(places, rows, seed)
    # of lists of one item only there is no inequality, and of items that nobody knows no popularity
    if known is None or lists["item_id"].nunique() < 2 or not lists["item_id"].isin(known["item_id"]).any():
        return None
    shape = DataDefinition(ranking=[Recsys(**_SHAPE)])
    metric = PopularityBiasMetric(k=CUTOFF, normalize_arp=True)
    data = Dataset.from_pandas(lists.assign(target=0), shape)
    train = Dataset.from_pandas(known[["user_id", "item_id"]].astype(object), DataDefinition())
    return Report([metric]).run(data, None, additional_data={"current_train_data": train}, **about)


def _diversity(places: pd.DataFrame, items: pd.DataFrame | None, seed: int, about: dict[str, Any]) -> Any:
    """Two items are 0 apart where they are of one category, else 1: the cosine of the categories' indicators."""
    from evidently import DataDefinition, Dataset, Recsys, Report
    from evidently.metrics import Diversity

    lists = drawn(places, _ROWS_APART, seed).reset_index(drop=True)
    if items is None or lists.empty:
        return None
    category = lists["item_id"].map(items.drop_duplicates("item_id").set_index("item_id")["category"])
    codes, names = pd.factorize(category.astype(object).fillna(""))
    features = [f"category {one}" for one in range(len(names))]
    indicators = pd.DataFrame(np.eye(len(names))[codes], columns=features)
    shape = DataDefinition(ranking=[Recsys(**_SHAPE)], numerical_columns=features)
    # Evidently turns ids that look like numbers into numbers, and then does not find them
    named = lists.assign(target=0, item_id="item " + lists["item_id"].astype(str))
    data = Dataset.from_pandas(named.join(indicators), shape)
    return Report([Diversity(k=CUTOFF, item_features=features)]).run(data, None, **about)
