"""Lists that users were shown, held by Evidently against what these users then did."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from monitoring.charts.samples import drawn

CUTOFF = 10


@dataclass(frozen=True)
class Ranked:
    """Lists and what came of them, in one window.

    lists: user_id, item_id, rank from 1; one list a user
    truth: user_id, item_id: what users did; only those who were shown a list and did something are judged
    """

    lists: pd.DataFrame
    truth: pd.DataFrame


def judged(ranked: Ranked, rows: int, seed: int) -> pd.DataFrame:
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


def report(current: pd.DataFrame, reference: pd.DataFrame | None, **about: Any) -> Any:
    """Evidently's snapshot of what `judged` made: NDCG, precision, recall, hits and reciprocal rank at CUTOFF."""
    from evidently import DataDefinition, Dataset, Recsys, Report
    from evidently.metrics import MRR, NDCG, HitRate, PrecisionTopK, RecallTopK

    # RecsysPreset wants scores and draws their distribution; lists that were served have ranks only
    kinds = (NDCG, PrecisionTopK, RecallTopK, HitRate, MRR)
    shape = DataDefinition(ranking=[Recsys(prediction="rank", recommendations_type="rank")])
    sides = [None if one is None else Dataset.from_pandas(one, shape) for one in (current, reference)]
    return Report([kind(k=cutoff(current, reference)) for kind in kinds]).run(*sides, **about)


def cutoff(current: pd.DataFrame, reference: pd.DataFrame | None) -> int:
    """CUTOFF, or the most rows that a user has where these are fewer: Evidently fails beyond them."""
    sides = [one for one in (current, reference) if one is not None]
    deepest = min(min(int(one["user_id"].value_counts().max()), int(one["rank"].max())) for one in sides)
    return min(CUTOFF, deepest)
