"""Stage churn: fit the chance that a user stays away, and judge it once, on the days of the test."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd

from tierrec_core.base import artifacts
from tierrec_core.base.artifacts import read_frame
from tierrec_core.base.contracts import ITEMS
from tierrec_core.base.paths import Layout
from tierrec_core.data.interactions import from_days
from tierrec_core.data.splits import SplitLog
from tierrec_core.evaluation.calibration import judge, reliability
from tierrec_core.propensity.churn import RECENCY, ChurnDataset, ChurnFeatures, ChurnModel, validation_losses
from tierrec_core.propensity.classifier import Classifier
from tierrec_core.settings import Settings
from tierrec_core.stages.inputs.label_windows import judged_from, moments
from tierrec_core.stages.inputs.split_log import read_split
from tierrec_core.tiers import TIER_NAMES, Tiering

Report = dict[str, Any]

_BASELINE = "recency"
_DIGITS = 6


@dataclass(frozen=True)
class ChurnWindows:
    """Moments in days. What each is answered by is over before the next one's moment.

    train: where the kinds of model learn, oldest first; empty where the log has no room
    choose: where they are tried; calibrate: on what the better one is calibrated; test: where it is judged
    """

    train: tuple[float, ...]
    choose: float
    calibrate: float
    test: float

    @classmethod
    def of(cls, log: SplitLog, settings: Settings) -> Self:
        """The plan of a log, backwards from where its test begins."""
        options, horizon = settings.churn, settings.churn.horizon_days
        test = judged_from(log, settings.split, horizon)
        first = float(log.log.day.min()) + options.min_history_days
        train = moments(first, test - 3 * horizon, options.step_days)
        return cls(tuple(train), test - 2 * horizon, test - horizon, test)

    def describe(self) -> Report:
        """Its moments as dates; what is tried at `choose` is learned from afterwards."""
        train = [_date(moment) for moment in (*self.train, self.choose)]
        later = {"choose": self.choose, "calibrate": self.calibrate, "test": self.test}
        return {"train": train} | {name: _date(moment) for name, moment in later.items()}


def run(layout: Layout, settings: Settings) -> None:
    """Write the model and report.json; print how it did."""
    churn, report = build(read_split(layout), read_frame(layout.items, ITEMS), settings)
    artifacts.save(churn, layout.churn)
    artifacts.write_json(report, layout.churn_report)
    if report["judged"]:
        everybody = report["test"]["all"]
        print(f"churn: AUC {everybody['model']['auc']}, by {_BASELINE} alone {everybody[_BASELINE]['auc']}")
    else:
        print(f"churn: everybody gets {churn.base_rate:.3f}, since {report['reason']}")


def build(log: SplitLog, items: pd.DataFrame, settings: Settings) -> tuple[ChurnModel, Report]:
    """The model and its report; a log that is too short gets the base rate and a report that says so."""
    plan, options, seed = ChurnWindows.of(log, settings), settings.churn, settings.seed
    known = log.log.before(plan.choose) if plan.train else log.history(log.final.name)
    habits = ChurnFeatures(log.target, Tiering.fit(known, items, settings.tiers, seed))
    if not plan.train:
        days, wanted = np.ptp(log.log.day), options.min_history_days + 4 * options.horizon_days
        return _constant(log, plan, habits, settings, f"the log has {days:.0f} days, wanted {wanted:.0f}")
    train = _examples(log, plan.train, habits, settings)
    if train.label.all() or not train.label.any():
        answer = "nobody" if train.label.all() else "everybody"
        return _constant(log, plan, habits, settings, f"{answer} came back in the days to learn from")
    choose, later = (_examples(log, [one], habits, settings) for one in (plan.choose, plan.calibrate))
    losses = validation_losses(train, choose, options, seed)
    kind, train = min(losses, key=losses.__getitem__), ChurnDataset.join([train, choose])
    churn = ChurnModel.fit(kind, habits, train, later, options, seed)
    report = {
        "judged": True,
        "moments": plan.describe(),
        "examples": len(train.label),
        "kind": kind,
        "log_loss_when_chosen": _rounded(losses),
        "base_rate": round(churn.base_rate, _DIGITS),
        "importance": _rounded(churn.classifier.importance),
    }
    judged = _judge(log, plan, churn, _recency(train, later, settings), settings)
    return churn, _about(log, settings) | report | judged


def _examples(log: SplitLog, at: Sequence[float], habits: ChurnFeatures, settings: Settings) -> ChurnDataset:
    return ChurnDataset.join(
        [ChurnDataset.of(log.log, moment, settings.churn.horizon_days, habits) for moment in at]
    )


def _constant(
    log: SplitLog, plan: ChurnWindows, habits: ChurnFeatures, settings: Settings, reason: str
) -> tuple[ChurnModel, Report]:
    """The base rate for everybody, from the newest window that is whole and, if there is one, no test."""
    first = float(log.log.day.min())
    whole = [moment for moment in (plan.calibrate, plan.test) if moment > first][:1]
    label = _examples(log, whole, habits, settings).label if whole else np.zeros(0, bool)
    churn = ChurnModel.constant(habits, label, settings.churn)
    about = {"judged": False, "reason": reason, "base_rate": round(churn.base_rate, _DIGITS)}
    return churn, _about(log, settings) | about | {"measured_at": [_date(moment) for moment in whole]}


def _recency(train: ChurnDataset, later: ChurnDataset, settings: Settings) -> Classifier:
    """The baseline: the days since the last act and nothing else, fitted and calibrated on the same rows."""
    fitted = Classifier.logistic((RECENCY,), train.select_columns(RECENCY), train.label, settings.churn.l2)
    return fitted.calibrated(later.select_columns(RECENCY), later.label)


def _judge(
    log: SplitLog, plan: ChurnWindows, churn: ChurnModel, recency: Classifier, settings: Settings
) -> Report:
    """Figures of the model and its baselines over everybody, over those active of late, and by tier."""
    history = log.log.before(plan.test)
    test = _examples(log, [plan.test], churn.habits, settings)
    found = {
        "model": churn.probability(history)[test.user],
        _BASELINE: recency.probability(test.select_columns(RECENCY)),
        "base_rate": np.full(len(test.label), churn.base_rate),
    }
    tier = churn.habits.tiering.assign(history)[test.user]
    lately = test.select_columns(RECENCY)[:, 0] <= np.log1p(churn.horizon_days)
    groups = {"all": np.ones(len(test.label), bool), "active": lately}
    groups |= {name: tier == code for code, name in enumerate(TIER_NAMES)}
    rng, blocks = np.random.default_rng(settings.seed), {}
    for name, chosen in groups.items():
        if chosen.any():
            label, said = test.label[chosen], {model: one[chosen] for model, one in found.items()}
            about = {"users": len(label), "stayed_away": round(float(label.mean()), _DIGITS)}
            blocks[name] = about | judge(label, said, _BASELINE, settings.churn.bootstraps, rng)
    return {"test": blocks, "reliability": reliability(test.label, found["model"])}


def _about(log: SplitLog, settings: Settings) -> Report:
    return {"horizon_days": settings.churn.horizon_days, "target": list(log.target)}


def _date(moment: float) -> str:
    return f"{from_days(moment):%Y-%m-%dT%H:%M}"


def _rounded(figures: Mapping[str, float]) -> dict[str, float]:
    return {name: round(one, _DIGITS) for name, one in figures.items()}
