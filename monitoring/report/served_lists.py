"""Evidently metrics of served lists: ranking against users' later events, popularity bias and diversity."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from monitoring.report.window_sample import sample_users

CUTOFF = 10
_MAX_DIVERSITY_ROWS = 3_000  # diversity is quadratic in the items
_COLUMNS = {"prediction": "rank", "recommendations_type": "rank"}


@dataclass(frozen=True)
class ServedLists:
    """Lists served in one window, and the users' later events.

    lists: user_id, item_id, rank from 1; one list per user
    truth: user_id, item_id of target events; only users with a list and an event are evaluated
    known: user_id, item_id of the model's training data, for item popularity
    items: item_id, category, for diversity
    """

    lists: pd.DataFrame
    truth: pd.DataFrame
    known: pd.DataFrame | None = None
    items: pd.DataFrame | None = None


def label_served_items(served: ServedLists, max_rows: int, seed: int) -> pd.DataFrame:
    """One row per list position and per missed item: user_id, item_id, rank, target; for a sample of users.

    A missed item gets a rank below every list, so that recall and the ideal ranking include it.
    """
    truth = served.truth[["user_id", "item_id"]].drop_duplicates().assign(target=1)
    lists = served.lists.loc[served.lists["user_id"].isin(truth["user_id"]), ["user_id", "item_id", "rank"]]
    truth = truth[truth["user_id"].isin(lists["user_id"])]
    labelled = lists.merge(truth, on=["user_id", "item_id"], how="outer")
    missed_rank = max(CUTOFF, int(lists["rank"].max() if len(lists) else 0)) + 1
    labelled["rank"] = labelled["rank"].fillna(missed_rank).astype(int)
    labelled["target"] = labelled["target"].fillna(0).astype(int)
    # Evidently takes the last row up to a rank as the item of that rank
    return sample_users(labelled, max_rows, seed).sort_values(["user_id", "rank"], ignore_index=True)


def count_users(served: ServedLists | None, labelled: pd.DataFrame | None) -> dict[str, int]:
    """Users with a list, those of them with a target event, and those in the result of `label_served_items`."""
    if served is None or labelled is None:
        return {"shown": 0, "acted": 0, "judged": 0}
    users = served.lists["user_id"].drop_duplicates()
    acted = users.isin(served.truth["user_id"]).sum()
    return {"shown": len(users), "acted": int(acted), "judged": int(labelled["user_id"].nunique())}


def ranking_snapshot(labelled: pd.DataFrame, **about: Any) -> Any:
    """Evidently's NDCG, precision, recall, hit rate and MRR at CUTOFF of labelled lists."""
    from evidently import DataDefinition, Dataset, Recsys, Report
    from evidently.metrics import MRR, NDCG, HitRate, PrecisionTopK, RecallTopK

    # RecsysPreset needs scores; served lists have ranks only
    metrics = (NDCG, PrecisionTopK, RecallTopK, HitRate, MRR)
    definition = DataDefinition(ranking=[Recsys(**_COLUMNS)])
    # Evidently fails where no user has as many rows
    k = min(CUTOFF, int(labelled["user_id"].value_counts().max()), int(labelled["rank"].max()))
    return Report([metric(k=k) for metric in metrics]).run(Dataset.from_pandas(labelled, definition), None, **about)


def list_snapshots(served: ServedLists, max_rows: int, seed: int, **about: Any) -> Iterator[Any]:
    """Evidently's popularity bias and diversity of the first CUTOFF positions, where they are defined.

    Popularity is by the training data, as a share of the most popular item's.
    """
    lists = served.lists.loc[served.lists["rank"] <= CUTOFF, ["user_id", "item_id", "rank"]]
    if served.known is not None:
        yield from _popularity(sample_users(lists, max_rows, seed), served.known, about)
    if served.items is not None and len(lists):
        sampled = sample_users(lists, _MAX_DIVERSITY_ROWS, seed).reset_index(drop=True)
        yield from _diversity(sampled, served.items, about)


def _popularity(lists: pd.DataFrame, known: pd.DataFrame, about: dict[str, Any]) -> Iterator[Any]:
    from evidently import DataDefinition, Dataset, Recsys, Report
    from evidently.metrics import PopularityBiasMetric

    # undefined for lists of a single item, or without an item of known popularity
    if lists["item_id"].nunique() < 2 or not lists["item_id"].isin(known["item_id"]).any():
        return
    metric = PopularityBiasMetric(k=CUTOFF, normalize_arp=True)
    data = Dataset.from_pandas(lists.assign(target=0), DataDefinition(ranking=[Recsys(**_COLUMNS)]))
    train = Dataset.from_pandas(known[["user_id", "item_id"]].astype(object), DataDefinition())
    yield Report([metric]).run(data, None, additional_data={"current_train_data": train}, **about)


def _diversity(lists: pd.DataFrame, items: pd.DataFrame, about: dict[str, Any]) -> Iterator[Any]:
    """Diversity with distance 0 between items of one category, else 1: the cosine of category indicators."""
    from evidently import DataDefinition, Dataset, Recsys, Report
    from evidently.metrics import Diversity

    if items["category"].nunique() < 2:
        return
    category = lists["item_id"].map(items.drop_duplicates("item_id").set_index("item_id")["category"])
    codes, names = pd.factorize(category.astype(object).fillna(""))
    features = [f"category {number}" for number in range(len(names))]
    indicators = pd.DataFrame(np.eye(len(names))[codes], columns=features)
    definition = DataDefinition(ranking=[Recsys(**_COLUMNS)], numerical_columns=features)
    # the prefix keeps Evidently from converting numeric ids to numbers, which it then cannot match
    labelled = lists.assign(target=0, item_id="item " + lists["item_id"].astype(str))
    data = Dataset.from_pandas(labelled.join(indicators), definition)
    yield Report([Diversity(k=CUTOFF, item_features=features)]).run(data, None, **about)
