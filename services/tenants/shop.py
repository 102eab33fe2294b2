"""One tenant: its folder, its store, its models, and what people have configured. Nothing is shared between shops."""

import gc
import logging
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from services.auth.keys import FILE as KEYS
from services.auth.keys import LiveKeyring
from services.observability.access_log import JsonLog, log_secret, pseudonym
from services.observability.metrics import ShopMetrics
from services.releases.pointer import FILE as POINTER
from services.releases.pointer import Pointer, Side
from services.shared_files import FileWatcher
from services.store import Store, StoreError
from services.store.impressions import ImpressionRetention, ImpressionWriter
from services.store.recent_events import RecentActivity
from services.tenants.configuration import LiveConfiguration
from services.tenants.served_model import ServedModel

log = logging.getLogger(__name__)

FEEDBACK = "feedback.db"
IMPRESSION_DAYS = 365

Loader = Callable[[str], ServedModel]


@dataclass(frozen=True)
class ActiveModels:
    """The models that answer now."""

    champion: ServedModel
    challenger: ServedModel | None
    pointer: Pointer | None

    def with_posted(self, live: RecentActivity) -> "ActiveModels":
        """The same models that show what was posted, too."""
        challenger = self.challenger.with_posted(live) if self.challenger else None
        return ActiveModels(self.champion.with_posted(live), challenger, self.pointer)

    def of(self, side: Side) -> ServedModel:
        """The model of a side; the champion where there is no challenger."""
        return self.challenger if side == "challenger" and self.challenger else self.champion


class Shop:
    """Everything that answers one shop's requests, in one worker.

    load: gives the model of a Bento's tag; default: the tag that answers where no pointer names one
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        *,
        load: Loader,
        default: str,
        metrics: ShopMetrics,
        store_url: str = "",
        impression_days: int = IMPRESSION_DAYS,
    ) -> None:
        """Open the store, load the models that the pointer names, and catch up with what was posted."""
        folder.mkdir(parents=True, exist_ok=True)
        self.name, self.folder, self.metrics = name, folder, metrics
        self._load, self._default = load, default
        self.keys = LiveKeyring(folder / KEYS)
        self.secret = log_secret(folder)
        self.journal = JsonLog.to(sys.stderr, self.secret, f"tierrec.{name}")
        self.store = Store.open(store_url or f"sqlite:///{folder / FEEDBACK}", folder)
        self._pointer_watch = FileWatcher(folder / POINTER)
        self._pointer_watch.changed()
        self.serving = self._open(self._pointer())
        self.live = RecentActivity(self.store, self.serving.champion.since, self.hash_user)
        self._growing = threading.Lock()
        self._grow()
        self.configuration = LiveConfiguration(folder, lambda: self.serving.champion, metrics.swapped)
        self.impressions = ImpressionWriter(self.store, metrics.drop_impressions, hash_user=self.hash_user)
        self._retention = ImpressionRetention(self.store, impression_days)
        threading.Thread(target=self._warm, name=f"warm-{name}", daemon=True).start()
        self._swapping = threading.Lock()
        self._tell()

    def refresh(self) -> None:
        """Take over what has changed since the last request: pointer, rules, events, items, users.

        While the store does not answer, what is in memory serves on.
        """
        self.configuration.refresh()
        if self._pointer_watch.changed():
            threading.Thread(target=self._swap, name=f"swap-{self.name}", daemon=True).start()
        try:
            self.live.refresh()
        except StoreError:
            self.journal.failure(None, None, part="store", shop=self.name)
        self._grow()

    def is_current(self, user_id: str | None) -> bool:
        """Whether the user can be answered from memory, as of now: neither files nor the store need to be read."""
        return (
            self.live.is_current
            and (user_id is None or self.live.holds(user_id))
            and self.live.item_revision == self.serving.champion.revision
            and not (self.configuration.is_due or self._pointer_watch.is_due)
        )

    def model_for(self, user_id: str | None, side: Side | None) -> tuple[ServedModel, Side]:
        """Who answers a user: the side that an experiment wants, or the one to which the pointer sends them."""
        serving = self.serving
        if side is None:
            side = "champion"
            if user_id is not None and serving.pointer is not None:
                side = serving.pointer.route(user_id, self.name)
        if serving.challenger is None:
            side = "champion"
        return serving.of(side), side

    def hash_user(self, user_id: str) -> str:
        """Keyed hash under which an erased user id is stored."""
        return pseudonym(user_id, self.secret)

    def is_ready(self) -> bool:
        """Whether a model is loaded and the store answers."""
        return self.store.is_healthy()

    def close(self) -> None:
        """Write what is waiting, and close the store."""
        self._retention.close()
        self.impressions.close()
        self.store.close()

    def _pointer(self) -> Pointer | None:
        path = self.folder / POINTER
        return Pointer.read(path) if path.exists() else None

    def _open(self, pointer: Pointer | None, loaded: ActiveModels | None = None) -> ActiveModels:
        """The models of a pointer; those that are loaded already are taken over."""
        held = {}
        if loaded is not None:
            models = [loaded.champion, loaded.challenger]
            held = {model.release.bento: model for model in models if model is not None}

        def model(tag: str) -> ServedModel:
            return held.get(tag) or self._load(tag)

        if pointer is None:
            return ActiveModels(model(self._default), None, None)
        challenger = model(pointer.challenger.bento) if pointer.challenger else None
        return ActiveModels(model(pointer.champion.bento), challenger, pointer)

    def _grow(self) -> None:
        """Show what was posted, too."""
        if self.live.item_revision != self.serving.champion.revision:
            with self._growing:
                self.serving = self.serving.with_posted(self.live)

    def _warm(self) -> None:
        """Read all models before somebody asks for what needs them; those whom the pack knows need not wait."""
        for model in (self.serving.champion, self.serving.challenger):
            if model is not None:
                try:
                    model.warm()
                except Exception:  # lists that need it will tell, and come from the rungs below
                    version = model.release.model_version
                    self.journal.failure(None, None, part="warm-up", model=version)
        _set_aside()

    def _swap(self) -> None:
        """Load what the pointer names now; requests go on with the old models until it is there."""
        with self._swapping:
            began = datetime.now(UTC)
            try:
                serving = self._open(self._pointer(), self.serving)
                for model in (serving.champion, serving.challenger):
                    if model is not None:
                        model.warm()
            except Exception as error:  # whatever is wrong with the new ones, the old ones go on
                log.error("shop %s keeps its models: %s", self.name, error)
                self.metrics.swapped("refused")
                return
            with self._growing:
                self.serving = serving.with_posted(self.live)
            self._tell()
            del serving
            _set_aside()
            self.metrics.swapped("done")
            log.info("shop %s swapped in %.2f s", self.name, (datetime.now(UTC) - began).total_seconds())

    def _tell(self) -> None:
        for role, model in (("champion", self.serving.champion), ("challenger", self.serving.challenger)):
            if model is None:
                self.metrics.serve(role, None)
            else:
                self.metrics.serve(role, model.release.bento, model.release.model_version)


def _set_aside() -> None:
    """Spare the collector what stays: to look through all models takes it longer than to answer a request."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
