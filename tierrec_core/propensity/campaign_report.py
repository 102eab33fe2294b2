"""How campaigns were chosen for users, in windows after the cut: lists, targeting, and what was expected."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd

from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray
from tierrec_core.data.interactions import Interactions, from_days
from tierrec_core.evaluation.bootstrap import bootstrap_mean, paired_bootstrap, percentile_interval, resample_counts
from tierrec_core.evaluation.calibration import roc_auc
from tierrec_core.evaluation.metrics import Truth, per_user
from tierrec_core.propensity.campaigns import CampaignModel, redemption_labels

Report = dict[str, Any]

MODEL = "model"
LISTS = (MODEL, "type_popularity", "most_redeemed")
TARGETS = (MODEL, "past_redemptions", "coupons_91d")

_FEWEST = 5


@dataclass(frozen=True)
class CampaignWindow:
    """One examination: the campaigns that anybody redeems within it, and what was said of each user before.

    moment: its first day; live: columns of these campaigns, [L]; user: rows of the users who were known, [E]
    answer: who redeems which, [E, L]; scores: what the model and the baselines say, [E, L] each
    """

    moment: float
    live: IntArray
    user: IntArray
    answer: BoolArray
    scores: dict[str, FloatArray]

    @classmethod
    def of(cls, model: CampaignModel, history: Interactions, redemptions: Interactions, moment: float) -> Self:
        """The horizon_days from the moment on, with the weights of the model and what is known by then."""
        past, before = history.before(moment), redemptions.before(moment)
        current, answer = model.at(past, before), redemption_labels(redemptions, moment, model.horizon_days)
        pair = np.ix_(np.flatnonzero(np.diff(past.offsets)), np.flatnonzero(answer.any(axis=0)))
        lately = past.where(past.coupon & (past.age <= 91.0))
        redeemers, rate = current.standing.redeemers, current.standing.log_type_rate
        said = {
            MODEL: current.score(past, before),
            "type_popularity": rate + 1e-9 * redeemers,  # campaigns of one type go by their own redeemers
            "most_redeemed": redeemers,
            "past_redemptions": np.bincount(before.unique_pairs()[0], minlength=past.num_users)[:, None],
            "coupons_91d": np.bincount(lately.user, minlength=past.num_users)[:, None],
        }
        scores = {name: np.broadcast_to(score, answer.shape)[pair] for name, score in said.items()}
        return cls(moment, pair[1].ravel(), pair[0].ravel(), answer[pair], scores)

    @property
    def truth(self) -> Truth:
        """Who redeems which; rows and columns are those of the answer."""
        row, place = self.answer.nonzero()
        return Truth.of(row, place, len(self.live))

    def describe(self, campaigns: pd.Index) -> Report:
        """Its live campaigns: how many users redeemed each, and how many were expected to."""
        redeemers, expected = self.answer.sum(axis=0), self.scores[MODEL].sum(axis=0)
        found = {
            str(campaigns[column]): {"redeemers": int(count), "expected": round(float(hope), 2)}
            for column, count, hope in zip(self.live, redeemers, expected, strict=True)
        }
        return {"from": f"{from_days(self.moment):%Y-%m-%dT%H:%M}", "campaigns": found}


def evaluate_lists(windows: Sequence[CampaignWindow], cutoff: int, draws: int, rng: np.random.Generator) -> Report:
    """How early in a list of the live campaigns users find what they redeem; the windows of a user are averaged.

    Each window needs somebody who redeems.
    """
    truths = [window.truth for window in windows]
    user = np.concatenate([window.user[truth.users] for window, truth in zip(windows, truths, strict=True)])
    rows = np.unique(user, return_inverse=True)[1]
    found: dict[str, dict[str, FloatArray]] = {}
    for name in LISTS:
        parts = [_accuracy(window.scores[name], truth, cutoff) for window, truth in zip(windows, truths, strict=True)]
        found[name] = {
            metric: np.bincount(rows, np.concatenate([part[metric] for part in parts])) / np.bincount(rows)
            for metric in parts[0]
        }
    blocks: Report = {name: {} for name in LISTS}
    for name, metrics in found.items():
        for metric, values in metrics.items():
            blocks[name] |= bootstrap_mean(values, draws, rng).report(metric)
    main = f"ndcg@{cutoff}"
    blocks[MODEL][f"delta_{main}"] = [
        paired_bootstrap(found[MODEL][main], found[name][main], draws, rng).report_delta(name) for name in LISTS[1:]
    ]
    return blocks | {"users": int(rows.max()) + 1}


def evaluate_targeting(
    windows: Sequence[CampaignWindow], num_users: int, draws: int, rng: np.random.Generator
) -> Report:
    """Whether a campaign finds its people: AUC over the users of a campaign, mean over campaigns and windows.

    Only campaigns that at least 5 users redeem are judged; users are resampled.
    """
    judged = [
        (window, place) for window in windows for place in np.flatnonzero(window.answer.sum(axis=0) >= _FEWEST).tolist()
    ]
    if not judged:
        return {"campaigns": 0}
    point = _areas(judged, np.ones((1, num_users)))[:, 0]
    drawn = np.concatenate([_areas(judged, counts) for counts in resample_counts(num_users, draws, rng)], axis=1)
    blocks: Report = {
        name: percentile_interval(one, draw).report("auc")
        for name, one, draw in zip(TARGETS, point, drawn, strict=True)
    }
    blocks[MODEL]["delta_auc"] = [
        percentile_interval(point[0] - one, drawn[0] - draw).report_delta(name)
        for name, one, draw in zip(TARGETS[1:], point[1:], drawn[1:], strict=True)
    ]
    return blocks | {"campaigns": len(judged)}


def _accuracy(score: FloatArray, truth: Truth, cutoff: int) -> dict[str, FloatArray]:
    """NDCG and hits of each user with a truth, [E]."""
    lists = np.argsort(-score, axis=1, kind="stable")
    first, listed = per_user(lists, truth, 1), per_user(lists, truth, cutoff)
    return {f"ndcg@{cutoff}": listed["ndcg"], "hit@1": first["hit"], f"hit@{cutoff}": listed["hit"]}


def _areas(judged: Sequence[tuple[CampaignWindow, int]], counts: FloatArray) -> FloatArray:
    """The mean AUC of each of TARGETS over the judged campaigns, in each sample of users [B, U]: [3, B]."""
    found = [
        [roc_auc(window.answer[:, place], window.scores[name][:, place], counts[:, window.user]) for name in TARGETS]
        for window, place in judged
    ]
    mean: FloatArray = np.nanmean(found, axis=0)
    return mean
