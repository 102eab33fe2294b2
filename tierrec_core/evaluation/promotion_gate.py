"""Decides whether a challenger may replace the champion, by paired differences overall, by tier and by task.

The challenger is rejected when two conditions hold together: its paired bootstrap interval (Efron & Tibshirani, 1993)
reaches below minus the margin, so that a relevant loss cannot be ruled out; and the loss is significant in a
randomization test of signs (Fisher, 1935; Smucker, Allan & Carterette, CIKM 2007). With many users the first condition
decides, which is a test of non-inferiority. With few users an equal model would fail it, so the second decides: an
equal model is rejected no more often than the level, for any number of users, and a loss is detected once it exceeds
the noise. The level is one-sided 2.5% overall, and 2.5% for all tiers and further tasks together (Bonferroni).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from scipy.stats import norm

from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.base.errors import GateError
from tierrec_core.evaluation.bootstrap import ConfidenceInterval, bootstrap_mean, round_figure
from tierrec_core.settings import GateSettings
from tierrec_core.tiers import TIER_NAMES

Verdict = Literal["better", "no change", "worse", "undecided"]

_LEVEL = 0.025  # one-sided, the tail above a 95% interval
_MAX_ENUMERATED = 12  # number of differences up to which all signs are enumerated
_TOLERANCE = 1e-12
_MIN_USERS = 20  # of the main task, below which an interval is unreliable


@dataclass(frozen=True)
class GateCheck:
    """One check as text: its name, the observed value, the limit, and whether it passed."""

    name: str
    found: str
    wanted: str
    passed: bool


@dataclass(frozen=True)
class Scores:
    """The metric of both sides for the same users of one task.

    champion, challenger: each user's metric, [E]; tier: of each user, as an index into tier_names, [E]
    """

    champion: FloatArray
    challenger: FloatArray
    tier: IntArray
    tier_names: Sequence[str] = TIER_NAMES


@dataclass(frozen=True)
class GateSide:
    """Figures of one side beyond accuracy.

    coverage: share of the catalogue in its lists, by task; calibration_error: of the churn risk, None if it could not
    be measured; latency_p95: of one user's request, in seconds, None if it was not measured
    """

    coverage: Mapping[str, float]
    calibration_error: float | None = None
    latency_p95: float | None = None


@dataclass(frozen=True)
class GroupDifference:
    """Challenger minus champion for users of one task: all, or one tier.

    tier: "" for all; delta: of each user, [E]; margin: in units of the metric
    """

    task: str
    tier: str
    delta: FloatArray
    interval: ConfidenceInterval
    margin: float

    @property
    def users(self) -> int:
        """Number of compared users."""
        return len(self.delta)

    @property
    def may_lose(self) -> bool:
        """Whether a loss beyond the margin cannot be ruled out."""
        return self.interval.low < -self.margin

    def check(self, metric: str, level: float) -> GateCheck:
        """Fail if the loss may exceed the margin and is significant at this level."""
        interval = self.interval
        name = f"{self.task}, {self.tier} users: {metric}" if self.tier else f"{self.task}: {metric}"
        found = f"{interval.value:+.4f} [{interval.low:+.4f}, {interval.high:+.4f}]"
        wanted = f">= {-self.margin:.4f} at the lower end"
        if not self.may_lose:
            return GateCheck(name, found, wanted, passed=True)
        p_value = loss_p_value(self.delta)
        wanted = f"{wanted}, or a loss that may be chance, p > {level:.2g}"
        return GateCheck(name, f"{found}, p = {p_value:.2g}", wanted, p_value > level)

    def report(self) -> dict[str, Any]:
        """The difference for JSON."""
        return {"value": round_figure(self.interval.value), "ci": self.interval.bounds}


@dataclass(frozen=True)
class TaskDifference:
    """One task's differences: of all users, and by the name of each tier with users."""

    overall: GroupDifference
    by_tier: Mapping[str, GroupDifference]


@dataclass(frozen=True)
class GateReport:
    """The gate's decision with its checks and differences.

    verdict: worse = a significant loss that may exceed a margin, in some group; no change = the main task's interval
    lies within the margin; better = it lies above zero and reaches beyond the margin; undecided = the interval is too
    wide, but no loss is significant
    """

    verdict: Verdict
    checks: tuple[GateCheck, ...]
    tasks: Mapping[str, TaskDifference]

    @property
    def passed(self) -> bool:
        """Whether the challenger may replace the champion."""
        return all(check.passed for check in self.checks)

    def report(self) -> dict[str, Any]:
        """Everything as JSON."""
        return {
            "verdict": self.verdict,
            "passed": self.passed,
            "checks": [asdict(check) for check in self.checks],
            "tasks": {
                task: {
                    "users": difference.overall.users,
                    "overall": difference.overall.report(),
                    "by_tier": {
                        tier: {"users": part.users} | part.report() for tier, part in difference.by_tier.items()
                    },
                }
                for task, difference in self.tasks.items()
            },
        }

    def require_passed(self) -> None:
        """Raise GateError naming the failed checks, if any failed."""
        failed = [check for check in self.checks if not check.passed]
        if failed:
            named = "; ".join(f"{check.name} is {check.found}, wanted {check.wanted}" for check in failed[:3])
            more = f"; and {len(failed) - 3} more" if len(failed) > 3 else ""
            raise GateError(
                f"gate: {len(failed)} of {len(self.checks)} checks failed for the challenger ({self.verdict})\n"
                f"{named}{more}\nthe champion is kept; read the report, or raise a margin of gate in params.yaml"
            )


def check_promotion(
    tasks: Mapping[str, Scores],
    champion: GateSide,
    challenger: GateSide,
    settings: GateSettings,
    rng: np.random.Generator,
    *,
    metric: str = "NDCG@10",
) -> GateReport:
    """Compare the two sides on every task; the first task is the main one, which decides the verdict.

    metric: name of the scores' metric. Raises EmptyDataError when a task has no user.
    """
    groups = list(_groups(tasks, settings, rng))
    main = groups[0]
    accuracy = [main.check(metric, _LEVEL), *(group.check(metric, _LEVEL / (len(groups) - 1)) for group in groups[1:])]
    enough = GateCheck(f"{main.task}: users", str(main.users), f">= {_MIN_USERS}", main.users >= _MIN_USERS)
    others = [*_coverage(champion, challenger, settings), _calibration(champion, challenger, settings)]
    checks = (enough, *accuracy, *others, _latency(champion, challenger, settings))
    has_loss = not all(check.passed for check in accuracy)
    return GateReport(_verdict(main, has_loss=has_loss, enough=enough.passed), checks, _differences(groups))


def _groups(tasks: Mapping[str, Scores], settings: GateSettings, rng: np.random.Generator) -> Iterator[GroupDifference]:
    """All users of each task, followed by its tiers; the first group decides the verdict."""
    all_margin = settings.margin
    for task, scores in tasks.items():
        members = {"": np.ones(len(scores.tier), bool)}
        members |= {tier: scores.tier == code for code, tier in enumerate(scores.tier_names)}
        for tier, is_member in members.items():
            if is_member.any() or not tier:
                champion = scores.champion[is_member]
                delta = scores.challenger[is_member] - champion
                interval = bootstrap_mean(delta, settings.bootstraps, rng)
                margin = settings.tier_margin if tier else all_margin
                yield GroupDifference(task, tier, delta, interval, margin * float(champion.mean()))
        all_margin = settings.task_margin


def loss_p_value(delta: FloatArray) -> float:
    """One-sided p-value of a randomization test of the signs of the differences delta [E]; exact for a few users."""
    delta = delta[delta != 0]  # the sign of a zero does not matter
    if len(delta) > _MAX_ENUMERATED:
        return float(norm.cdf(delta.sum() / np.sqrt((delta**2).sum())))
    signs = 1 - 2 * ((np.arange(2 ** len(delta))[:, None] >> np.arange(len(delta))) & 1)
    sums = signs @ delta
    return float((sums <= sums[0] + _TOLERANCE * np.abs(delta).sum()).mean())


def _coverage(champion: GateSide, challenger: GateSide, settings: GateSettings) -> Iterator[GateCheck]:
    for task, before in champion.coverage.items():
        name, minimum = f"{task}: coverage", (1 - settings.max_coverage_loss) * before
        if task in challenger.coverage:
            after = challenger.coverage[task]
            wanted = f">= {minimum:.4f}, the champion's {before:.4f} less {settings.max_coverage_loss:.0%}"
            yield GateCheck(name, f"{after:.4f}", wanted, bool(after >= minimum))
        else:
            yield GateCheck(name, "task is missing", "the task, as the champion has it", passed=False)


def _calibration(champion: GateSide, challenger: GateSide, settings: GateSettings) -> GateCheck:
    """Require the limit, or the champion's error if that exceeds the limit."""
    name, after, before = "churn: calibration error", challenger.calibration_error, champion.calibration_error
    limit, wanted = settings.max_calibration_error, f"<= {settings.max_calibration_error:g}"
    if after is None:
        return GateCheck(name, "not measured", wanted, passed=True)
    if before is not None and before > limit:
        limit, wanted = before, f"{wanted}, or the champion's {before:.4f}"
    return GateCheck(name, f"{after:.4f}", wanted, bool(after <= limit))


def _latency(champion: GateSide, challenger: GateSide, settings: GateSettings) -> GateCheck:
    name, wanted = "latency: p95", f"<= {settings.max_latency_ratio:g} times the champion's"
    if champion.latency_p95 is None or challenger.latency_p95 is None:
        return GateCheck(name, "not measured", wanted, passed=True)
    passed = bool(challenger.latency_p95 <= settings.max_latency_ratio * champion.latency_p95)
    wanted = f"{wanted} {1e3 * champion.latency_p95:.1f} ms"
    return GateCheck(name, f"{1e3 * challenger.latency_p95:.1f} ms", wanted, passed)


def _verdict(main: GroupDifference, *, has_loss: bool, enough: bool) -> Verdict:
    """A difference within the margin counts as none, significant or not, since each refit changes a model slightly."""
    if has_loss:
        return "worse"
    if enough and not main.may_lose and main.interval.high <= main.margin:
        return "no change"
    return "better" if enough and main.interval.low > 0 else "undecided"


def _differences(groups: Sequence[GroupDifference]) -> dict[str, TaskDifference]:
    by_task: dict[str, dict[str, GroupDifference]] = {}
    for group in groups:
        by_task.setdefault(group.task, {})[group.tier] = group
    return {task: TaskDifference(tiers.pop(""), tiers) for task, tiers in by_task.items()}
