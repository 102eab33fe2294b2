"""What answers in microseconds: every known user's lists, factors and tier, precomputed and mapped from disk.

A bundle can answer for any history, but asks a dozen models to do it. A pack holds what they said of the known users
when the bundle was made, and the small tables from which the lower rungs of the ladder and the folding of fresh events
are computed. It lies in the bundle's folder and shares its fingerprint.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd

from tierrec_core.base import artifacts, memmap
from tierrec_core.base.contracts import ITEMS, BoolArray, FloatArray, IntArray
from tierrec_core.bundle.bundle import Bundle
from tierrec_core.bundle.cf_fallback import factors_of
from tierrec_core.bundle.event_weights import learned_weights
from tierrec_core.bundle.repurchase import RenewalPolicy
from tierrec_core.bundle.session_boost import SessionBoost
from tierrec_core.bundle.user_states import UserStates
from tierrec_core.bundle.user_tables import LastPurchases, RankedLists, SeenItems, UserIndex
from tierrec_core.features.item_content import ContentModel
from tierrec_core.propensity.campaigns import CampaignModel
from tierrec_core.propensity.churn import ChurnModel
from tierrec_core.ranking import Candidates
from tierrec_core.search.index import SearchIndex
from tierrec_core.search.similar_items import SimilarItems
from tierrec_core.settings import ServingSettings
from tierrec_core.tiers import TIER_NAMES, Tiering

_PROMOTED_SHARE = 0.05
FOLDER = "pack"


@dataclass(frozen=True)
class UserTables:
    """The known users, row by row.

    tier: index into TIER_NAMES, [U]; interests: P_u, [U, J]; factors: of collaborative filtering, [U, F]
    """

    tier: IntArray
    interests: FloatArray
    factors: FloatArray


@dataclass(frozen=True)
class ItemTables:
    """The items, and what holds for everybody.

    item_factors: [I, F]; prior: probability of each item by tier, [3, I]; popularity: share of recent events, [I]
    promoted: on promotion as of `now`, [I]; layers: names of the interest layers, [J]; target: what counts as success
    behaviour: what each event is worth as a sign of interest; intent: as a sign of what is wanted next
    fold_half_life_hours: see settings.Serving; now: end of what is known, in days
    blocked: columns of items that params.yaml shows to nobody, [B]
    """

    item_factors: FloatArray
    prior: FloatArray
    popularity: FloatArray
    promoted: BoolArray
    layers: tuple[str, ...]
    target: tuple[str, ...]
    behaviour: dict[str, float]
    intent: dict[str, float]
    fold_half_life_hours: float
    churn_calibration_error: float | None
    now: float
    blocked: IntArray = field(default_factory=lambda: np.zeros(0, np.int32))


@dataclass(frozen=True)
class PackageInputs:
    """What other stages trained, to be served too.

    calibration_error: of the churn risk on the test's days, None where it could not be judged
    items: the raw ITEMS frame, which describes the campaigns; exposures: the EXPOSURES frame
    candidates: of all known users, by task, as the bundle would choose them
    """

    churn: ChurnModel
    calibration_error: float | None
    campaigns: CampaignModel
    items: pd.DataFrame
    exposures: pd.DataFrame
    candidates: Mapping[str, Candidates]


@dataclass(frozen=True)
class Precomputed:
    """Everything precomputed, open for reading."""

    users: UserIndex
    met: SeenItems
    bought: LastPurchases
    shelves: Mapping[str, RankedLists]
    people: UserTables
    facts: ItemTables
    fold: SessionBoost
    renewal: RenewalPolicy
    search: SearchIndex
    content: ContentModel
    tiering: Tiering
    states: UserStates
    churn: ChurnModel
    campaigns: CampaignModel
    campaign_items: pd.DataFrame

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Open what `write` wrote. Raises ArtifactError when a part is missing or damaged."""
        return cls(
            users=UserIndex.load(folder / "users"),
            met=SeenItems.load(folder / "met"),
            bought=memmap.map_arrays(LastPurchases, folder / "bought"),
            shelves={path.name: RankedLists.load(path) for path in sorted((folder / "shelves").iterdir())},
            people=memmap.map_arrays(UserTables, folder / "people"),
            facts=artifacts.load(ItemTables, folder / "facts"),
            fold=artifacts.load(SessionBoost, folder / "fold"),
            renewal=artifacts.load(RenewalPolicy, folder / "renewal"),
            search=artifacts.load(SearchIndex, folder / "search"),
            content=artifacts.load(ContentModel, folder / "content"),
            tiering=artifacts.load(Tiering, folder / "tiering"),
            states=UserStates.load(folder / "states"),
            churn=artifacts.load(ChurnModel, folder / "churn"),
            campaigns=artifacts.load(CampaignModel, folder / "campaigns"),
            campaign_items=artifacts.read_frame(folder / "campaign_items.parquet", ITEMS),
        )

    @cached_property
    def cold(self) -> FloatArray:
        """What an empty history is ranked by, [I]."""
        return self.facts.popularity

    def prior_of(self, tier: str) -> FloatArray:
        """Probability of each item in a tier, [I]."""
        prior: FloatArray = self.facts.prior[TIER_NAMES.index(tier)]
        return prior


def write(bundle: Bundle, beside: PackageInputs, settings: ServingSettings, folder: Path) -> None:
    """Precompute everything from a bundle and what stands beside it into the folder."""
    history, items, target = bundle.history, bundle.items, bundle.target
    item_factors, encode = factors_of(bundle.models, history)
    tiering = next(iter(bundle.blends.values())).context.tiering
    UserIndex.of(map(str, history.users)).save(folder / "users")
    SeenItems.of(history).save(folder / "met")
    memmap.save_arrays(LastPurchases.of(history.filter_events(*target)), folder / "bought")
    for task in bundle.tasks:
        ranked = bundle.rank(task, history, beside.candidates[task], settings.shelf_depth)
        RankedLists.write(folder / "shelves" / task, [(ranked.items, ranked.scores)])
    people = UserTables(
        tiering.assign(history).astype(np.int8),
        tiering.interests_of(history).astype(np.float32),
        encode(history).astype(np.float32),
    )
    memmap.save_arrays(people, folder / "people")
    weights = learned_weights(history, target) | {str(name): one for name, one in settings.behaviour.items()}
    artifacts.save(
        ItemTables(
            item_factors=item_factors.astype(np.float32),
            prior=_prior(bundle, people.tier),
            popularity=_popularity(bundle),
            promoted=_promoted(beside.exposures, history.items, history.now),
            layers=tuple(tiering.layer_names),
            target=target,
            behaviour=weights,
            intent={
                name: one * (settings.fold_of_target if name in target else 1.0)
                for name, one in weights.items()
            },
            fold_half_life_hours=settings.fold_half_life_hours,
            churn_calibration_error=beside.calibration_error,
            now=history.now,
            blocked=bundle.known.policy.blocked,
        ),
        folder / "facts",
    )
    similar = SimilarItems.fit(history, items, item_factors)
    artifacts.save(_fold(similar, settings.fold_strength), folder / "fold")
    renewal = RenewalPolicy.fit(history, items["category"], RenewalPolicy.Config(), target)
    artifacts.save(renewal, folder / "renewal")
    artifacts.save(SearchIndex.fit(items, item_factors), folder / "search")
    artifacts.save(ContentModel.fit(items, item_factors, history), folder / "content")
    artifacts.save(tiering, folder / "tiering")
    UserStates.of(bundle.models, history).save(folder / "states")
    artifacts.save(beside.churn, folder / "churn")
    artifacts.save(beside.campaigns, folder / "campaigns")
    ids = beside.campaigns.campaigns.astype("string[pyarrow]")
    described = beside.items.drop_duplicates("item_id").set_index("item_id").reindex(ids)
    artifacts.write_frame(
        ITEMS.conform(described.rename_axis("item_id").reset_index(), "pack"),
        folder / "campaign_items.parquet",
    )


def _prior(bundle: Bundle, tier: IntArray) -> FloatArray:
    """Share of each tier's target events of the last four weeks that fall on each item, smoothed, [3, I]."""
    history = bundle.history.filter_events(*bundle.target)
    recent = history.where(history.age <= 28.0)
    count = np.zeros((len(TIER_NAMES), history.num_items))
    np.add.at(count, (tier[recent.user], recent.item), 1.0)
    overall = (count.sum(axis=0) + 1e-3) / (count.sum() + 1e-3 * history.num_items)
    smoothed = (count + 2000.0 * overall) / (count.sum(axis=1, keepdims=True) + 2000.0)
    prior: FloatArray = smoothed.astype(np.float32)
    return prior


def _popularity(bundle: Bundle) -> FloatArray:
    """Share of the target events of the last two weeks, [I]; of the whole log where those are empty."""
    history = bundle.history.filter_events(*bundle.target)
    recent = history.item[history.age <= 14.0]
    count = np.bincount(recent if len(recent) else history.item, minlength=history.num_items)
    share: FloatArray = (count / max(count.sum(), 1)).astype(np.float32)
    return share


def _promoted(exposures: pd.DataFrame, items: pd.Index, now: float) -> BoolArray:
    """Items that a share of the stores displayed or mailed in the last week that began before `now`, [I]."""
    moment = pd.Timestamp(now * 86_400, unit="s", tz="UTC")
    known = exposures[exposures["week"] <= moment]
    newest = known[known["week"] == known["week"].max()]
    shown = newest[(newest["display"] >= _PROMOTED_SHARE) | (newest["mailer"] >= _PROMOTED_SHARE)]
    return np.asarray(items.isin(shown["item_id"].astype(str)), dtype=bool)


def _fold(similar: SimilarItems, strength: float) -> SessionBoost:
    """Neighbours with weights relative to each item's nearest."""
    nearest = np.maximum(similar.weights.max(axis=1, keepdims=True), 1e-9)
    return SessionBoost(
        similar.neighbours, (similar.weights / nearest).clip(0, 1).astype(np.float32), strength
    )
