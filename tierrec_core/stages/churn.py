"""Stage churn: fit the churn model, and evaluate it once, on the test days; fit another to the whole log."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd

from tierrec_core.base import artifacts
from tierrec_core.base.contracts import ITEMS
from tierrec_core.base.paths import Layout
from tierrec_core.data.interactions import from_days
from tierrec_core.data.splits import SplitLog
from tierrec_core.evaluation.bootstrap import round_figure, round_figures
from tierrec_core.evaluation.calibration import evaluate_probabilities, reliability
from tierrec_core.propensity.churn import RECENCY, ChurnDataset, ChurnFeatures, ChurnModel, validation_losses
from tierrec_core.propensity.classifier import Classifier
from tierrec_core.settings import Settings
from tierrec_core.stages.inputs.split_log import evaluation_start, read_split, snapshot_days
from tierrec_core.tiers import Tiering

Report = dict[str, Any]

_BASELINE = "recency"


@dataclass(frozen=True)
class ChurnWindows:
    """Snapshots in days since 1970 UTC; the labels of each are complete before the next one.

    train: to fit the candidate models, oldest first; empty when the log is too short
    choose, calibrate, test: to select, calibrate and evaluate a model
    """

    train: tuple[float, ...]
    choose: float
    calibrate: float
    test: float

    @classmethod
    def of(cls, log: SplitLog, settings: Settings) -> Self:
        """Place the windows backwards from the start of the test, in production from the end of the log."""
        options, horizon = settings.churn, settings.churn.horizon_days
        test = evaluation_start(log, settings.split, horizon)
        first = float(log.log.day.min()) + options.min_history_days
        train = snapshot_days(first, test - 3 * horizon, options.step_days)
        return cls(tuple(train), test - 2 * horizon, test - horizon, test)

    def describe(self) -> Report:
        """The snapshots as dates; the final fit trains on `choose`, too."""
        later = {name: _date(getattr(self, name)) for name in ("choose", "calibrate", "test")}
        return {"train": [_date(day) for day in (*self.train, self.choose)]} | later


def run(layout: Layout, settings: Settings) -> None:
    """Write both models, and report.json on the evaluated one; print its AUC."""
    (churn, report), in_production = (
        fit_churn(read_split(place), artifacts.read_frame(place.items, ITEMS), settings)
        for place in layout.evaluation_and_production
    )
    artifacts.save(churn, layout.churn)
    artifacts.save(in_production[0], layout.production.churn)
    artifacts.write_json(report, layout.churn_report)
    if report["judged"]:
        block = report["test"]["all"]
        print(f"churn: AUC {block['model']['auc']}, by {_BASELINE} alone {block[_BASELINE]['auc']}")
    else:
        print(f"churn: probability {churn.base_rate:.3f} for all users: {report['reason']}")


def fit_churn(log: SplitLog, items: pd.DataFrame, settings: Settings) -> tuple[ChurnModel, Report]:
    """The model and its report, without figures if the log has no test; one that is too short gets the base rate."""
    windows, options, seed = ChurnWindows.of(log, settings), settings.churn, settings.seed
    known = log.log.before(windows.choose) if windows.train else log.history(log.final.name)
    features = ChurnFeatures(log.target, Tiering.fit(known, items, settings.tiers, seed))
    if not windows.train:
        days, wanted = np.ptp(log.log.day), options.min_history_days + 4 * options.horizon_days
        reason = f"the log has {days:.0f} days, wanted {wanted:.0f}"
        return _fit_base_rate(log, windows, features, settings, reason)
    train = _dataset(log, windows.train, features, settings)
    if train.label.all() or not train.label.any():
        share = "no user" if train.label.all() else "every user"
        return _fit_base_rate(log, windows, features, settings, f"{share} returned in the training windows")
    choose, calibrate = (_dataset(log, [day], features, settings) for day in (windows.choose, windows.calibrate))
    losses = validation_losses(train, choose, options, seed)
    kind, train = min(losses, key=losses.__getitem__), ChurnDataset.join([train, choose])
    churn = ChurnModel.fit(kind, features, train, calibrate, options, seed)
    report = {
        "horizon_days": options.horizon_days,
        "target": list(log.target),
        "judged": True,
        "moments": windows.describe(),
        "examples": len(train.label),
        "kind": kind,
        "log_loss_when_chosen": round_figures(losses),
        "base_rate": round_figure(churn.base_rate),
        "importance": round_figures(churn.classifier.importance),
    }
    if not log.has_test:
        return churn, report
    recency = _fit_recency(train, calibrate, settings)
    return churn, report | _evaluate(log, windows, churn, recency, settings)


def _dataset(log: SplitLog, days: Sequence[float], features: ChurnFeatures, settings: Settings) -> ChurnDataset:
    return ChurnDataset.join([ChurnDataset.of(log.log, day, settings.churn.horizon_days, features) for day in days])


def _fit_base_rate(
    log: SplitLog, windows: ChurnWindows, features: ChurnFeatures, settings: Settings, reason: str
) -> tuple[ChurnModel, Report]:
    """The base rate for all users, from the calibration window, or the test window if the log begins later."""
    first, last = float(log.log.day.min()), log.log.now - settings.churn.horizon_days
    days = [day for day in (windows.calibrate, windows.test) if first < day <= last][:1]
    label = _dataset(log, days, features, settings).label if days else np.zeros(0, bool)
    churn = ChurnModel.constant(features, label, settings.churn)
    return churn, {
        "horizon_days": settings.churn.horizon_days,
        "target": list(log.target),
        "judged": False,
        "reason": reason,
        "base_rate": round_figure(churn.base_rate),
        "measured_at": [_date(day) for day in days],
    }


def _fit_recency(train: ChurnDataset, calibrate: ChurnDataset, settings: Settings) -> Classifier:
    """The baseline with recency as its only feature, fitted and calibrated on the same rows."""
    fitted = Classifier.logistic((RECENCY,), train.select_columns(RECENCY), train.label, settings.churn.l2)
    return fitted.calibrated(calibrate.select_columns(RECENCY), calibrate.label)


def _evaluate(
    log: SplitLog, windows: ChurnWindows, churn: ChurnModel, recency: Classifier, settings: Settings
) -> Report:
    """Evaluate the model and its baselines over all users, recently active users, and each tier."""
    history = log.log.before(windows.test)
    test = _dataset(log, [windows.test], churn.features, settings)
    probabilities = {
        "model": churn.probability(history)[test.user],
        _BASELINE: recency.probability(test.select_columns(RECENCY)),
        "base_rate": np.full(len(test.label), churn.base_rate),
    }
    tier = churn.features.tiering.assign(history)[test.user]
    active = test.select_columns(RECENCY)[:, 0] <= np.log1p(churn.horizon_days)
    groups = {"all": np.ones(len(test.label), bool), "active": active}
    groups |= {name: tier == code for code, name in enumerate(churn.features.tiering.names)}
    rng, blocks = np.random.default_rng(settings.seed), {}
    for name, members in groups.items():
        if members.any():
            label = test.label[members]
            predicted = {model: probability[members] for model, probability in probabilities.items()}
            counts = {"users": len(label), "stayed_away": round_figure(label.mean())}
            draws = settings.churn.bootstraps
            blocks[name] = counts | evaluate_probabilities(label, predicted, _BASELINE, draws, rng)
    return {"test": blocks, "reliability": reliability(test.label, probabilities["model"])}


def _date(day: float) -> str:
    return f"{from_days(day):%Y-%m-%dT%H:%M}"
