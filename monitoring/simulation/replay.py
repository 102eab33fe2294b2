"""A replay with a clock: at each tick a policy sees the log so far and acts, then users show what came of it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from monitoring.drift import DriftReference, OnlineMetrics
from monitoring.simulation.feedback import SimulatedOutcomes, compared, outcomes
from monitoring.simulation.policies import PolicyContext, PolicyDecision, RetrainPolicy
from monitoring.simulation.recommender import ReplayRecommender
from monitoring.simulation.world import ReplayWorld
from tierrec_core.base.contracts import FloatArray
from tierrec_core.evaluation.bootstrap import ConfidenceInterval, bootstrap_mean
from tierrec_core.evaluation.metrics import Truth, per_user
from tierrec_core.settings import MonitorSettings

CUTOFF = 10
_BOOTSTRAPS = 1000


@dataclass(frozen=True)
class ReplayClock:
    """The first model learns before day `start`; policies look every `step` days after it, num_ticks times."""

    start: float
    step: float
    num_ticks: int

    @property
    def ticks(self) -> list[float]:
        """The moments, days since 1970 UTC."""
        return [self.start + self.step * (number + 1) for number in range(self.num_ticks)]


@dataclass(frozen=True)
class ListQuality:
    """What one model's lists were worth from a tick to the next: users [E] who came for something, NDCG@10 of each."""

    users: np.ndarray
    ndcg: FloatArray
    outcomes: SimulatedOutcomes


@dataclass(frozen=True)
class ReplayStep:
    """One tick of a policy's course. cut: of the model in force after the look."""

    look: PolicyDecision
    cut: float
    quality: ListQuality


@dataclass(frozen=True)
class ReplayResult:
    """All that came of a policy. retrain_seconds, watch_seconds: of CPU."""

    steps: tuple[ReplayStep, ...]
    retrain_seconds: float
    watch_seconds: float

    @property
    def retrains(self) -> int:
        """How often it retrained."""
        return sum(step.look.retrain for step in self.steps)

    @property
    def ndcg(self) -> float:
        """Mean over users and ticks."""
        return float(np.concatenate([step.quality.ndcg for step in self.steps]).mean())


@dataclass
class Replay:
    """A world, a clock, and all models, references and lists that any course wants: each is made once.

    fresh: lists are made from what a user did up to the tick, as where the service learns of events at once;
    else from what they did up to the model's cut, as where lists are made ahead
    """

    world: ReplayWorld
    clock: ReplayClock
    settings: MonitorSettings
    seed: int
    fresh: bool = True
    _models: dict[float, ReplayRecommender] = field(default_factory=dict)
    _references: dict[float, tuple[DriftReference, float]] = field(default_factory=dict)
    _qualities: dict[tuple[float, float], ListQuality] = field(default_factory=dict)

    def run(self, policy: RetrainPolicy) -> ReplayResult:
        """One policy's course from the first tick to the last. The world does not know what the policy did."""
        cut, looks, steps = self.clock.start, list[PolicyDecision](), list[ReplayStep]()
        retraining = watching = 0.0
        for tick in self.clock.ticks:
            scene = self.scene(cut, tick)
            begun = time.process_time()
            look = policy.look(scene, looks)
            watching += time.process_time() - begun
            if look.retrain:
                cut = tick
                self.reference(cut)
                retraining += self.model(cut).cpu_seconds + self._references[cut][1]
            looks.append(look)
            steps.append(ReplayStep(look, cut, self.quality(cut, tick)))
        return ReplayResult(tuple(steps), retraining, watching)

    def model(self, cut: float) -> ReplayRecommender:
        """The model that learned before the cut."""
        if cut not in self._models:
            self._models[cut] = ReplayRecommender.fit(self.world, cut, self.seed)
        return self._models[cut]

    def reference(self, cut: float) -> DriftReference:
        """What goes with that model."""
        if cut not in self._references:
            begun, model = time.process_time(), self.model(cut)
            made = DriftReference.build(
                self.world.between(-np.inf, cut),
                self.world.items,
                cut,
                model.tiering,
                model.history,
                self.settings,
                self.seed,
            )
            self._references[cut] = made, time.process_time() - begun
        return self._references[cut][0]

    def quality(self, cut: float, tick: float) -> ListQuality:
        """What the model's lists are worth from the tick to the next."""
        if (cut, tick) not in self._qualities:
            truth = self._truth(tick)
            past = self.world.log.before(tick if self.fresh else cut)
            shown = self.model(cut).lists(past, truth.users, CUTOFF)
            lists = np.full((past.num_users, CUTOFF), -1, np.int64)
            lists[truth.users] = shown
            seed = (self.seed, round(tick))
            self._qualities[cut, tick] = ListQuality(
                truth.users,
                per_user(lists, truth, CUTOFF)["ndcg"],
                outcomes(truth.users, truth.hits(lists), past.num_users, seed),
            )
        return self._qualities[cut, tick]

    @cached_property
    def _panel(self) -> np.ndarray:
        """The users who were there before the first model was: the same are judged at every tick."""
        known: np.ndarray = np.diff(self.world.log.before(self.clock.start).offsets) > 0
        return known

    def _truth(self, tick: float) -> Truth:
        log = self.world.log
        user, item = (
            log.where((log.day >= tick) & (log.day < tick + self.clock.step))
            .filter_events(*self.world.target)
            .unique_pairs()
        )
        return Truth.of(user[self._panel[user]], item[self._panel[user]], log.num_items)

    def scene(self, cut: float, tick: float) -> PolicyContext:
        """What can be known at a tick when the model of that cut is in force; the log ends there."""
        own = self.reference(cut)
        near = self.world.between(min(own.observation.start, tick - self.settings.window_days), tick)
        return PolicyContext(
            near, self.world.items, own, tick, self.settings, self.seed, self._online(cut, tick)
        )

    def _online(self, cut: float, tick: float) -> OnlineMetrics | None:
        """The newest lists of the model beside its first, once it has shown two rounds of them."""
        last = tick - self.clock.step
        if last <= cut:
            return None
        return compared(
            self.model(cut).version, self.quality(cut, cut).outcomes, self.quality(cut, last).outcomes
        )


def lost(course: ReplayResult, best: ReplayResult, seed: int, since: float = -np.inf) -> ConfidenceInterval:
    """NDCG@10 that a course lost against another, per user and tick from a day on, resampled by users."""
    size = int(max(step.quality.users.max(initial=0) for step in best.steps)) + 1
    total, count = np.zeros(size), np.zeros(size)
    for mine, theirs in zip(course.steps, best.steps, strict=True):
        if mine.look.end >= since:
            np.add.at(total, mine.quality.users, theirs.quality.ndcg - mine.quality.ndcg)
            np.add.at(count, mine.quality.users, 1)
    seen = count > 0
    return bootstrap_mean(total[seen] / count[seen].mean(), _BOOTSTRAPS, np.random.default_rng(seed))


def delay(steps: Sequence[ReplayStep], start: float) -> float | None:
    """Days from a change to the first tick that saw drift; None when none did."""
    return next(
        (step.look.end - start for step in steps if step.look.end > start and step.look.state == "drift"),
        None,
    )
