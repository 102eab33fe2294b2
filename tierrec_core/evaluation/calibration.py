"""Quality of predicted probabilities: AUC, Brier score (1950) and calibration error (ECE; Naeini et al., AAAI 2015)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.stats import binomtest

from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray
from tierrec_core.evaluation.bootstrap import percentile_interval, resample_counts, round_figures

MEASURES = ("auc", "brier", "ece")

_ECE = MEASURES.index("ece")
_NUM_BINS = 10
_MIN_PER_CLASS = 5

Block = dict[str, Any]


def evaluate_probabilities(
    label: BoolArray, models: Mapping[str, FloatArray], against: str, draws: int, rng: np.random.Generator
) -> dict[str, Block]:
    """Evaluate each model's probabilities [N] on the labels [N], with 95% bootstrap intervals: model -> block.

    against: the baseline of the other models' differences, computed on the same resampled rows
    A block has each of MEASURES, its `_ci`, and its `delta_`. With fewer than 5 rows of either class, auc is left out.
    Resampling noise raises ece, a sum of absolute values, so its resampled values are corrected by that bias.
    """
    resampled = np.concatenate([_measures(label, models, counts) for counts in resample_counts(len(label), draws, rng)])
    points = _measures(label, models, np.ones((1, len(label))))[0]
    unbiased = resampled[:, :, _ECE] - resampled[:, :, _ECE].mean(axis=0) + points[:, _ECE]
    resampled[:, :, _ECE] = np.maximum(unbiased, 0.0)
    base, names = list(models).index(against), list(models)
    without_auc = min(int(label.sum()), int((~label).sum())) < _MIN_PER_CLASS
    blocks: dict[str, Block] = {name: {} for name in names}
    for column, measure in list(enumerate(MEASURES))[without_auc:]:
        point, draw = points[:, column], resampled[:, :, column]
        for row, name in enumerate(names):
            blocks[name] |= percentile_interval(point[row], draw[:, row]).report(measure)
            if name != against:
                delta = percentile_interval(point[row] - point[base], draw[:, row] - draw[:, base])
                blocks[name][f"delta_{measure}"] = delta.report_delta(against)
    return blocks


def roc_auc(label: BoolArray, score: FloatArray, counts: FloatArray) -> FloatArray:
    """Area under the ROC curve in each sample, ties counting half, [B].

    label, score: of each row, [N]; counts: how often a sample has each row, [B, N]
    A sample of one class has NaN.
    """
    order = np.argsort(score, kind="stable")
    starts = np.flatnonzero(np.diff(score[order], prepend=-np.inf))
    weight, truth = counts[:, order], label[order]
    positive = np.add.reduceat(weight * truth, starts, axis=1)
    negative = np.add.reduceat(weight * ~truth, starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative / 2
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    ranked = (positive * below).sum(axis=1)
    return np.asarray(np.divide(ranked, pairs, out=np.full(len(counts), np.nan), where=pairs > 0))


def reliability(label: BoolArray, probability: FloatArray) -> list[dict[str, float]]:
    """Reliability table: predicted and observed rate by decile of the probabilities [N], with Wilson's 95% interval."""
    bins = _bins(probability)
    table: list[dict[str, float]] = []
    for code in np.unique(bins):
        predicted, positives = probability[bins == code], int(label[bins == code].sum())
        interval = binomtest(positives, len(predicted)).proportion_ci(method="wilson")
        figures = {
            "from": predicted.min(),
            "to": predicted.max(),
            "predicted": predicted.mean(),
            "observed": positives / len(predicted),
            "observed_low": interval.low,
            "observed_high": interval.high,
        }
        table.append({"rows": len(predicted)} | round_figures(figures))
    return table


def _measures(label: BoolArray, models: Mapping[str, FloatArray], counts: FloatArray) -> FloatArray:
    """MEASURES of each model in each sample, [B, M, 3]."""
    return np.stack([_measure(label, probability, counts) for probability in models.values()], axis=1)


def _measure(label: BoolArray, probability: FloatArray, counts: FloatArray) -> FloatArray:
    """MEASURES in each sample, [B, 3]; the bins of ece are deciles of all rows in every sample."""
    size = counts.sum(axis=1)
    bins = _bins(probability)
    in_bin = bins[:, None] == np.unique(bins)
    gap = np.abs(counts @ (in_bin * (probability - label)[:, None])).sum(axis=1)
    return np.column_stack(
        [roc_auc(label, probability, counts), counts @ (probability - label) ** 2 / size, gap / size]
    )


def _bins(probability: FloatArray) -> IntArray:
    """The decile of each probability, [N]; equal probabilities share one."""
    edges = np.quantile(probability, np.arange(1, _NUM_BINS) / _NUM_BINS)
    return np.searchsorted(np.unique(edges), probability, side="left")
