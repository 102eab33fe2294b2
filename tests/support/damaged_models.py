"""Ways in which a bundle's models may really fail, each written to disk with hashes that agree."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.support.open_shops import Caller, Opener
from tierrec_core.base import artifacts, memmap
from tierrec_core.bundle import precomputed
from tierrec_core.bundle.session_boost import SessionBoost
from tierrec_core.bundle.user_tables import RankedLists, UserTables
from tierrec_core.propensity.campaigns import CampaignModel
from tierrec_core.search.index import SearchIndex

Damage = Callable[[Path], None]


def lists_outside(bundle: Path) -> None:
    """Every known user's list names columns that no catalogue has."""
    for folder in (bundle / precomputed.FOLDER / "ranked_lists").iterdir():
        lists = memmap.map_arrays(RankedLists, folder)
        memmap.save_arrays(replace(lists, items=lists.items + 1000), folder)


def lists_nan(bundle: Path) -> None:
    for folder in (bundle / precomputed.FOLDER / "ranked_lists").iterdir():
        lists = memmap.map_arrays(RankedLists, folder)
        memmap.save_arrays(replace(lists, scores=np.full_like(lists.scores, np.nan)), folder)


def item_table_nan(field: str) -> Damage:
    def damage(bundle: Path) -> None:
        folder = bundle / precomputed.FOLDER / "item_tables"
        tables = artifacts.load(precomputed.ItemTables, folder)
        artifacts.save(replace(tables, **{field: np.full_like(getattr(tables, field), np.nan)}), folder)

    return damage


def user_factors_nan(bundle: Path) -> None:
    folder = bundle / precomputed.FOLDER / "user_tables"
    tables = memmap.map_arrays(UserTables, folder)
    memmap.save_arrays(replace(tables, factors=np.full_like(tables.factors, np.nan)), folder)


def boost_outside(bundle: Path) -> None:
    folder = bundle / precomputed.FOLDER / "session_boost"
    boost = artifacts.load(SessionBoost, folder)
    artifacts.save(replace(boost, neighbours=boost.neighbours + 1000), folder)


def search_without_vectors(bundle: Path) -> None:
    folder = bundle / precomputed.FOLDER / "search"
    artifacts.save(replace(artifacts.load(SearchIndex, folder), word_vectors=np.zeros((1, 1), np.float32)), folder)


def campaigns_nan(bundle: Path) -> None:
    folder = bundle / precomputed.FOLDER / "campaigns"
    campaigns = artifacts.load(CampaignModel, folder)
    weights = np.full_like(campaigns.classifier.weights, np.nan)
    artifacts.save(replace(campaigns, classifier=replace(campaigns.classifier, weights=weights)), folder)


def model_lost(bundle: Path) -> None:
    """No bundle can be loaded; the precomputed parts are whole."""
    shutil.rmtree(bundle / "models" / "als")


FACTORS = (item_table_nan("item_factors"), user_factors_nan)
PRIOR, POPULARITY = item_table_nan("prior"), item_table_nan("popularity")


def broken(start: Opener, *damage: Damage) -> Caller:
    """A worker whose model is damaged."""

    def all_of_it(bundle: Path) -> None:
        for one in damage:
            one(bundle)

    return start(default=start.add("tierrec:broken", all_of_it))
