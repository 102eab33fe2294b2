"""When to retrain: our verdict, and what others do: PSI, Evidently out of the box, by the calendar, never, always."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import pandas as pd

from monitoring.drift import Decision, Feed, Observation, Online, Reference, Verdict, decide, judge, observe
from monitoring.simulation.baseline_detectors import Preset, frame, psi
from tierrec_core.data.interactions import from_days
from tierrec_core.settings import Monitor


@dataclass(frozen=True)
class Scene:
    """What anybody can know at one moment: the log up to then, and the model in force.

    events: EVENTS, of which only those before `end` are used, days since 1970 UTC
    reference: of the model in force; its cut is the day before which the model learned
    """

    events: pd.DataFrame
    items: pd.DataFrame
    reference: Reference
    end: float
    settings: Monitor
    seed: int
    online: Online | None = None

    @cached_property
    def observation(self) -> Observation:
        """The newest window."""
        return observe(self.reference, self.events, self.items, self.end)

    @cached_property
    def preset(self) -> Preset:
        """Evidently's word on the newest window beside the reference's."""
        width, rows = self.settings.window_days, self.settings.report_rows
        before, after = (
            frame(self.events, self.items, end - width, end, rows, self.seed)
            for end in (self.reference.cut, self.end)
        )
        return Preset.of(before, after)

    def verdict(self) -> Verdict:
        """Ours, on the newest window."""
        moment = from_days(self.end).to_pydatetime()
        feed = Feed.measure(self.events, self.items, self.reference, self.end, self.settings, moment)
        return judge(self.reference, self.observation, feed, self.settings, self.seed, self.online)


@dataclass(frozen=True)
class Look:
    """What a policy saw at one moment, and whether it retrains.

    state: steady, drift or fault; empty for a policy that does not look
    """

    end: float
    retrain: bool
    state: str = ""
    reasons: tuple[str, ...] = ()
    decision: Decision | None = None


class Policy(Protocol):
    """A rule for when to retrain."""

    def look(self, scene: Scene, past: Sequence[Look], /) -> Look:
        """Look at a moment, knowing what came of earlier ones, oldest first."""
        ...


@dataclass(frozen=True)
class Ours:
    """The platform's verdict and decision, with cool-down, budget and data faults."""

    def look(self, scene: Scene, past: Sequence[Look], /) -> Look:
        """Judge, decide."""
        verdict = scene.verdict()
        decision = decide(
            verdict,
            [one.decision for one in past if one.decision],
            scene.settings,
            model=f"day {scene.reference.cut:.0f}",
            at=from_days(scene.end).to_pydatetime(),
        )
        return Look(scene.end, decision.act == "retrain", verdict.state, decision.reasons, decision)


@dataclass(frozen=True)
class Psi:
    """Retrain when the population stability index of the categories reaches a threshold."""

    threshold: float

    def look(self, scene: Scene, _past: Sequence[Look], /) -> Look:
        """Hold everybody's events by category against the reference's."""
        found = psi(scene.reference.observation.counts.sum(axis=0), scene.observation.counts.sum(axis=0))
        return _look(scene, found >= self.threshold, f"PSI {found:.4f} (limit {self.threshold:g})")


@dataclass(frozen=True)
class EvidentlyDefault:
    """Retrain when Evidently's preset, with all its defaults, says so: of the data as a whole, or of one column."""

    column: str | None = None

    def look(self, scene: Scene, _past: Sequence[Look], /) -> Look:
        """Hand both windows to the preset."""
        found = scene.preset
        alarm = found.dataset if self.column is None else self.column in found.columns
        return _look(scene, alarm, f"drifted: {', '.join(sorted(found.columns)) or 'no column'}")


@dataclass(frozen=True)
class Calendar:
    """Retrain whenever the model in force is so many days old."""

    days: float

    def look(self, scene: Scene, _past: Sequence[Look], /) -> Look:
        """Look at the date."""
        return Look(scene.end, scene.end - scene.reference.cut >= self.days - 1e-9)


MONTH = 28.0
POLICIES: Mapping[str, Policy] = {
    "ours": Ours(),
    "psi_10": Psi(0.1),
    "psi_20": Psi(0.2),
    "evidently": EvidentlyDefault(),
    "evidently_category": EvidentlyDefault("category"),
    "monthly": Calendar(MONTH),
    "never": Calendar(float("inf")),
    "always": Calendar(0.0),
}


def _look(scene: Scene, alarm: bool, reason: str) -> Look:
    return Look(scene.end, alarm, "drift" if alarm else "steady", (reason,))
