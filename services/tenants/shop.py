"""One tenant: its folder, store, models and configuration. Shops share nothing."""

import asyncio
import gc
import logging
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from services.auth.keys import FILE as KEYS
from services.auth.keys import LiveKeyring
from services.observability.access_log import JsonLog, log_secret, pseudonym
from services.observability.metrics import ShopMetrics
from services.releases.pointer import FILE as POINTER
from services.releases.pointer import Pointer, Side
from services.shared_files import FileWatcher, file_signature, keep_as_last_valid, read_or_last_valid
from services.store import Store
from services.store.impressions import ImpressionRetention, ImpressionWriter
from services.store.recent_events import RecentActivity
from services.store.upkeep import ErasureCompletion
from services.tenants.background import BackgroundJob, Bulkhead, OverloadError
from services.tenants.configuration import LiveConfiguration
from services.tenants.served_model import ServedModel
from tierrec_core.base.errors import TierRecError
from tierrec_core.settings import Params

log = logging.getLogger(__name__)

FEEDBACK = "feedback.db"
IMPRESSION_DAYS = 365
_CLOSE_SECONDS = 30.0
_PATIENCE_SECONDS = 1.0
_PROBE_SECONDS = 2.0
# Calls that run, and that wait. Lists compute, and more threads would keep the event loop from the interpreter.
_THREADS = {
    "lists": (2, 512),
    "batches": (1, 4),  # of lists, which take seconds
    "look-ups": (4, 512),
    "reads": (4, 64),
    "writes": (4, 64),
    "item writes": (1, 64),  # one after the other, and each changes the catalogue
    "probes": (1, 1),
}

Loader = Callable[[str], ServedModel]


class ShopSettings(Params):
    """One shop. folder: its state folder, which no other shop may use; store_url: default SQLite in the folder

    bento: the tag that serves until a pointer names another; default the Bento that runs
    impression_days: retention of impressions, and so how far back experiments, rollouts and reports look
    """

    folder: Path
    store_url: str = ""
    bento: str = ""
    impression_days: Annotated[int, Field(ge=1, le=36_500)] = IMPRESSION_DAYS


@dataclass(frozen=True)
class ActiveModels:
    """The models that serve now, and the pointer that names them."""

    champion: ServedModel
    challenger: ServedModel | None = None
    pointer: Pointer | None = None

    @property
    def loaded(self) -> list[ServedModel]:
        """Champion and, if there is one, challenger."""
        return [self.champion] if self.challenger is None else [self.champion, self.challenger]

    def with_posted(self, activity: RecentActivity, on_skip: Callable[[str, str], None]) -> "ActiveModels":
        """Return the models with the items posted since; on_skip: as for ServedModel.with_posted, of the champion."""
        challenger = self.challenger.with_posted(activity) if self.challenger else None
        return ActiveModels(self.champion.with_posted(activity, on_skip), challenger, self.pointer)


class Shop:
    """Serves the requests of one shop in one worker.

    load: returns the model of a Bento's tag; own_bento: the default of the setting bento
    patience: seconds for which a request waits for each kind of change to be applied
    items_lock: held while items are checked against the catalogue, stored, and added to it
    """

    def __init__(
        self,
        name: str,
        settings: ShopSettings,
        *,
        load: Loader,
        own_bento: str,
        metrics: ShopMetrics,
        patience: float = _PATIENCE_SECONDS,
    ) -> None:
        """Open the store, load the models that the pointer names, and add the items posted so far."""
        folder = settings.folder
        folder.mkdir(parents=True, exist_ok=True)
        self.name, self.folder, self.metrics, self._patience = name, folder, metrics, patience
        self._load, self._own_bento, self._default_bento = load, own_bento, settings.bento or own_bento
        self.keys = LiveKeyring(folder / KEYS)
        self.secret = log_secret(folder)
        self.request_log = JsonLog.to(sys.stderr, self.secret, f"tierrec.{name}")
        self.store = Store.open(settings.store_url or f"sqlite:///{folder / FEEDBACK}", folder, may_be_away=True)
        self._pointer_watcher = FileWatcher(folder / POINTER)
        self._pointer_watcher.changed()
        self.models = self._load_at_start()
        since = min(model.trained_until for model in self.models.loaded)
        self.activity = RecentActivity(
            self.store, since, self.hash_user, is_trained=self._is_trained, on_skip=self._skip
        )
        self._models_lock, self._swap_lock, self.items_lock = threading.Lock(), threading.Lock(), threading.Lock()
        self.add_posted_items()
        self.configuration = LiveConfiguration(folder, lambda: self.models.champion, metrics.count_swap)
        self._keys = BackgroundJob(f"keys-{name}", self.keys, self._are_keys_current)
        self._files = BackgroundJob(f"files-{name}", self._refresh_files, self._are_files_current)
        self._rows = BackgroundJob(f"store-{name}", self.refresh_store, lambda: self.activity.is_current)
        self._items = BackgroundJob(f"items-{name}", self.add_posted_items, self._are_items_current)
        pools = [Bulkhead(part, *limits) for part, limits in _THREADS.items()]
        self.lists, self.batches, self.look_ups, self.reads, self.writes, self.item_writes, self._probes = pools
        self._background: list[BackgroundJob | Bulkhead] = [self._keys, self._files, self._rows, self._items, *pools]
        self.impressions = ImpressionWriter(self.store, metrics.count_dropped_impressions, hash_user=self.hash_user)
        self._retention = ImpressionRetention(self.store, settings.impression_days)
        self._erasures = ErasureCompletion(self.store)
        self._loaders, self.is_warm = list[threading.Thread](), False
        self._start_loader(self._warm_up)
        self._report_models()

    async def catch_up(self) -> None:
        """Apply what has changed since the last request: keys, pointer, rules, events, users, items.

        It is read in other threads. What takes long goes on there while requests are served from memory, as they are
        while the store does not answer.
        """
        is_read = self._are_keys_current() and self._are_files_current() and self.activity.is_current
        if not (is_read and self._are_items_current()):
            await self._keys.catch_up(self._patience)  # first, and whatever the other files do
            await self._files.catch_up(self._patience)
            await self._rows.catch_up(0.0 if self.activity.is_away else self._patience)
            await self._items.catch_up(self._patience)

    def refresh_store(self) -> None:
        """Read what was committed to the store since the last call; if it does not answer, log that."""
        try:
            self.activity.refresh()
        except Exception:  # requests are served from memory
            self.request_log.failure(None, None, part="store", shop=self.name)

    def add_posted_items(self) -> None:
        """Add the items that refresh_store has read to the models."""
        if not self._are_items_current():
            with self._models_lock:
                self.models = self.models.with_posted(self.activity, self._skip)

    async def is_store_healthy(self) -> bool:
        """Whether the store answers within seconds; False also while an earlier probe still waits for it."""
        try:
            return await asyncio.wait_for(self._probes.run(self.store.is_healthy), _PROBE_SECONDS)
        except (OverloadError, TimeoutError):
            return False

    def _are_keys_current(self) -> bool:
        return not self.keys.is_due

    def _are_files_current(self) -> bool:
        return not (self.configuration.is_due or self._pointer_watcher.is_due)

    def _are_items_current(self) -> bool:
        return self.activity.item_revision == self.models.champion.revision

    def _refresh_files(self) -> None:
        try:
            if self._pointer_watcher.changed():
                self._start_loader(self._swap_models)
            self.configuration.refresh()
        except Exception:  # whatever a file holds, its previous content stays in force
            self.request_log.failure(None, None, part="files", shop=self.name)

    def model_for(self, user_id: str | None, side: Side | None) -> ServedModel:
        """The model of the given side (of an experiment), else of the side to which the pointer routes the user."""
        models = self.models
        if side is None and user_id is not None and models.pointer is not None:
            side = models.pointer.route(user_id, self.name)
        return models.challenger if side == "challenger" and models.challenger else models.champion

    def _is_trained(self, item_id: str) -> bool:
        return item_id in self.models.champion.trained_ids

    def hash_user(self, user_id: str) -> str:
        """Keyed hash under which an erased user id is stored."""
        return pseudonym(user_id, self.secret)

    def close(self) -> None:
        """Write the queued impressions, and close the store, once no models are being loaded.

        A process that ends while a thread is inside a native library may be aborted.
        """
        for loader in self._loaders:
            loader.join(_CLOSE_SECONDS)
        for part in self._background:
            part.close()
        self._retention.close()
        self._erasures.close()
        self.impressions.close()
        self.store.close()

    def _skip(self, kind: str, reason: str) -> None:
        """Count and log a stored row that cannot be applied; the others are."""
        self.metrics.count_skipped(kind)
        self.request_log.skipped(kind, reason, shop=self.name)

    def _start_loader(self, load: Callable[[], None]) -> None:
        loader = threading.Thread(target=load, name=f"models-{self.name}", daemon=True)
        loader.start()
        self._loaders = [*(other for other in self._loaders if other.is_alive()), loader]

    def _load_at_start(self) -> ActiveModels:
        """The models of the pointer, of its last valid content if it is invalid, else the Bento that runs."""
        try:
            return read_or_last_valid(self.folder / POINTER, self._load_models, self._refuse_pointer)
        except TierRecError:
            return ActiveModels(self._load(self._own_bento))

    def _refuse_pointer(self, error: Exception) -> None:
        log.error("shop %s does not follow its pointer: %s", self.name, error)
        self.metrics.count_swap("refused")

    def _load_models(self, path: Path, reusable: ActiveModels | None = None) -> ActiveModels:
        by_tag = {model.release.bento: model for model in reusable.loaded} if reusable else {}

        def load(tag: str) -> ServedModel:
            return by_tag.get(tag) or self._load(tag)

        if not path.exists():
            return ActiveModels(load(self._default_bento))
        pointer = Pointer.read(path)
        challenger = load(pointer.challenger.bento) if pointer.challenger else None
        return ActiveModels(load(pointer.champion.bento), challenger, pointer)

    def _warm_up(self) -> None:
        """Load all models before a request needs them; precomputed lists are served meanwhile."""
        for model in self.models.loaded:
            try:
                model.warm_up()
            except Exception:  # a list that needs the model logs the failure and uses a fallback
                self.request_log.failure(None, None, part="warm-up", model=model.release.model_version)
        _freeze_new_objects()
        self.is_warm = True

    def _swap_models(self) -> None:
        """Load the models that the pointer names now; the old ones serve until they are loaded."""
        with self._swap_lock:
            path, start = self.folder / POINTER, time.monotonic()
            signature = file_signature(path)
            try:
                models = self._load_models(path, self.models)
                for model in models.loaded:
                    model.warm_up()
            except Exception as error:  # the old models serve until a pointer names valid ones
                self._refuse_pointer(error)
                return
            keep_as_last_valid(path, signature)
            with self._models_lock:
                self.models = models.with_posted(self.activity, self._skip)
            self._report_models()
            del models, model
            gc.unfreeze()  # the old models' objects are to be freed
            _freeze_new_objects()
            self.metrics.count_swap("done")
            log.info("shop %s swapped its models in %.2f s", self.name, time.monotonic() - start)

    def _report_models(self) -> None:
        for role, model in (("champion", self.models.champion), ("challenger", self.models.challenger)):
            release = model.release if model else None
            self.metrics.set_model(role, release.bento if release else None, release.model_version if release else "")


def _freeze_new_objects() -> None:
    """Exclude what lives now from garbage collection: scanning all models takes longer than a request."""
    gc.collect()
    gc.freeze()
