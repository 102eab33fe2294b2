"""Rules, review and experiments of a shop, read again when their files change."""

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from services.catalogue.catalogue import Catalogue
from services.experiments import Experiments
from services.rules import Rules
from services.rules.review import Review
from services.shared_files import FileWatcher, file_signature, keep_as_last_valid, read_or_last_valid
from services.tenants.served_model import ServedModel
from tierrec_core.base.errors import TierRecError

log = logging.getLogger(__name__)

EXPERIMENTS = "experiments.yaml"
_READERS: Mapping[str, Callable[[Path], Rules | Review | Experiments]] = {
    "rules": Rules.read,
    "review": Review.read,
    "experiments": Experiments.read,
}
_EMPTY = {"rules": Rules(), "review": Review(), "experiments": Experiments({})}
_NAMED = 5  # unknown items in a warning


@dataclass(frozen=True)
class Configuration:
    """The files' contents at one moment."""

    rules: Rules
    review: Review
    experiments: Experiments


class LiveConfiguration:
    """The newest valid contents; an invalid change is logged and ignored."""

    def __init__(self, folder: Path, model: Callable[[], ServedModel], count_reload: Callable[[str], None]) -> None:
        """Read the files; of an invalid one the last valid content, or none, is in force.

        model: returns the model whose catalogue, tiers and tasks the files must match
        count_reload: called with the result of each later read, and of a first one that fails
        """
        self._folder, self._model, self._count_reload = folder, model, count_reload
        self._watchers = {field.name: FileWatcher(folder / f"{field.name}.yaml") for field in fields(Configuration)}
        for watcher in self._watchers.values():
            watcher.changed()
        self.now = Configuration(**{name: self._read_at_start(name) for name in self._watchers})

    @property
    def is_due(self) -> bool:
        """Whether `refresh` would check a file."""
        return any(watcher.is_due for watcher in self._watchers.values())

    def refresh(self) -> None:
        """Read the files that have changed; between two checks, a call only reads the clock."""
        for name, watcher in self._watchers.items():
            if watcher.changed():
                signature = file_signature(self._path(name))
                try:
                    self.now = replace(self.now, **{name: self._read(name, self._path(name))})
                except TierRecError as error:
                    self._refuse(name, error)
                else:
                    keep_as_last_valid(self._path(name), signature)
                    self._count_reload(f"{name}_loaded")

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.yaml"

    def _read_at_start(self, name: str) -> Any:
        """What refers to something that this model lacks is in force without effect, as after a swap of models."""
        path, refuse = self._path(name), partial(self._refuse, name)
        with contextlib.suppress(TierRecError):
            return read_or_last_valid(path, partial(self._read, name), refuse)
        with contextlib.suppress(TierRecError):
            return read_or_last_valid(path, _READERS[name], refuse)
        return _EMPTY[name]

    def _refuse(self, name: str, error: TierRecError) -> None:
        log.error("%s not loaded: %s", name, error)
        self._count_reload(f"{name}_refused")

    def _read(self, name: str, path: Path) -> Any:
        contents, model = _READERS[name](path), self._model()
        if isinstance(contents, Rules):
            contents.check(model.catalogue, model.tier_names)
        elif isinstance(contents, Review):
            contents.check(model.catalogue)
        else:
            contents.check(model.task_configs)
        if not isinstance(contents, Experiments):
            _warn_of_unknown(path, contents.named_items, model.catalogue)
        return contents


def _warn_of_unknown(path: Path, item_ids: Sequence[str], catalogue: Catalogue) -> None:
    """Log the ids that no item has; an item may still be posted, so they are no error."""
    columns = catalogue.columns(item_ids).tolist()
    unknown = [item_id for item_id, column in zip(item_ids, columns, strict=True) if column < 0]
    if unknown:
        named = ", ".join(map(repr, unknown[:_NAMED]))
        more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
        log.warning("%s: ids that no item has, without effect until one is added: %s%s", path, named, more)
