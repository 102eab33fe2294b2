"""Everything the service looks up instead of computing: ranked lists, factors and tables, mapped from disk.

A bundle ranks any history, but scores it with every model. `write` scores all known users once, when the bundle is
packaged, and adds the small tables that the fallback strategies and the session boost need. The files lie in the
bundle's folder and share its fingerprint.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TypeVar

import numpy as np
import pandas as pd

from tierrec_core.base import artifacts, memmap
from tierrec_core.base.contracts import ITEMS, BoolArray, FloatArray, IntArray
from tierrec_core.bundle.bundle import Bundle
from tierrec_core.bundle.cf_fallback import find_factors
from tierrec_core.bundle.event_weights import learn_event_weights
from tierrec_core.bundle.repurchase import RenewalPolicy
from tierrec_core.bundle.session_boost import SessionBoost
from tierrec_core.bundle.user_states import UserStates
from tierrec_core.bundle.user_tables import LastPurchases, RankedLists, SeenItems, UserIndex
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

FOLDER = "pack"

_PROMOTED_SHARE = 0.05

M = TypeVar("M", Popularity, TierPrior)


@dataclass(frozen=True)
class UserTables:
    """Per-user arrays, row by row.

    tier: index into the tiering's names, [U]; interests: P_u, [U, J]; factors: collaborative factors, [U, F]
    """

    tier: IntArray
    interests: FloatArray
    factors: FloatArray


@dataclass(frozen=True)
class ItemTables:
    """Per-item arrays, and constants of the whole bundle.

    item_factors: [I, F]; prior: probability of each item by tier, [T, I]; popularity: share of recent events, [I]
    promoted: on promotion as of `now`, [I]; layers: names of the interest layers, [J]; target: names of target events
    behaviour: weight of each event as a sign of interest; intent: weight of each event in the session boost
    fold_half_life_hours: see ServingSettings; now: end of the history, in days since 1970 UTC
    blocked: columns of items that params.yaml blocks for all users, [B]
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
    """All precomputed parts of one bundle, opened for reading; ranked_lists by task."""

    users: UserIndex
    seen: SeenItems
    last_purchases: LastPurchases
    ranked_lists: Mapping[str, RankedLists]
    user_tables: UserTables
    item_tables: ItemTables
    session_boost: SessionBoost
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
        lists = sorted((folder / "shelves").iterdir())
        return cls(
            users=UserIndex.load(folder / "users"),
            seen=SeenItems.load(folder / "met"),
            last_purchases=memmap.map_arrays(LastPurchases, folder / "bought"),
            ranked_lists={path.name: RankedLists.load(path) for path in lists},
            user_tables=memmap.map_arrays(UserTables, folder / "people"),
            item_tables=artifacts.load(ItemTables, folder / "facts"),
            session_boost=artifacts.load(SessionBoost, folder / "fold"),
            renewal=artifacts.load(RenewalPolicy, folder / "renewal"),
            search=artifacts.load(SearchIndex, folder / "search"),
            content=artifacts.load(ContentModel, folder / "content"),
            tiering=artifacts.load(Tiering, folder / "tiering"),
            states=UserStates.load(folder / "states"),
            churn=artifacts.load(ChurnModel, folder / "churn"),
            campaigns=artifacts.load(CampaignModel, folder / "campaigns"),
            campaign_items=artifacts.read_frame(folder / "campaign_items.parquet", ITEMS),
        )

    def prior_of(self, tier: str) -> FloatArray:
        """Probability of each item in a tier, [I]."""
        prior: FloatArray = self.item_tables.prior[self.tiering.names.index(tier)]
        return prior


def precompute(bundle: Bundle, inputs: PackageInputs, settings: ServingSettings, folder: Path) -> None:
    """Compute every part from the bundle and the extra artefacts, and write it to the folder."""
    history, tiering = bundle.history, bundle.tiering
    item_factors, encode = find_factors(bundle.models, history)
    for task in bundle.tasks:
        ranked = bundle.rank(task, history, inputs.candidates[task], settings.ranked_list_length)
        RankedLists.write(folder / "shelves" / task, [(ranked.items, ranked.scores)])
    UserIndex.of(map(str, history.users)).save(folder / "users")
    SeenItems.of(history).save(folder / "met")
    memmap.save_arrays(LastPurchases.of(history.filter_events(*bundle.target)), folder / "bought")
    memmap.save_arrays(
        UserTables(
            tiering.assign(history).astype(np.int8),
            tiering.interests_of(history).astype(np.float32),
            encode(history).astype(np.float32),
        ),
        folder / "people",
    )
    UserStates.of(bundle.models, history).save(folder / "states")
    artifacts.save(_item_tables(bundle, inputs, settings, item_factors), folder / "facts")
    similar = SimilarItems.fit(history, bundle.items, item_factors)
    artifacts.save(SessionBoost.of(similar, settings.boost_strength), folder / "fold")
    renewal = RenewalPolicy.fit(history, bundle.items["category"], RenewalPolicy.Config(), bundle.target)
    artifacts.save(renewal, folder / "renewal")
    artifacts.save(SearchIndex.fit(bundle.items, item_factors), folder / "search")
    artifacts.save(ContentModel.fit(bundle.items, item_factors, history), folder / "content")
    artifacts.save(tiering, folder / "tiering")
    artifacts.save(inputs.churn, folder / "churn")
    artifacts.save(inputs.campaigns, folder / "campaigns")
    ids = inputs.campaigns.campaigns.astype("string[pyarrow]")
    described = inputs.items.drop_duplicates("item_id").set_index("item_id").reindex(ids)
    campaign_items = ITEMS.conform(described.rename_axis("item_id").reset_index(), "pack")
    artifacts.write_frame(campaign_items, folder / "campaign_items.parquet")


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
        layers=tuple(bundle.tiering.layer_names),
        target=target,
        behaviour=weights,
        intent={
            name: weight * (settings.target_boost_share if name in target else 1.0) for name, weight in weights.items()
        },
        fold_half_life_hours=settings.boost_half_life_hours,
        churn_calibration_error=inputs.calibration_error,
        now=history.now,
        blocked=bundle.known.policy.blocked,
    )


def _popularity(bundle: Bundle) -> FloatArray:
    """Share of the target events of each item, [I].

    A window without events ranks nothing, so the whole history counts instead.
    """
    share = _model_of(bundle, Popularity).share
    if share.any():
        return share
    whole = Popularity.Config(window_days=float(bundle.history.age.max(initial=0.0)) + 1.0)
    return Popularity.fit(_training(bundle), whole).share


def _model_of(bundle: Bundle, kind: type[M]) -> M:
    """The bundle's first model of this class, or one with the default options where params.yaml trains none."""
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
