"""One release in a worker's memory: precomputed tables, models that are loaded on first use, and posted items."""

import copy
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from itertools import compress
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from services.catalogue import page_cursor
from services.catalogue.catalogue import Catalogue
from services.catalogue.columns import BOOLEAN, NUMBER, TIME
from services.releases.manifest import ReleaseManifest
from services.store.recent_events import RecentActivity, RecentEvent
from tierrec_core.base.artifacts import read_frame
from tierrec_core.base.contracts import ITEMS, BoolArray, FloatArray, IntArray
from tierrec_core.base.errors import DataError
from tierrec_core.bundle import precomputed
from tierrec_core.bundle.bundle import Bundle, read_header
from tierrec_core.bundle.repurchase import Override
from tierrec_core.bundle.session_boost import SessionBoost
from tierrec_core.data.interactions import Interactions, from_days
from tierrec_core.search.similar_items import SimilarItems

log = logging.getLogger(__name__)

_LATE_DAYS = 1.0


class _LazyBundle:
    """All models of a folder, loaded on first use; shared by the snapshots of one model."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._lock = folder, threading.Lock()
        self._bundle: Bundle | None = None

    def __call__(self) -> Bundle:
        with self._lock:
            if self._bundle is None:
                self._bundle = Bundle.load(self._folder)
            return self._bundle


class ServedModel:
    """A release and the items that it serves; immutable, `with_posted` returns a snapshot with more items.

    factors: of all items, those of posted items from their content, [I', F]
    popularity: share of recent events, estimated for posted items, [I']
    item_ids, titles, categories, hashes: of all items, as plain arrays, [I']
    campaigns: the campaigns as a catalogue of their own
    trained_until: earlier events of trained items are in the models; a day or two before the newest event of the
        training, since events arrive late and clocks are fast
    revision: of the newest posted item that it serves
    """

    item_ids: np.ndarray[Any, Any]
    titles: np.ndarray[Any, Any]
    categories: IntArray
    has_categories: bool
    hashes: IntArray

    def __init__(self, release: ReleaseManifest, folder: Path) -> None:
        """Open the bundle in the folder. Raises ArtifactError when a part is missing or damaged."""
        self.release = release
        _, self.task_configs = read_header(folder)
        self.precomputed = precomputed.Precomputed.load(folder / precomputed.FOLDER)
        items = read_frame(folder / "items.parquet", ITEMS)
        self.catalogue = Catalogue.of(items)
        self.campaigns = Catalogue.of(self.precomputed.campaign_items)
        tables = self.precomputed.item_tables
        self.factors, self.popularity = tables.item_factors, tables.popularity
        self.session_boost, self.search = self.precomputed.session_boost, self.precomputed.search
        self.trained_ids = pd.Index(items["item_id"].astype(object))
        self.trained_until = from_days(np.floor(tables.now - _LATE_DAYS)).to_pydatetime()
        self.revision = 0
        self._load_bundle = _LazyBundle(folder)
        self._repurchase_days: tuple[Mapping[str, Override], FloatArray] | None = None
        self._set_display_arrays()

    def is_fresh(self, event: RecentEvent) -> bool:
        """Whether the models may not know the event."""
        return event.at >= self.trained_until or event.item_id not in self.trained_ids

    @property
    def bundle(self) -> Bundle:
        """All models; the first call takes seconds to load them."""
        return self._load_bundle()

    def warm_up(self) -> None:
        """Load all models and rank once per task, so that lazy initialisation is done too."""
        bundle = self.bundle
        for task in self.precomputed.ranked_lists:
            bundle.recommend(task, bundle.visitor(self.item_ids[:1].tolist()), 1)

    @property
    def tier_names(self) -> tuple[str, ...]:
        """Names of the tiers, by ascending activity."""
        return self.precomputed.tiering.names

    @property
    def num_trained(self) -> int:
        """Number of items that the models know; the columns of posted items come after them."""
        return self.catalogue.num_trained

    @property
    def promoted(self) -> BoolArray:
        """The items that the surface ads may show: as posted, else as of the training, [I']."""
        promoted = np.zeros(len(self.catalogue.frame), bool)
        promoted[: self.num_trained] = self.precomputed.item_tables.promoted
        if "on_promotion" in self.catalogue.frame:
            posted = self.catalogue.frame["on_promotion"].astype("boolean")
            promoted = np.where(posted.notna(), posted.fillna(value=False).to_numpy(dtype=np.bool_), promoted)
        return promoted

    @property
    def obscurity(self) -> FloatArray:
        """0 for the most popular item to 1 for the least, [I']."""
        rank = np.argsort(np.argsort(-self.popularity, kind="stable"), kind="stable")
        return rank / max(len(rank) - 1, 1)

    def ids_and_titles(self, columns: IntArray, surface: str) -> tuple[list[str], list[str]]:
        """Ids and titles of these columns; on the surface campaigns, of campaigns."""
        if surface != "campaigns":
            return self.item_ids[columns].tolist(), self.titles[columns].tolist()
        shown = self.campaigns.frame.iloc[columns]
        return shown["item_id"].tolist(), shown["title"].fillna(shown["item_id"]).tolist()

    def repurchase_days(self, overrides: Mapping[str, Override]) -> FloatArray:
        """Days after its purchase for which each item is hidden; inf = permanently, [I']."""
        if self._repurchase_days is None or self._repurchase_days[0] is not overrides:
            days = self.precomputed.repurchase.waits(self.catalogue.frame["category"], overrides)
            self._repurchase_days = overrides, days
        return self._repurchase_days[1]

    def assign_tier(self, session: Sequence[tuple[str, str]]) -> str:
        """The tier of a user without a row, by their (item id, event) pairs, oldest first."""
        if not session:
            return self.tier_names[0]
        return self.tier_names[int(self.precomputed.tiering.assign(self.visitor_history(session))[0])]

    def visitor_history(self, session: Sequence[tuple[str, str]]) -> Interactions:
        """The history of a user without a row, by their (item id, event) pairs, oldest first; one row."""
        items, events = [item for item, _ in session], [event for _, event in session]
        return Interactions.from_history(items, self.trained_ids, self.precomputed.item_tables.now, events)

    def tier_prior(self, tier: str) -> FloatArray:
        """Probability of each item in a tier; for posted items their estimated popularity, [I']."""
        return np.concatenate([self.precomputed.prior_of(tier), self.popularity[self.num_trained :]])

    def with_posted(self, activity: RecentActivity, on_skip: Callable[[str, str], None] = lambda *_: None) -> Self:
        """Return the model with the items posted since its revision, with their attributes, and without deleted ones.

        on_skip: called with "items" and the reason for each item that cannot be applied
        """
        revision = activity.item_revision  # read first: an item posted in between is read twice, not skipped
        if revision == self.revision:
            return self
        snapshot, deleted, rows = (
            copy.copy(self),
            activity.items_deleted_since(self.revision),
            activity.items_since(self.revision),
        )
        snapshot.revision, snapshot._repurchase_days = revision, None
        item_ids = [row["item_id"] for row in rows]
        is_campaign, is_item = self.campaigns.columns(item_ids) >= 0, self.catalogue.columns(item_ids) >= 0
        campaigns, catalogue = self.campaigns.without(deleted), self.catalogue.without(deleted)
        snapshot.campaigns = _upsert(campaigns, list(compress(rows, is_campaign)), on_skip)
        snapshot.catalogue = _upsert(catalogue, list(compress(rows, is_item | ~is_campaign)), on_skip)
        added = snapshot.catalogue.frame.iloc[len(self.catalogue.frame) :]
        if len(added):
            snapshot._add_features(added)
        changed = snapshot.catalogue.columns(list(dict.fromkeys([*deleted, *item_ids])))
        columns = snapshot.catalogue.changed_since(self.catalogue.version)
        has_new_text = any(snapshot.catalogue.kinds[name] not in (NUMBER, BOOLEAN, TIME) for name in columns)
        changed = changed[changed >= (0 if has_new_text else len(self.catalogue))]
        if len(changed):
            snapshot._add_to_search(changed)
        if len(added) or columns & {"title", "category"}:
            snapshot._set_display_arrays()
        return snapshot

    def _set_display_arrays(self) -> None:
        frame = self.catalogue.frame
        self.item_ids = frame["item_id"].to_numpy(object)
        self.titles = frame["title"].fillna(frame["item_id"]).to_numpy(object)
        self.categories = pd.factorize(frame["category"].fillna("unknown"))[0]
        self.has_categories = bool(self.categories.any())  # more than one
        self.hashes = page_cursor.hash_ids(self.item_ids)

    def _add_to_search(self, changed: IntArray) -> None:
        try:
            self.search = self.search.with_items(self.catalogue.frame.iloc[changed], changed)
        except Exception as error:  # the other surfaces do not need the search index
            log.error("posted items cannot be searched: %s", type(error).__name__)

    def _add_features(self, added: pd.DataFrame) -> None:
        """Estimate factors, popularity and neighbours of new items from their content; zeros and none if that fails."""
        count, width = len(added), self.session_boost.neighbours.shape[1]
        vectors, popularity = np.zeros((count, self.factors.shape[1]), np.float32), np.zeros(count, np.float32)
        neighbours: IntArray = np.full((count, 1), -1, np.int32)
        similarity = np.zeros((count, 1), np.float32)
        content, boost = self.precomputed.content, self.session_boost
        try:
            vectors = content.vectors(added).astype(np.float32)
            popularity = content.popularity(added).astype(np.float32)
            neighbours, weights = SimilarItems(boost.neighbours, boost.similarity).of_unseen(vectors, self.factors)
            similarity = (weights / np.maximum(weights.max(axis=1, keepdims=True), 1e-9)).astype(np.float32)
        except Exception as error:  # the other items do not need these estimates
            log.error("posted items have no similar items: %s", type(error).__name__)
        self.factors = np.concatenate([self.factors, vectors])
        self.popularity = np.concatenate([self.popularity, popularity])
        self.session_boost = SessionBoost(
            np.concatenate([boost.neighbours, _resize(neighbours, width, -1)]),
            np.concatenate([boost.similarity, _resize(similarity, width, 0.0)]),
            boost.strength,
        )


def _upsert(catalogue: Catalogue, rows: Sequence[Mapping[str, Any]], on_skip: Callable[[str, str], None]) -> Catalogue:
    """The catalogue with these rows; attributes that it cannot hold are left out, their rows found by halving."""
    try:
        return catalogue.with_items(rows)
    except Exception as error:  # whatever is stored, the other items are served
        if len(rows) <= 1:
            reduced = [_without_misfits(catalogue, row, on_skip) for row in rows]
            if reduced != list(rows):
                return _upsert(catalogue, reduced, on_skip)
            on_skip("items", _reason(error))
            return catalogue
    middle = len(rows) // 2
    return _upsert(_upsert(catalogue, rows[:middle], on_skip), rows[middle:], on_skip)


def _without_misfits(
    catalogue: Catalogue, row: Mapping[str, Any], on_skip: Callable[[str, str], None]
) -> Mapping[str, Any]:
    """The row without the attributes that the catalogue cannot hold."""
    kept = {"item_id": row["item_id"]}
    for name, value in row.items():
        try:
            catalogue.check([kept | {name: value}])
        except Exception as error:  # as above
            on_skip("items", _reason(error))
        else:
            kept[name] = value
    return kept


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, DataError) else type(error).__name__


def _resize(table: Any, width: int, padding: float) -> Any:
    """The table [N, any] cut or padded to [N, width]."""
    resized = np.full((len(table), width), padding, table.dtype)
    resized[:, : table.shape[1]] = table[:, :width]
    return resized
