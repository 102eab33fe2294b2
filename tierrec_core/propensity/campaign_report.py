"""Evaluation of campaign lists and campaign targeting in windows after the cut."""

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

_MIN_REDEEMERS = 5


@dataclass(frozen=True)
class CampaignWindow:
    """A window with the scores of its campaigns as of its first day `moment`.

    live: columns of the campaigns that are redeemed within it, [L]; user: rows of the users with an earlier event, [E]
    answer: whether the user redeems the campaign, [E, L]; scores: of the model and the baselines, [E, L] each
    """

    moment: float
    live: IntArray
    user: IntArray
    answer: BoolArray
    scores: dict[str, FloatArray]

    @classmethod
    def of(cls, model: CampaignModel, history: Interactions, redemptions: Interactions, moment: float) -> Self:
        """The horizon_days from `moment` on, scored with the model's weights and the statistics as of `moment`."""
        past, before = history.before(moment), redemptions.before(moment)
        current, answer = model.at(past, before), redemption_labels(redemptions, moment, model.horizon_days)
        pair = np.ix_(np.flatnonzero(np.diff(past.offsets)), np.flatnonzero(answer.any(axis=0)))
        recent = past.where(past.coupon & (past.age <= 91.0))
        redeemers, rate = current.stats.redeemers, current.stats.log_type_rate
        all_scores = {
            MODEL: current.score(past, before),
            "type_popularity": rate + 1e-9 * redeemers,  # ties within a type are broken by redeemers
            "most_redeemed": redeemers,
            "past_redemptions": np.bincount(before.unique_pairs()[0], minlength=past.num_users)[:, None],
            "coupons_91d": np.bincount(recent.user, minlength=past.num_users)[:, None],
        }
        scores = {name: np.broadcast_to(score, answer.shape)[pair] for name, score in all_scores.items()}
        return cls(moment, pair[1].ravel(), pair[0].ravel(), answer[pair], scores)

    def describe(self, campaigns: pd.Index) -> Report:
        """The live campaigns with their actual and expected number of redeemers."""
        redeemers, expected = self.answer.sum(axis=0).tolist(), self.scores[MODEL].sum(axis=0).tolist()
        counts = {
            str(campaign): {"redeemers": count, "expected": round(mean, 2)}
            for campaign, count, mean in zip(campaigns[self.live], redeemers, expected, strict=True)
        }
        return {"from": f"{from_days(self.moment):%Y-%m-%dT%H:%M}", "campaigns": counts}


def evaluate_lists(windows: Sequence[CampaignWindow], cutoff: int, draws: int, rng: np.random.Generator) -> Report:
    """Accuracy of lists of the live campaigns; a user's windows are averaged. Each window needs a redemption."""
    pairs = [window.answer.nonzero() for window in windows]
    truths = [Truth.of(row, column, len(window.live)) for window, (row, column) in zip(windows, pairs, strict=True)]
    user = np.concatenate([window.user[truth.users] for window, truth in zip(windows, truths, strict=True)])
    rows = np.unique(user, return_inverse=True)[1]
    accuracy: dict[str, dict[str, FloatArray]] = {}
    for name in LISTS:
        parts = [_accuracy(window.scores[name], truth, cutoff) for window, truth in zip(windows, truths, strict=True)]
        accuracy[name] = {
            metric: np.bincount(rows, np.concatenate([part[metric] for part in parts])) / np.bincount(rows)
            for metric in parts[0]
        }
    blocks: Report = {name: {} for name in LISTS}
    for name, metrics in accuracy.items():
        for metric, values in metrics.items():
            blocks[name] |= bootstrap_mean(values, draws, rng).report(metric)
    main = f"ndcg@{cutoff}"
    blocks[MODEL][f"delta_{main}"] = [
        paired_bootstrap(accuracy[MODEL][main], accuracy[name][main], draws, rng).report_delta(name)
        for name in LISTS[1:]
    ]
    return blocks | {"users": int(rows.max()) + 1}


def evaluate_targeting(
    windows: Sequence[CampaignWindow], num_users: int, draws: int, rng: np.random.Generator
) -> Report:
    """Ranking of the users of a campaign: AUC, mean over campaigns and windows, with resampled users.

    Campaigns with fewer than 5 redeemers in a window are left out.
    """
    campaigns = [
        (window, column)
        for window in windows
        for column in np.flatnonzero(window.answer.sum(axis=0) >= _MIN_REDEEMERS).tolist()
    ]
    if not campaigns:
        return {"campaigns": 0}
    auc = _mean_auc(campaigns, np.ones((1, num_users)))[:, 0]
    resampled = np.concatenate(
        [_mean_auc(campaigns, counts) for counts in resample_counts(num_users, draws, rng)], axis=1
    )
    blocks: Report = {
        name: percentile_interval(value, sample).report("auc")
        for name, value, sample in zip(TARGETS, auc, resampled, strict=True)
    }
    blocks[MODEL]["delta_auc"] = [
        percentile_interval(auc[0] - value, resampled[0] - sample).report_delta(name)
        for name, value, sample in zip(TARGETS[1:], auc[1:], resampled[1:], strict=True)
    ]
    return blocks | {"campaigns": len(campaigns)}


def _accuracy(score: FloatArray, truth: Truth, cutoff: int) -> dict[str, FloatArray]:
    """NDCG and hits of each user with a redemption, [E]."""
    lists = np.argsort(-score, axis=1, kind="stable")
    first, listed = per_user(lists, truth, 1), per_user(lists, truth, cutoff)
    return {f"ndcg@{cutoff}": listed["ndcg"], "hit@1": first["hit"], f"hit@{cutoff}": listed["hit"]}


def _mean_auc(campaigns: Sequence[tuple[CampaignWindow, int]], counts: FloatArray) -> FloatArray:
    """AUC of each of TARGETS, mean over the campaigns, in each sample of users [B, U]: [3, B]."""
    auc = [
        [roc_auc(window.answer[:, column], window.scores[name][:, column], counts[:, window.user]) for name in TARGETS]
        for window, column in campaigns
    ]
    return np.asarray(np.nanmean(auc, axis=0))
