"""The newest complete window of the log and of the feedback, as the champion's reference measures it."""

from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Self

import pandas as pd

from flows.loop.feedback import clean_events, read_newest_log
from flows.project.champion import Champion
from monitoring.drift import DriftReference, FeedChecks, WindowMeasurement, measure_window, newest_complete_end
from tierrec_core.base import artifacts
from tierrec_core.base.contracts import is_guest
from tierrec_core.base.errors import ArtifactError
from tierrec_core.base.paths import Layout
from tierrec_core.settings import Settings
from tierrec_core.sources import SourceFrames

FOLDER = "reference"


@dataclass(frozen=True)
class NewestWindow:
    """The log without guests, and the day `end` before which it is complete."""

    log: SourceFrames
    end: float
    reference: DriftReference
    settings: Settings
    now: datetime

    @classmethod
    def read(cls, layout: Layout, settings: Settings, reference: DriftReference, now: datetime) -> Self:
        """Raises EmptyDataError without an event up to now, and the errors of reading the log."""
        log = read_newest_log(layout, settings)
        log = replace(log, events=log.events[~is_guest(log.events)])
        return cls(log, newest_complete_end(log.events, settings.monitor, now), reference, settings, now)

    @cached_property
    def clean_events(self) -> pd.DataFrame:
        """The log's EVENTS as the stages would prepare them."""
        return clean_events(self.log.events, self.settings)

    def measure(self) -> tuple[FeedChecks, WindowMeasurement]:
        """The checks of the feed on the raw events, and the users' behaviour in the clean ones."""
        events, items, monitor = self.log.events, self.log.items, self.settings.monitor
        feed = FeedChecks.measure(events, items, self.reference, self.end, monitor, self.now)
        return feed, measure_window(self.reference, self.clean_events, items, self.end)


def read_reference(champion: Champion) -> DriftReference:
    """The champion's reference window. Raises ArtifactError when the bundle has none, or one of another version."""
    try:
        return artifacts.load(DriftReference, champion.bundle / FOLDER)
    except TypeError as error:  # a field was added after it was written
        raise ArtifactError(
            f"{champion.bundle / FOLDER}: was made by another version ({error}); "
            "wanted one of this version: `tierrec retrain` makes a new champion"
        ) from error
