"""How good probabilities are: order (AUC), error (Brier, 1950) and calibration (ECE; Naeini et al., AAAI 2015)."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from scipy.stats import binomtest

from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray
from tierrec_core.evaluation.bootstrap import Interval

MEASURES = ("auc", "brier", "ece")

_ECE = MEASURES.index("ece")
_NUM_BINS = 10
_FEWEST = 5
_PERCENTILES = (2.5, 97.5)
_CELLS_A_CHUNK = 4_000_000
_DIGITS = 6

Block = dict[str, Any]


def judge(
    label: BoolArray, models: Mapping[str, FloatArray], against: str, draws: int, rng: np.random.Generator
) -> dict[str, Block]:
    """Each model's probabilities [N] on the truth label [N], with 95% intervals over resampled rows: model -> block.

    against: the model to which the others' differences are taken, over the same resampled rows
    A block holds each of MEASURES, its `_ci`, and `delta_` of it. Where fewer than 5 rows are true, or false,
    there is no order to judge, and auc is left out. Resampling adds noise, which ece, a sum of absolute values,
    takes for miscalibration: its resampled values are moved back by that bias.
    """
    drawn = np.concatenate([_measures(label, models, counts) for counts in resamples(len(label), draws, rng)])
    points = _measures(label, models, np.ones((1, len(label))))[0]
    drawn[:, :, _ECE] = np.maximum(drawn[:, :, _ECE] - drawn[:, :, _ECE].mean(axis=0) + points[:, _ECE], 0.0)
    base, names = list(models).index(against), list(models)
    few = min(int(label.sum()), int((~label).sum())) < _FEWEST
    blocks: dict[str, Block] = {name: {} for name in names}
    for column, measure in list(enumerate(MEASURES))[few:]:
        for place, name in enumerate(names):
            point, draw = points[:, column], drawn[:, :, column]
            blocks[name] |= figure(measure, interval_of(point[place], draw[:, place]))
            if name != against:
                delta = interval_of(point[place] - point[base], draw[:, place] - draw[:, base])
                blocks[name][f"delta_{measure}"] = difference(against, delta)
    return blocks


def resamples(num_rows: int, draws: int, rng: np.random.Generator) -> Iterator[FloatArray]:
    """How often each row is drawn in `draws` samples with replacement, [B, N], in chunks that bound the memory."""
    chunk = max(1, _CELLS_A_CHUNK // max(num_rows, 1))
    for start in range(0, draws, chunk):
        size = min(chunk, draws - start)
        yield rng.multinomial(num_rows, np.full(num_rows, 1.0 / num_rows), size).astype(float)


def area(label: BoolArray, score: FloatArray, counts: FloatArray) -> FloatArray:
    """The chance that a true row scores above a false one, ties counting half, in each sample: [B].

    label, score: truth and score of each row, [N]; counts: how often a sample holds each row, [B, N]
    A sample without a true or without a false row has NaN.
    """
    order = np.argsort(score, kind="stable")
    starts = np.flatnonzero(np.diff(score[order], prepend=-np.inf))
    weight, truth = counts[:, order], label[order]
    true = np.add.reduceat(weight * truth, starts, axis=1)
    false = np.add.reduceat(weight * ~truth, starts, axis=1)
    below = np.cumsum(false, axis=1) - false / 2
    pairs = true.sum(axis=1) * false.sum(axis=1)
    chance: FloatArray = np.divide(
        (true * below).sum(axis=1), pairs, out=np.full(len(counts), np.nan), where=pairs > 0
    )
    return chance


def reliability(label: BoolArray, probability: FloatArray) -> list[dict[str, float]]:
    """Rows of label [N] by tenth of their probability [N]: how many, what was said, what came true, and its interval.

    The interval is Wilson's at 95%.
    """
    bins = _bins(probability)
    table = []
    for one in np.unique(bins):
        said, true = probability[bins == one], int(label[bins == one].sum())
        bound = binomtest(true, len(said)).proportion_ci(method="wilson")
        figures = {
            "from": said.min(),
            "to": said.max(),
            "predicted": said.mean(),
            "observed": true / len(said),
        }
        figures |= {"observed_low": bound.low, "observed_high": bound.high}
        table.append(
            {"rows": len(said)} | {name: round(float(one), _DIGITS) for name, one in figures.items()}
        )
    return table


def interval_of(point: float, drawn: FloatArray) -> Interval:
    """A figure with the percentile interval of its resampled values [B]; NaN among them are left out."""
    low, high = np.nanpercentile(drawn, _PERCENTILES)
    return Interval(float(point), float(low), float(high))


def figure(name: str, found: Interval) -> Block:
    """A figure and its interval as a report writes them."""
    return {name: round(found.value, _DIGITS), f"{name}_ci": _bounds(found)}


def difference(against: str, found: Interval) -> Block:
    """A difference to another model as a report writes it."""
    return {"against": against, "value": round(found.value, _DIGITS), "ci": _bounds(found)}


def _bounds(found: Interval) -> list[float]:
    return [round(found.low, _DIGITS), round(found.high, _DIGITS)]


def _measures(label: BoolArray, models: Mapping[str, FloatArray], counts: FloatArray) -> FloatArray:
    """MEASURES of each model in each sample, [B, M, 3]."""
    return np.stack([_measure(label, probability, counts) for probability in models.values()], axis=1)


def _measure(label: BoolArray, probability: FloatArray, counts: FloatArray) -> FloatArray:
    """MEASURES in each sample, [B, 3]; the bins of ece are tenths of all rows, whatever the sample."""
    size = counts.sum(axis=1)
    bins = _bins(probability)
    onto = bins[:, None] == np.unique(bins)
    gap = np.abs(counts @ (onto * (probability - label)[:, None])).sum(axis=1)
    return np.column_stack(
        [area(label, probability, counts), counts @ (probability - label) ** 2 / size, gap / size]
    )


def _bins(probability: FloatArray) -> IntArray:
    """The tenth in which each probability lies, [N]; equal ones lie together."""
    edges = np.quantile(probability, np.arange(1, _NUM_BINS) / _NUM_BINS)
    return np.searchsorted(np.unique(edges), probability, side="left")
