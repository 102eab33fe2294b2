"""Replay of a log under a retrain policy: at each tick the policy sees the log so far, then its model is evaluated."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from monitoring.drift import DriftReference, OnlineMetrics
from monitoring.simulation.policies import PolicyContext, PolicyDecision, RetrainPolicy
from monitoring.simulation.world import ReplayRecommender, ReplayWorld
from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray
from tierrec_core.evaluation.bootstrap import ConfidenceInterval, bootstrap_mean
from tierrec_core.evaluation.metrics import Truth, per_user
from tierrec_core.settings import MonitorSettings

CUTOFF = 10
_BOOTSTRAPS = 1000


@dataclass(frozen=True)
class ReplayClock:
    """The first model is trained before day `start`; policies decide every `step` days after it, num_ticks times."""

    start: float
    step: float
    num_ticks: int

    @property
    def ticks(self) -> list[float]:
        """Decision times, days since 1970 UTC."""
        return [self.start + self.step * (number + 1) for number in range(self.num_ticks)]


@dataclass(frozen=True)
class SimulatedOutcomes:
    """One list per user, and whether it converted; users: index of each user, sorted, [E]; converted: [E]."""

    users: IntArray
    converted: BoolArray

    @property
    def rate(self) -> float:
        """Conversions per list."""
        return float(self.converted.mean()) if len(self.converted) else 0.0


@dataclass(frozen=True)
class ListQuality:
    """Evaluation of one model's lists until the next tick: users with a target event [E], NDCG@10 of each [E]."""

    users: np.ndarray
    ndcg: FloatArray
    outcomes: SimulatedOutcomes


@dataclass(frozen=True)
class ReplayStep:
    """One tick of a replay. cut: of the model in force after the decision."""

    decision: PolicyDecision
    cut: float
    quality: ListQuality


@dataclass(frozen=True)
class ReplayResult:
    """All steps of one policy. retrain_seconds, watch_seconds: CPU time."""

    steps: tuple[ReplayStep, ...]
    retrain_seconds: float
    watch_seconds: float

    @property
    def retrains(self) -> int:
        """Number of retrains."""
        return sum(bool(step.decision.retrain) for step in self.steps)


@dataclass
class Replay:
    """A world, a clock, and a cache of the models, references and evaluations that its policies share.

    fresh: lists are made from users' events up to the tick (online feedback), else up to the model's cut (batch lists)
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
        """Run one policy over all ticks. The world does not react to the policy."""
        cut, decisions, steps = self.clock.start, list[PolicyDecision](), list[ReplayStep]()
        retrain_seconds = watch_seconds = 0.0
        policy(self.context(cut, self.clock.ticks[0]), [])  # imports and caches are no costs of a policy
        for tick in self.clock.ticks:
            context = self.context(cut, tick)
            started = time.process_time()
            decision = policy(context, decisions)
            watch_seconds += time.process_time() - started
            if decision.retrain:
                cut = tick
                self.reference(cut)
                retrain_seconds += self.model(cut).cpu_seconds + self._references[cut][1]
            decisions.append(decision)
            steps.append(ReplayStep(decision, cut, self.quality(cut, tick)))
        return ReplayResult(tuple(steps), retrain_seconds, watch_seconds)

    def model(self, cut: float) -> ReplayRecommender:
        """The model trained before the cut."""
        if cut not in self._models:
            self._models[cut] = ReplayRecommender.fit(self.world, cut, self.seed)
        return self._models[cut]

    def reference(self, cut: float) -> DriftReference:
        """The drift reference of that model."""
        if cut not in self._references:
            started, model = time.process_time(), self.model(cut)
            reference = DriftReference.build(
                self.world.between(-np.inf, cut),
                self.world.items,
                cut,
                model.tiering,
                model.canary.history,
                self.settings,
            )
            self._references[cut] = reference, time.process_time() - started
        return self._references[cut][0]

    def quality(self, cut: float, tick: float) -> ListQuality:
        """Evaluate the model's lists from the tick to the next."""
        if (cut, tick) not in self._qualities:
            if (truth := self._truth(tick)) is None:
                nobody = SimulatedOutcomes(np.empty(0, np.int64), np.empty(0, bool))
                return ListQuality(nobody.users, np.empty(0), nobody)
            past = self.world.log.before(tick if self.fresh else cut)
            lists = np.full((past.num_users, CUTOFF), -1, np.int64)
            exclude_seen = not self.world.task.repeats
            lists[truth.users] = self.model(cut).canary.lists(past, truth.users, CUTOFF, exclude_seen=exclude_seen)
            seed = (self.seed, round(tick))
            self._qualities[cut, tick] = ListQuality(
                truth.users,
                per_user(lists, truth, CUTOFF)["ndcg"],
                simulate_outcomes(truth.users, truth.hits(lists), past.num_users, seed),
            )
        return self._qualities[cut, tick]

    @cached_property
    def _panel(self) -> np.ndarray:
        """Users with events before the first model, who are evaluated at every tick, [U]."""
        return np.diff(self.world.log.before(self.clock.start).offsets) > 0

    def _truth(self, tick: float) -> Truth | None:
        """Items of the target until the next tick, new ones where the task has no repeats; None if there are none."""
        log = self.world.log
        following = log.where((log.day >= tick) & (log.day < tick + self.clock.step))
        user, item = following.filter_events(*self.world.task.target).unique_pairs()
        wanted = self._panel[user]
        if not self.world.task.repeats:
            seen_user, seen_item = log.before(tick).unique_pairs()
            wanted &= ~np.isin(user * log.num_items + item, seen_user * log.num_items + seen_item)
        return Truth.of(user[wanted], item[wanted], log.num_items) if wanted.any() else None

    def context(self, cut: float, tick: float) -> PolicyContext:
        """The policy's input at a tick when the model of that cut is in force; the log ends at the tick."""
        world, online = self.world, self._online(cut, tick)
        events = world.between(-np.inf, tick)
        return PolicyContext(
            events, world.items, self.reference(cut), tick, self.settings, self.seed, online, world.task, world.retrain
        )

    def _online(self, cut: float, tick: float) -> OnlineMetrics | None:
        """The model's newest outcomes against its first, None before its second tick."""
        last = tick - self.clock.step
        if last <= cut:
            return None
        first, newest = self.quality(cut, cut).outcomes, self.quality(cut, last).outcomes
        if not np.intersect1d(first.users, newest.users).size:
            return None
        return compare_outcomes(self.model(cut).version, first, newest)


def simulate_outcomes(users: IntArray, hits: BoolArray, num_users: int, seed: tuple[int, ...]) -> SimulatedOutcomes:
    """Simulate the conversion of lists whose items are in the user's ground truth where hits [E, k] is true.

    A user examines rank r with probability 1 / log2(r + 1) and converts on an examined hit. The examination depth
    depends on seed and user only, so that two models are compared on the same depths.
    """
    examined: FloatArray = 1.0 / np.log2(np.arange(2, hits.shape[1] + 2))
    depth = np.random.default_rng(seed).random(num_users)[users]
    converted: BoolArray = (hits & (depth[:, None] < examined)).max(axis=1, initial=False)
    return SimulatedOutcomes(users, converted)


def compare_outcomes(version: str, before: SimulatedOutcomes, after: SimulatedOutcomes) -> OnlineMetrics:
    """The version's outcomes in two windows, over the users with a list in both."""
    common, first, second = np.intersect1d(before.users, after.users, return_indices=True)
    shown = np.ones((1, len(common)), np.int64)
    converted = [part[None, :].astype(np.int64) for part in (before.converted[first], after.converted[second])]
    return OnlineMetrics((version,), shown, converted[0], shown, converted[1])


def ndcg_loss(result: ReplayResult, best: ReplayResult, seed: int, since: float = -np.inf) -> ConfidenceInterval:
    """Loss of NDCG@10 relative to another result, per user and tick from a day on, bootstrapped over users."""
    size = int(max(step.quality.users.max(initial=0) for step in best.steps)) + 1
    total, count = np.zeros(size), np.zeros(size)
    for step, best_step in zip(result.steps, best.steps, strict=True):
        if step.decision.end >= since:
            np.add.at(total, step.quality.users, best_step.quality.ndcg - step.quality.ndcg)
            np.add.at(count, step.quality.users, 1)
    evaluated = count > 0
    return bootstrap_mean(total[evaluated] / count[evaluated].mean(), _BOOTSTRAPS, np.random.default_rng(seed))


def detection_delay(steps: Sequence[ReplayStep], start: float) -> float | None:
    """Days from a change to the first tick with state drift; None without one."""
    ends = (step.decision.end for step in steps if step.decision.state == "drift")
    return next((end - start for end in ends if end > start), None)
