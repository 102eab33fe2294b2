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
from tierrec_core.bundle.user_tables import RankedLists
from tierrec_core.propensity.campaigns import CampaignModel
from tierrec_core.search.index import SearchIndex

Damage = Callable[[Path], None]


def shelf_outside(bundle: Path) -> None:
    """Every known user's list names columns that no catalogue has."""
    for folder in (bundle / precomputed.FOLDER / "shelves").iterdir():
        shelf = RankedLists.load(folder)
        blocks = [(np.array(shelf.items) + 1000, np.array(shelf.scores))]
        RankedLists.write(folder, blocks)


def shelf_nan(bundle: Path) -> None:
    for folder in (bundle / precomputed.FOLDER / "shelves").iterdir():
        shelf = RankedLists.load(folder)
        RankedLists.write(folder, [(np.array(shelf.items), np.full_like(shelf.scores, np.nan))])


def facts_nan(field: str) -> Damage:
    def damage(bundle: Path) -> None:
        folder = bundle / precomputed.FOLDER / "facts"
        facts = artifacts.load(precomputed.ItemTables, folder)
        artifacts.save(replace(facts, **{field: np.full_like(getattr(facts, field), np.nan)}), folder)

    return damage


def people_nan(bundle: Path) -> None:
    folder = bundle / precomputed.FOLDER / "people"
    people = memmap.map_arrays(precomputed.UserTables, folder)
    arrays = {"tier": np.array(people.tier), "interests": np.array(people.interests)}
    memmap.save_arrays(precomputed.UserTables(factors=np.full_like(people.factors, np.nan), **arrays), folder)


def fold_outside(bundle: Path) -> None:
    folder = bundle / precomputed.FOLDER / "fold"
    fold = artifacts.load(SessionBoost, folder)
    artifacts.save(replace(fold, neighbours=fold.neighbours + 1000), folder)


def search_without_vectors(bundle: Path) -> None:
    folder = bundle / precomputed.FOLDER / "search"
    artifacts.save(replace(artifacts.load(SearchIndex, folder), tastes=np.zeros((1, 1), np.float32)), folder)


def campaigns_nan(bundle: Path) -> None:
    folder = bundle / precomputed.FOLDER / "campaigns"
    campaigns = artifacts.load(CampaignModel, folder)
    weights = np.full_like(campaigns.classifier.weights, np.nan)
    artifacts.save(replace(campaigns, classifier=replace(campaigns.classifier, weights=weights)), folder)


def model_lost(bundle: Path) -> None:
    """No bundle can be loaded; the pack is whole."""
    shutil.rmtree(bundle / "models" / "als")


FACTORS = (facts_nan("item_factors"), people_nan)
PRIOR, POPULARITY = facts_nan("prior"), facts_nan("popularity")


def broken(start: Opener, *damage: Damage) -> Caller:
    """A worker whose model is damaged."""

    def all_of_it(bundle: Path) -> None:
        for one in damage:
            one(bundle)

    return start(default=start.add("tierrec:broken", all_of_it))
