"""What a person can change while a shop serves: rules, review and experiments, read again when their files change."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from services.experiments import Experiments
from services.rules import Rules
from services.rules.review import Review
from services.shared_files import FileWatcher
from services.tenants.served_model import ServedModel
from tierrec_core.base.errors import TierRecError

log = logging.getLogger(__name__)

RULES, REVIEW, EXPERIMENTS = "rules.yaml", "review.yaml", "experiments.yaml"


@dataclass(frozen=True)
class Configuration:
    """The files' contents at one moment."""

    rules: Rules
    review: Review
    experiments: Experiments


class LiveConfiguration:
    """The newest valid contents; a change that is not valid is logged, and the old contents stay."""

    def __init__(self, folder: Path, model: Callable[[], ServedModel], changed: Callable[[str], None]) -> None:
        """Raise SettingsError for a file that is not valid at the start. `changed` is called for each later reading.

        model: the files are checked against its catalogue, tiers and tasks
        """

        def rules() -> Rules:
            rules = Rules.read(folder / RULES)
            rules.check(model().catalogue, model().tier_names)
            return rules

        def review() -> Review:
            review = Review.read(folder / REVIEW)
            review.check(model().catalogue)
            return review

        def experiments() -> Experiments:
            experiments = Experiments.read(folder / EXPERIMENTS)
            experiments.check(model().task_configs)
            return experiments

        self._changed = changed
        self.now = Configuration(rules(), review(), experiments())
        self._watched: list[tuple[FileWatcher, str, Callable[[], Any]]] = [
            (FileWatcher(folder / RULES), "rules", rules),
            (FileWatcher(folder / REVIEW), "review", review),
            (FileWatcher(folder / EXPERIMENTS), "experiments", experiments),
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
