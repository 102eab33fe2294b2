"""Precomputed data of the service: ranked lists, factors and tables, memory-mapped from disk.

A bundle ranks any history, but scores it with every model. Packaging scores all known users once and adds the tables
of the fallback strategies and the session boost. Each part has a subfolder of the bundle's folder.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar, get_type_hints

import numpy as np
import pandas as pd

from tierrec_core.base import artifacts, memmap
from tierrec_core.base.contracts import ITEMS, BoolArray, FloatArray, IntArray
from tierrec_core.bundle.bundle import Bundle
from tierrec_core.bundle.cf_fallback import find_factors
from tierrec_core.bundle.event_weights import learn_event_weights
from tierrec_core.bundle.repurchase import RepurchasePolicy
from tierrec_core.bundle.session_boost import SessionBoost
from tierrec_core.bundle.user_states import UserStates
from tierrec_core.bundle.user_tables import LastPurchases, RankedLists, SeenItems, UserIndex, UserTables
from tierrec_core.features.item_content import ContentModel
from tierrec_core.models.popularity import Popularity
from tierrec_core.models.tier_prior import TierPrior
from tierrec_core.propensity.campaigns import CampaignModel
from tierrec_core.propensity.churn import ChurnModel
from tierrec_core.protocols.model import Training
from tierrec_core.ranking import Candidates
from tierrec_core.search.index import SearchIndex
from tierrec_core.search.similar_items import SimilarItems
from tierrec_core.settings import ServingSettings
from tierrec_core.tiers import Tiering

FOLDER = "precomputed"

_PROMOTED_SHARE = 0.05
_MAPPED = (UserIndex, SeenItems, LastPurchases, UserTables)

M = TypeVar("M", Popularity, TierPrior)


@dataclass(frozen=True)
class ItemTables:
    """Per-item arrays, and constants of the bundle.

    item_factors: [I, F]; prior: probability of each item by tier, [T, I]; popularity: share of recent events, [I]
    promoted: on promotion as of `now`, [I]; layers: names of the interest layers, [J]; target: names of target events
    boost_weights: weight of each event in the session boost, which halves every boost_half_life_hours
    now: end of the history, in days since 1970 UTC
    blocked: columns of items that params.yaml blocks for all users, [B]
    """

    item_factors: FloatArray
    prior: FloatArray
    popularity: FloatArray
    promoted: BoolArray
    layers: tuple[str, ...]
    target: tuple[str, ...]
    boost_weights: dict[str, float]
    boost_half_life_hours: float
    churn_calibration_error: float | None
    now: float
    blocked: IntArray = field(default_factory=lambda: np.zeros(0, np.int32))


@dataclass(frozen=True)
class PackageInputs:
    """Extra artefacts packaged with the models.

    calibration_error: of the churn risk on the test days, None if it could not be measured
    items: the raw ITEMS frame, which describes the campaigns; exposures: the EXPOSURES frame
    candidates: of all known users, by task, as the bundle would retrieve them
    """

    churn: ChurnModel
    calibration_error: float | None
    campaigns: CampaignModel
    items: pd.DataFrame
    exposures: pd.DataFrame
    candidates: Mapping[str, Candidates]


@dataclass(frozen=True)
class Precomputed:
    """All precomputed parts of one bundle; ranked_lists by task."""

    users: UserIndex
    seen_items: SeenItems
    last_purchases: LastPurchases
    user_tables: UserTables
    ranked_lists: Mapping[str, RankedLists]
    user_states: UserStates
    item_tables: ItemTables
    session_boost: SessionBoost
    repurchase: RepurchasePolicy
    search: SearchIndex
    content: ContentModel
    tiering: Tiering
    churn: ChurnModel
    campaigns: CampaignModel
    campaign_items: pd.DataFrame

    @classmethod
    def of(cls, bundle: Bundle, inputs: PackageInputs, settings: ServingSettings) -> Self:
        """Compute every part from the bundle and the extra artefacts."""
        history, tiering = bundle.history, bundle.tiering
        item_factors, encode = find_factors(bundle.models, history)
        ranked = {
            task: bundle.rank(task, history, inputs.candidates[task], settings.ranked_list_length)
            for task in bundle.tasks
        }
        similar = SimilarItems.fit(history, bundle.items, item_factors)
        repurchase = RepurchasePolicy.fit(history, bundle.items["category"], RepurchasePolicy.Config(), bundle.target)
        campaign_ids = inputs.campaigns.campaigns.astype("string[pyarrow]")
        described = inputs.items.drop_duplicates("item_id").set_index("item_id").reindex(campaign_ids)
        return cls(
            users=UserIndex.of(map(str, history.users)),
            seen_items=SeenItems.of(history),
            last_purchases=LastPurchases.of(history.filter_events(*bundle.target)),
            user_tables=UserTables(
                tiering.assign(history).astype(np.int8),
                tiering.interests_of(history).astype(np.float32),
                encode(history).astype(np.float32),
            ),
            ranked_lists={task: RankedLists(lists.items, lists.scores) for task, lists in ranked.items()},
            user_states=UserStates.of(bundle.models, history),
            item_tables=_item_tables(bundle, inputs, settings, item_factors),
            session_boost=SessionBoost.of(similar, settings.boost_strength),
            repurchase=repurchase,
            search=SearchIndex.fit(bundle.items, item_factors),
            content=ContentModel.fit(bundle.items, item_factors, history),
            tiering=tiering,
            churn=inputs.churn,
            campaigns=inputs.campaigns,
            campaign_items=ITEMS.conform(described.rename_axis("item_id").reset_index(), "campaigns"),
        )

    def save(self, folder: Path) -> None:
        """Write every part to the folder. Raises ArtifactError when the disk is full or not writable."""
        for name, kind in _PARTS.items():
            save = memmap.save_arrays if kind in _MAPPED else artifacts.save
            save(getattr(self, name), folder / name)
        for task, lists in self.ranked_lists.items():
            memmap.save_arrays(lists, folder / "ranked_lists" / task)
        self.user_states.save(folder / "user_states")
        artifacts.write_frame(self.campaign_items, folder / "campaign_items.parquet")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Open what `save` wrote. Raises ArtifactError when a part is missing or damaged."""
        parts = {
            name: memmap.map_arrays(kind, folder / name) if kind in _MAPPED else artifacts.load(kind, folder / name)
            for name, kind in _PARTS.items()
        }
        return cls(
            ranked_lists={
                path.name: memmap.map_arrays(RankedLists, path) for path in sorted((folder / "ranked_lists").iterdir())
            },
            user_states=UserStates.load(folder / "user_states"),
            campaign_items=artifacts.read_frame(folder / "campaign_items.parquet", ITEMS),
            **parts,
        )

    def prior_of(self, tier: str) -> FloatArray:
        """Probability of each item in a tier, [I]."""
        return np.asarray(self.item_tables.prior[self.tiering.names.index(tier)])


_PARTS: Mapping[str, type[Any]] = {
    name: kind
    for name, kind in get_type_hints(Precomputed).items()
    if name not in ("ranked_lists", "user_states", "campaign_items")
}


def _item_tables(
    bundle: Bundle, inputs: PackageInputs, settings: ServingSettings, item_factors: FloatArray
) -> ItemTables:
    history, target = bundle.history, bundle.target
    configured = {str(name): weight for name, weight in settings.event_weights.items()}
    weights = learn_event_weights(history, target) | configured
    return ItemTables(
        item_factors=item_factors.astype(np.float32),
        prior=_model_of(bundle, TierPrior).probability,
        popularity=_popularity(bundle),
        promoted=_promoted(inputs.exposures, history.items, history.now),
        layers=bundle.tiering.layers.names,
        target=target,
        boost_weights={
            name: weight * (settings.target_boost_share if name in target else 1.0) for name, weight in weights.items()
        },
        boost_half_life_hours=settings.boost_half_life_hours,
        churn_calibration_error=inputs.calibration_error,
        now=history.now,
        blocked=bundle.known.policy.blocked,
    )


def _popularity(bundle: Bundle) -> FloatArray:
    """Share of the target events of each item, [I].

    If the window has no events, all events of the history are counted.
    """
    share = _model_of(bundle, Popularity).share
    if share.any():
        return share
    config = Popularity.Config(window_days=float(bundle.history.age.max(initial=0.0)) + 1.0)
    return Popularity.fit(_training(bundle), config).share


def _model_of(bundle: Bundle, kind: type[M]) -> M:
    """The bundle's first model of this class, or one with the default options if params.yaml has none."""
    for model in bundle.models.values():
        if isinstance(model, kind):
            return model
    return kind.fit(_training(bundle), kind.Config())


def _training(bundle: Bundle) -> Training:
    """The bundle's history for a model that draws no random numbers."""
    return Training(bundle.history, bundle.items, bundle.tiering, bundle.target, seed=0)


def _promoted(exposures: pd.DataFrame, items: pd.Index, now: float) -> BoolArray:
    """Items that enough of the stores displayed or mailed in the last week that began before `now`, [I]."""
    moment = pd.Timestamp(now * 86_400, unit="s", tz="UTC")
    known = exposures[exposures["week"] <= moment]
    newest = known[known["week"] == known["week"].max()]
    shown = newest[(newest["display"] >= _PROMOTED_SHARE) | (newest["mailer"] >= _PROMOTED_SHARE)]
    return np.asarray(items.isin(shown["item_id"].astype(str)), dtype=bool)
