"""Results of an experiment: conversion rates and differences to the baseline, with always-valid intervals."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd

from services.experiments.assignment import Experiments, variant_of
from services.experiments.settings import Experiment
from services.store.outcomes import OutcomeQueries
from tierrec_core.base.contracts import IntArray
from tierrec_core.base.errors import MissingColumnError
from tierrec_core.evaluation.bootstrap import ConfidenceInterval
from tierrec_core.evaluation.confidence_sequences import Bounds, ConfidenceSequence, Moments, proportion, split_p_value

ALPHA = 0.05
MISMATCH = 0.01  # a smaller p-value means a sample ratio mismatch: the results are not valid
_COLUMNS = ("user_id", "variant", "impressions", "conversions")

Verdict: TypeAlias = Literal["baseline", "better", "worse", "undecided"]


@dataclass(frozen=True)
class Interval(ConfidenceInterval):
    """A mean over users with its 95% interval."""


@dataclass(frozen=True)
class VariantResult:
    """One variant so far; becomes JSON by dataclasses.asdict.

    share: the planned one; users: those who were shown something
    rate: users who converted over users; mean_conversions: conversions a user
    difference: of the rate to the first variant's; None for the first itself. All differences hold the truth at once
    and at every look with 95%.
    split_p_value, mismatch: whether users came in the planned shares (of the whole experiment); if not, all verdicts
    but the baseline's are `undecided`. Shares that were changed while it ran are a mismatch too.
    """

    variant: str
    share: float
    users: int
    impressions: int
    conversions: int
    rate: Interval
    mean_conversions: float
    difference: Interval | None
    verdict: Verdict
    split_p_value: float
    mismatch: bool


def variant_results(outcomes: pd.DataFrame, experiment: Experiment) -> list[VariantResult]:
    """Compare the variants in the order of the settings; rows of unknown variants are ignored.

    outcomes: user_id, variant, impressions, conversions, one row per user. Raises MissingColumnError.
    """
    totals = _totals(outcomes, list(experiment.variants))
    users, converted = totals["users"].to_numpy(), totals["converted"].to_numpy()
    shares = np.array([variant.share for variant in experiment.variants.values()])
    p_value = split_p_value(users[shares > 0], shares[shares > 0] / shares.sum())
    rates = proportion(converted, users, ALPHA)
    differences = _differences(users, converted, experiment.expected_users)
    results = []
    for row, (name, variant) in enumerate(experiment.variants.items()):
        difference = _clipped(differences, row - 1) if row else None
        results.append(
            VariantResult(
                variant=name,
                share=variant.share,
                users=int(users[row]),
                impressions=int(totals["impressions"].iloc[row]),
                conversions=int(totals["conversions"].iloc[row]),
                rate=_clipped(rates, row),
                mean_conversions=float(totals["conversions"].iloc[row] / max(users[row], 1)),
                difference=difference,
                verdict=_verdict(difference, p_value < MISMATCH),
                split_p_value=p_value,
                mismatch=p_value < MISMATCH,
            )
        )
    return results


def all_results(experiments: Experiments, store: OutcomeQueries) -> dict[str, list[VariantResult]]:
    """The results of every experiment by its name.

    With simultaneous experiments, a conversion that follows lists of two combinations of variants counts for each of
    them; rates and verdicts do not depend on that.
    """
    by_name = experiments.by_name
    return {name: variant_results(_gather(experiments, store, name), by_name[name]) for name in by_name}


def _gather(experiments: Experiments, store: OutcomeQueries, name: str) -> pd.DataFrame:
    """Outcomes of one experiment, also of users in further experiments; one row per user."""
    experiment = experiments.by_name[name]
    frames = []
    for label in experiments.labels(name):
        outcomes = store.outcomes(label, goal=experiment.goal, horizon_hours=experiment.horizon_hours)
        variants = [variant_of(name, label, joint) for joint in outcomes["variant"]]
        frames.append(outcomes.assign(variant=pd.Series(variants, outcomes.index, dtype=object)))
    return (
        pd.concat(frames)
        .groupby("user_id", as_index=False)
        .agg({"variant": "first", "impressions": "sum", "conversions": "sum"})
    )


def _totals(outcomes: pd.DataFrame, variants: list[str]) -> pd.DataFrame:
    """Users, converted, impressions and conversions by variant, in the given order."""
    missing = [name for name in _COLUMNS if name not in outcomes.columns]
    if missing:
        raise MissingColumnError(
            f"outcomes: column {missing[0]!r} is missing; found {', '.join(map(str, outcomes.columns)) or 'none'}"
        )
    frame = outcomes.assign(users=1, converted=outcomes["conversions"] > 0)
    sums = frame.groupby("variant")[["users", "converted", "impressions", "conversions"]].sum()
    return sums.reindex(variants, fill_value=0).astype(np.int64)


def _differences(users: IntArray, converted: IntArray, expected: int) -> Bounds:
    """Differences of the other variants to the first, [V - 1], at a level corrected for their number."""
    first, others = (Moments.of_successes(users[part], converted[part]) for part in (slice(1), slice(1, None)))
    return ConfidenceSequence.tuned(expected, ALPHA / (len(users) - 1)).difference(others, first)


def _clipped(bounds: Bounds, row: int) -> Interval:
    """One of the bounds, clipped to [-1, 1], the range of rates and their differences."""
    return Interval(*np.clip([bounds.estimate[row], bounds.low[row], bounds.high[row]], -1, 1).tolist())


def _verdict(difference: Interval | None, mismatch: bool) -> Verdict:
    if difference is None:
        return "baseline"
    if mismatch or difference.low <= 0 <= difference.high:
        return "undecided"
    return "better" if difference.low > 0 else "worse"
