"""What a person can change while a shop serves: rules, review and experiments, read again when their files change."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from services.catalogue.catalogue import Catalogue
from services.experiments import Experiments
from services.rules import Rules
from services.rules.review import Review
from services.shared_files import FileWatcher
from tierrec_core.base.errors import TierRecError

log = logging.getLogger(__name__)

Checked = TypeVar("Checked", Rules, Review)

RULES, REVIEW, EXPERIMENTS = "rules.yaml", "review.yaml", "experiments.yaml"


@dataclass(frozen=True)
class Configuration:
    """The files' contents at one moment."""

    rules: Rules
    review: Review
    experiments: Experiments


class LiveConfiguration:
    """The newest valid contents; a file that is changed into nonsense is told of and the old contents stay."""

    def __init__(
        self, folder: Path, catalogue: Callable[[], Catalogue], changed: Callable[[str], None]
    ) -> None:
        """Raises SettingsError for a file that is not valid at the start; `changed` hears of each later reading.

        catalogue: what rules and review are checked against, as of the moment of reading
        """

        def checked(read: Callable[[Path], Checked], name: str) -> Checked:
            found = read(folder / name)
            found.check(catalogue())
            return found

        self._changed = changed
        self.now = Configuration(
            checked(Rules.read, RULES),
            checked(Review.read, REVIEW),
            Experiments.read(folder / EXPERIMENTS),
        )
        self._watched: list[tuple[FileWatcher, str, Callable[[], Any]]] = [
            (FileWatcher(folder / RULES), "rules", lambda: checked(Rules.read, RULES)),
            (FileWatcher(folder / REVIEW), "review", lambda: checked(Review.read, REVIEW)),
            (
                FileWatcher(folder / EXPERIMENTS),
                "experiments",
                lambda: Experiments.read(folder / EXPERIMENTS),
            ),
        ]
        for watch, _, _ in self._watched:
            watch.changed()

    @property
    def is_due(self) -> bool:
        """Whether `refresh` would look at a file."""
        return any(watch.is_due for watch, _, _ in self._watched)

    def refresh(self) -> None:
        """Read what has changed; between looks this costs a reading of the clock."""
        for watch, name, read in self._watched:
            if not watch.changed():
                continue
            try:
                self.now = replace(self.now, **{name: read()})
            except TierRecError as error:
                log.error("%s stays as it was: %s", name, error)
                self._changed(f"{name}_refused")
            else:
                self._changed(f"{name}_loaded")
