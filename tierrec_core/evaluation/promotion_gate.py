"""The gate: may a challenger replace the champion? Paired differences over users, overall, by tier and by task.

The challenger is refused where two things hold together. Its paired bootstrap interval (Efron & Tibshirani, 1993)
reaches below minus the margin, so that a loss that matters cannot be ruled out; and the loss is no chance, by a test of
random signs (Fisher, 1935; Smucker, Allan & Carterette, CIKM 2007). With many users the first decides alone, which is a
test of non-inferiority. With few users nobody could pass that, not even an equal model, so the second decides: an equal
model is refused as rarely as the level says, whatever the number of users, and a loss is found once it exceeds what so
few users hide. The level is one-sided 2.5% overall, and 2.5% for all tiers and further tasks together (Bonferroni).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from scipy.stats import norm

from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray
from tierrec_core.base.errors import GateError
from tierrec_core.evaluation.bootstrap import Interval, interval
from tierrec_core.settings import GateSettings

Verdict = Literal["better", "no change", "worse", "undecided"]

_LEVEL = 0.025  # one-sided, as much as a 95% interval leaves above its upper end
_ENUMERATED = 12  # differences up to which all signs are tried
_SLACK = 1e-12
_FEWEST = 20  # users of the first task, below which an interval is no evidence
_DIGITS = 6
_TIERS = ("light", "medium", "heavy")


@dataclass(frozen=True)
class GateCheck:
    """One thing that was looked at, as a person reads it: what it is, what was found, what was wanted."""

    name: str
    found: str
    wanted: str
    passed: bool


@dataclass(frozen=True)
class Scores:
    """One task on the gate's window: the metric of both sides for the same users.

    champion, challenger: each user's metric, [E]; tier: of each user, as an index into the tiers' names, [E]
    """

    champion: FloatArray
    challenger: FloatArray
    tier: IntArray


@dataclass(frozen=True)
class GateSide:
    """What else is known of one side.

    coverage: share of the catalogue that its lists show, by task; calibration_error: of the churn risk, None where it
    could not be judged; latency_p95: of answering one user, in seconds, None where it was not measured
    """

    coverage: Mapping[str, float]
    calibration_error: float | None = None
    latency_p95: float | None = None


@dataclass(frozen=True)
class PairedDifference:
    """Challenger minus champion in one group of users."""

    users: int
    interval: Interval

    def report(self) -> dict[str, Any]:
        """As the gate's report writes it."""
        one = self.interval
        return {"users": self.users, "value": _round(one.value), "ci": [_round(one.low), _round(one.high)]}


@dataclass(frozen=True)
class TaskDifference:
    """One task's differences: of all users, and by the name of each tier that has any."""

    overall: PairedDifference
    by_tier: Mapping[str, PairedDifference]


@dataclass(frozen=True)
class GateReport:
    """What the gate says, and why.

    verdict: worse = a loss is shown that may exceed a margin, overall or somewhere; no change = the first task's
    interval lies within the margin; better = it lies above zero and reaches beyond the margin; undecided = too wide to
    tell, but no loss is shown
    """

    verdict: Verdict
    checks: tuple[GateCheck, ...]
    tasks: Mapping[str, TaskDifference]

    @property
    def passed(self) -> bool:
        """Whether the challenger may go on."""
        return all(check.passed for check in self.checks)

    def report(self) -> dict[str, Any]:
        """Everything as JSON."""
        return {
            "verdict": self.verdict,
            "passed": self.passed,
            "checks": [asdict(check) for check in self.checks],
            "tasks": {
                task: {
                    "users": found.overall.users,
                    "overall": {key: one for key, one in found.overall.report().items() if key != "users"},
                    "by_tier": {tier: one.report() for tier, one in found.by_tier.items()},
                }
                for task, found in self.tasks.items()
            },
        }

    def require_passed(self) -> None:
        """Raises GateError that names the checks which refused."""
        failed = [check for check in self.checks if not check.passed]
        if failed:
            named = "; ".join(f"{one.name} is {one.found}, wanted {one.wanted}" for one in failed[:3])
            more = f"; and {len(failed) - 3} more" if len(failed) > 3 else ""
            raise GateError(
                f"gate: {len(failed)} of {len(self.checks)} checks refuse the challenger ({self.verdict})\n"
                f"{named}{more}\nthe champion stays; look at the report, or widen a margin of gate in params.yaml"
            )


def judge(
    tasks: Mapping[str, Scores],
    champion: GateSide,
    challenger: GateSide,
    settings: GateSettings,
    rng: np.random.Generator,
    *,
    metric: str = "NDCG@10",
    tiers: Sequence[str] = _TIERS,
) -> GateReport:
    """Compare the two sides on every task; the first task is the one that must be better or equal.

    metric: name of what the scores hold; tiers: names of the tiers, which the scores' tier counts.
    Raises EmptyDataError when a task has no user.
    """
    groups = list(_groups(tasks, settings, tiers, rng))
    main = groups[0]
    accuracy = [
        main.check(metric, _LEVEL),
        *(one.check(metric, _LEVEL / (len(groups) - 1)) for one in groups[1:]),
    ]
    enough = GateCheck(
        f"{main.task}: users", str(len(main.delta)), f">= {_FEWEST}", len(main.delta) >= _FEWEST
    )
    others = [*_coverage(champion, challenger, settings), _calibration(champion, challenger, settings)]
    checks = (enough, *accuracy, *others, _latency(champion, challenger, settings))
    lost = not all(check.passed for check in accuracy)
    return GateReport(_verdict(main, lost=lost, enough=enough.passed), checks, _differences(groups))


@dataclass(frozen=True)
class _Group:
    """Users who are compared: all of a task, or one tier of it (tier "").

    delta: challenger - champion, [E]; margin: of the metric
    """

    task: str
    tier: str
    delta: FloatArray
    margin: float
    interval: Interval

    @property
    def may_lose(self) -> bool:
        """Whether a loss beyond the margin cannot be ruled out."""
        return self.interval.low < -self.margin

    def check(self, metric: str, level: float) -> GateCheck:
        """Refuse what may lose more than the margin and loses by no chance at this level."""
        one = self.interval
        name = f"{self.task}, {self.tier} users: {metric}" if self.tier else f"{self.task}: {metric}"
        found = f"{one.value:+.4f} [{one.low:+.4f}, {one.high:+.4f}]"
        wanted = f">= {-self.margin:.4f} at the lower end"
        if not self.may_lose:
            return GateCheck(name, found, wanted, passed=True)
        chance = loss_p_value(self.delta)
        wanted = f"{wanted}, or a loss that may be chance, p > {level:.2g}"
        return GateCheck(name, f"{found}, p = {chance:.2g}", wanted, chance > level)


def _groups(
    tasks: Mapping[str, Scores], settings: GateSettings, tiers: Sequence[str], rng: np.random.Generator
) -> Iterator[_Group]:
    """All users of each task, each followed by its tiers; the first is the one that decides overall."""
    for place, (task, scores) in enumerate(tasks.items()):
        everybody = np.ones(len(scores.tier), bool)
        yield _group(
            task, "", scores, everybody, settings.task_margin if place else settings.margin, settings, rng
        )
        for code, tier in enumerate(tiers):
            members = scores.tier == code
            if members.any():
                yield _group(task, tier, scores, members, settings.tier_margin, settings, rng)


def _group(
    task: str,
    tier: str,
    scores: Scores,
    members: BoolArray,
    margin: float,
    settings: GateSettings,
    rng: np.random.Generator,
) -> _Group:
    """The members' differences; the margin becomes one of the metric."""
    delta = (scores.challenger - scores.champion)[members]
    found = interval(delta, settings.bootstraps, rng)
    return _Group(task, tier, delta, margin * float(scores.champion[members].mean()), found)


def loss_p_value(delta: FloatArray) -> float:
    """How often differences delta [E] of random signs have a mean as low as theirs; exact for a few users."""
    moved = delta[delta != 0]  # a zero keeps its sign
    if len(moved) > _ENUMERATED:
        return float(norm.cdf(moved.sum() / np.sqrt((moved**2).sum())))
    signs = 1 - 2 * ((np.arange(2 ** len(moved))[:, None] >> np.arange(len(moved))) & 1)
    sums = signs @ moved
    return float((sums <= sums[0] + _SLACK * np.abs(moved).sum()).mean())


def _coverage(champion: GateSide, challenger: GateSide, settings: GateSettings) -> Iterator[GateCheck]:
    for task, shown in champion.coverage.items():
        name, least = f"{task}: coverage", (1 - settings.max_coverage_loss) * shown
        if task in challenger.coverage:
            found = challenger.coverage[task]
            wanted = f">= {least:.4f}, the champion's {shown:.4f} less {settings.max_coverage_loss:.0%}"
            yield GateCheck(name, f"{found:.4f}", wanted, bool(found >= least))
        else:
            yield GateCheck(name, "not answered", "an answer, as the champion has one", passed=False)


def _calibration(champion: GateSide, challenger: GateSide, settings: GateSettings) -> GateCheck:
    """The challenger may miss the limit where the champion misses it by as much."""
    name, found, before = "churn: calibration error", challenger.calibration_error, champion.calibration_error
    limit, wanted = settings.max_calibration_error, f"<= {settings.max_calibration_error:g}"
    if found is None:
        return GateCheck(name, "not judged", wanted, passed=True)
    if before is not None and before > limit:
        limit, wanted = before, f"{wanted}, or the champion's {before:.4f}"
    return GateCheck(name, f"{found:.4f}", wanted, bool(found <= limit))


def _latency(champion: GateSide, challenger: GateSide, settings: GateSettings) -> GateCheck:
    name, times = "latency: p95", f"{settings.max_latency_ratio:g} times the champion's"
    if champion.latency_p95 is None or challenger.latency_p95 is None:
        return GateCheck(name, "not measured", f"<= {times}", passed=True)
    passed = bool(challenger.latency_p95 <= settings.max_latency_ratio * champion.latency_p95)
    wanted = f"<= {times} {1e3 * champion.latency_p95:.1f} ms"
    return GateCheck(name, f"{1e3 * challenger.latency_p95:.1f} ms", wanted, passed)


def _verdict(main: _Group, *, lost: bool, enough: bool) -> Verdict:
    """A difference that lies within the margin is none, significant or not: no two fits of one model are the same."""
    if lost:
        return "worse"
    if enough and not main.may_lose and main.interval.high <= main.margin:
        return "no change"
    return "better" if enough and main.interval.low > 0 else "undecided"


def _differences(groups: Sequence[_Group]) -> dict[str, TaskDifference]:
    found = {(one.task, one.tier): PairedDifference(len(one.delta), one.interval) for one in groups}
    return {
        task: TaskDifference(
            overall, {tier: one for (other, tier), one in found.items() if other == task and tier}
        )
        for (task, name), overall in found.items()
        if not name
    }


def _round(value: float) -> float:
    """Six digits, and no negative zero, so that equal figures are equal text."""
    return round(float(value), _DIGITS) + 0.0
