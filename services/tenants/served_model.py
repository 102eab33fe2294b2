"""One release in a worker's memory: its pack at once, all its models when first asked, and items posted since."""

import copy
import logging
import threading
from collections.abc import Mapping, Sequence
from itertools import compress
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from services.catalogue import page_cursor
from services.catalogue.catalogue import Catalogue
from services.releases.manifest import ReleaseManifest
from services.store.recent_events import RecentActivity
from tierrec_core.base.artifacts import read_frame
from tierrec_core.base.contracts import ITEMS, BoolArray, FloatArray, IntArray
from tierrec_core.base.errors import DataError
from tierrec_core.bundle import precomputed as packs
from tierrec_core.bundle.bundle import Bundle, read_header
from tierrec_core.bundle.repurchase import Override
from tierrec_core.bundle.session_boost import SessionBoost
from tierrec_core.data.interactions import Interactions, from_days
from tierrec_core.search.similar_items import SimilarItems

log = logging.getLogger(__name__)


class _Bundle:
    """All models of a folder, read when first asked for; shared by the snapshots of one model."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._lock = folder, threading.Lock()
        self._read: Bundle | None = None

    def __call__(self) -> Bundle:
        with self._lock:
            if self._read is None:
                self._read = Bundle.load(self._folder)
            return self._read


class ServedModel:
    """A release and the items that it shows; `with_posted` gives a snapshot that shows more. Nothing in it changes.

    factors: of all items, those posted live by their content, [I', F]
    popularity: share of recent events, for posted items a guess, [I']
    item_ids, titles, categories, hashes: what lists show of items, as plain arrays, [I']
    campaigns: the campaigns as a catalogue of their own
    revision: of the newest post of an item that it shows
    """

    item_ids: np.ndarray[Any, Any]
    titles: np.ndarray[Any, Any]
    categories: IntArray
    hashes: IntArray

    def __init__(self, release: ReleaseManifest, folder: Path) -> None:
        """Open the bundle in the folder. Raises ArtifactError when a part is missing or damaged."""
        self.release = release
        _, self.task_configs = read_header(folder)
        self.pack = packs.Precomputed.load(folder / packs.FOLDER)
        items = read_frame(folder / "items.parquet", ITEMS)
        self.catalogue = Catalogue.of(items)
        self.campaigns = Catalogue.of(self.pack.campaign_items)
        self.factors, self.popularity = self.pack.item_tables.item_factors, self.pack.item_tables.popularity
        self.fold, self.search = self.pack.session_boost, self.pack.search
        self.trained_ids = pd.Index(items["item_id"].astype(object))
        self.since = from_days(self.pack.item_tables.now).to_pydatetime()
        self.revision = 0
        self._read_bundle = _Bundle(folder)
        self._waits: tuple[Mapping[str, Override], FloatArray] | None = None
        self._describe()

    @property
    def bundle(self) -> Bundle:
        """All models; the first caller waits for seconds while they are read."""
        return self._read_bundle()

    def warm(self) -> None:
        """Read all models, and let them answer once: what they load when first used is loaded then."""
        bundle = self.bundle
        for task in self.pack.ranked_lists:
            bundle.recommend(task, bundle.visitor(self.item_ids[:1].tolist()), 1)

    @property
    def tier_names(self) -> tuple[str, ...]:
        """Names of the tiers, by ascending activity."""
        return self.pack.tiering.names

    @property
    def num_trained(self) -> int:
        """Items that the models know: the columns before those that were posted live."""
        return self.catalogue.num_trained

    @property
    def promoted(self) -> BoolArray:
        """Which items the surface ads may show: as was posted, else as known when the model was made, [I']."""
        known = np.zeros(len(self.catalogue.frame), bool)
        known[: self.num_trained] = self.pack.item_tables.promoted
        if "on_promotion" not in self.catalogue.frame:
            return known
        posted = self.catalogue.frame["on_promotion"].astype("boolean")
        is_told = posted.notna().to_numpy()
        return np.where(is_told, posted.fillna(value=False).to_numpy(dtype=np.bool_), known)

    @property
    def obscurity(self) -> FloatArray:
        """0 for the most popular item to 1 for the least, [I']."""
        place = np.argsort(np.argsort(-self.popularity, kind="stable"), kind="stable")
        return place / max(len(place) - 1, 1)

    def described(self, columns: IntArray, surface: str) -> tuple[list[str], list[str]]:
        """Ids and titles of what a page of the surface shows."""
        if surface != "campaigns":
            return self.item_ids[columns].tolist(), self.titles[columns].tolist()
        shown = self.campaigns.frame.iloc[columns]
        return shown["item_id"].tolist(), shown["title"].fillna(shown["item_id"]).tolist()

    def waits(self, overrides: Mapping[str, Override]) -> FloatArray:
        """For how many days after its purchase each item is not shown; inf = never again, [I']."""
        if self._waits is None or self._waits[0] is not overrides:
            self._waits = overrides, self.pack.repurchase.waits(self.catalogue.frame["category"], overrides)
        return self._waits[1]

    def tier_of(self, visit: Sequence[tuple[str, str]]) -> str:
        """The tier of somebody who has no row, by their (item id, event) pairs, oldest first."""
        if not visit:
            return self.tier_names[0]
        return self.tier_names[int(self.pack.tiering.assign(self.visitor(visit))[0])]

    def visitor(self, visit: Sequence[tuple[str, str]]) -> Interactions:
        """The history of somebody who has no row, by their (item id, event) pairs, oldest first; one row."""
        items, events = [item for item, _ in visit], [event for _, event in visit]
        return Interactions.from_history(items, self.trained_ids, self.pack.item_tables.now, events)

    def prior_of(self, tier: str) -> FloatArray:
        """Probability of each item in a tier; posted items have their guess, [I']."""
        return np.concatenate([self.pack.prior_of(tier), self.popularity[self.num_trained :]])

    def with_posted(self, live: RecentActivity) -> Self:
        """The same model that shows what was posted too, with the facts that were posted of it."""
        revision = live.item_revision  # before the items: what comes in between is taken over twice, not never
        if revision == self.revision:
            return self
        grown, rows = copy.copy(self), live.items_since(self.revision)
        grown.revision, grown._waits = revision, None
        names = [row["item_id"] for row in rows]
        is_campaign, is_item = self.campaigns.columns(names) >= 0, self.catalogue.columns(names) >= 0
        grown.campaigns = _upserted(self.campaigns, list(compress(rows, is_campaign)))
        grown.catalogue = _upserted(self.catalogue, list(compress(rows, is_item | ~is_campaign)))
        added = grown.catalogue.frame.iloc[len(self.catalogue.frame) :]
        if len(added):
            grown._learn(added)
        changed = grown.catalogue.columns(list(dict.fromkeys(row["item_id"] for row in rows)))
        grown._index(changed[changed >= 0])
        grown._describe()
        return grown

    def _describe(self) -> None:
        """What a list shows of items, as arrays of plain objects: ids, titles, categories, hashes of ids, all [I']."""
        frame = self.catalogue.frame
        self.item_ids = frame["item_id"].to_numpy(object)
        self.titles = frame["title"].fillna(frame["item_id"]).to_numpy(object)
        self.categories = pd.factorize(frame["category"].fillna("unknown"))[0]
        self.hashes = page_cursor.hash_ids(self.item_ids)

    def _index(self, changed: IntArray) -> None:
        """Let the search find these columns by what is written of them now."""
        try:
            self.search = self.search.with_items(self.catalogue.frame.iloc[changed], changed)
        except Exception as error:  # lists without the search are better than none
            log.error("posted items cannot be searched: %s", type(error).__name__)

    def _learn(self, added: pd.DataFrame) -> None:
        """Factors, popularity and neighbours of new items, from what they are; none where that fails."""
        count, width = len(added), self.fold.neighbours.shape[1]
        vectors, popularity = (np.zeros((count, self.factors.shape[1]), np.float32), np.zeros(count, np.float32))
        neighbours: IntArray = np.full((count, 1), -1, np.int32)
        likeness = np.zeros((count, 1), np.float32)
        try:
            vectors = self.pack.content.vectors(added).astype(np.float32)
            popularity = self.pack.content.popularity(added).astype(np.float32)
            similar = SimilarItems(self.fold.neighbours, self.fold.similarity)
            neighbours, weights = similar.of_unseen(vectors, self.factors)
            likeness = (weights / np.maximum(weights.max(axis=1, keepdims=True), 1e-9)).astype(np.float32)
        except Exception as error:  # lists without the new items' likes are better than none
            log.error("posted items have no likes: %s", type(error).__name__)
        self.factors = np.concatenate([self.factors, vectors])
        self.popularity = np.concatenate([self.popularity, popularity])
        self.fold = SessionBoost(
            np.concatenate([self.fold.neighbours, _fit(neighbours, width, -1)]),
            np.concatenate([self.fold.similarity, _fit(likeness, width, 0.0)]),
            self.fold.strength,
        )


def _upserted(catalogue: Catalogue, rows: Sequence[Mapping[str, Any]]) -> Catalogue:
    """The catalogue after these rows; one that holds what a column cannot is passed over without the others."""
    try:
        return catalogue.with_items(rows)
    except DataError:
        for row in rows:
            try:
                catalogue = catalogue.with_items([row])
            except DataError as error:
                log.error("a posted item is passed over: %s", error)
        return catalogue


def _fit(table: Any, width: int, padding: float) -> Any:
    """The table [N, any] as [N, width]."""
    fitted = np.full((len(table), width), padding, table.dtype)
    kept = min(width, table.shape[1])
    fitted[:, :kept] = table[:, :kept]
    return fitted
