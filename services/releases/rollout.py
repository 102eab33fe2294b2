"""Decides a rollout from the feedback of champion and challenger: an always-valid test with a time limit."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import numpy as np
import pandas as pd
from scipy.stats import hypergeom

from services.experiments import Experiments
from services.releases.pointer import Pointer
from services.store import Store
from tierrec_core.base.contracts import BoolArray, IntArray
from tierrec_core.base.errors import SettingsError
from tierrec_core.evaluation.bootstrap import ConfidenceInterval
from tierrec_core.evaluation.confidence_sequences import Bounds, ConfidenceSequence, Moments, split_p_value
from tierrec_core.settings import RolloutSettings

MISMATCH = 0.001  # a smaller p-value means a sample ratio mismatch: users did not arrive in the planned shares
SETTLING = timedelta(seconds=60)  # while workers load the challenger, the champion serves its users too
NO_EXPERIMENTS = Experiments({})

RolloutAction = Literal["promote", "rollback", "wait"]


@dataclass(frozen=True)
class RolloutArm:
    """The outcome of one side so far: users with impressions, those of them who converted, impressions."""

    users: int = 0
    converted: int = 0
    impressions: int = 0


@dataclass(frozen=True)
class RolloutVerdict:
    """The action on the challenger and its reason.

    difference: of the conversion rates, challenger - champion, with its always-valid interval; None before both
    sides have min_users
    split_p_value: of the hypothesis that users arrived in the planned shares
    """

    action: RolloutAction
    reason: str
    difference: ConfidenceInterval | None
    split_p_value: float


def decide_rollout(
    champion: RolloutArm, challenger: RolloutArm, share: float, age_hours: float, settings: RolloutSettings
) -> RolloutVerdict:
    """Promote, roll back or wait; may be called after every user.

    Before the time limit only the always-valid interval and the split decide. At the limit an ordinary test, planned
    as a single one, decides: the challenger is rolled back if its loss is significant and beyond the margin, and else
    promoted, since it passed the promotion gate. An equal challenger is rolled back with a probability of at most
    alpha + MISMATCH. With too few users to compare, it is promoted only if settings.without_traffic says so, or if it
    serves all users.
    """
    users = np.array([champion.users, challenger.users])
    converted = np.array([champion.converted, challenger.converted])
    p_value = split_p_value(users, np.array([1 - share, share])) if 0 < share < 1 else 1.0
    difference = None
    if users.min() >= settings.min_users:
        bounds = difference_bounds(users, converted, settings)
        ends = (float(np.clip(end, -1, 1)) for end in (bounds.estimate, bounds.low, bounds.high))
        difference = ConfidenceInterval(*ends)
    promotes_untested = share == 1 or settings.without_traffic == "promote"
    action, reason = _decide(users, converted, difference, age_hours, settings, promotes_untested)
    if p_value < MISMATCH and settings.max_hours > 0:
        action = "rollback"
        reason = (
            f"users did not arrive in the planned shares: {challenger.users:,} of {users.sum():,} saw the challenger, "
            f"wanted {share:.0%} (p = {p_value:.1g})"
        )
    return RolloutVerdict(action, reason, difference, p_value)


def difference_bounds(users: IntArray, converted: IntArray, settings: RolloutSettings) -> Bounds:
    """The always-valid interval of the difference of conversion rates, challenger - champion, [...].

    users, converted: champion and challenger in the last axis, [..., 2]
    """
    champion, challenger = (Moments.of_successes(users[..., side], converted[..., side]) for side in (0, 1))
    return ConfidenceSequence.tuned(settings.expected_users, settings.alpha).difference(challenger, champion)


def is_worse_at_limit(users: IntArray, converted: IntArray, settings: RolloutSettings) -> BoolArray:
    """Whether the loss is beyond the margin and significant by Fisher's exact test (1935) at level alpha / 2, [...].

    The other half of alpha is left to the tests before the limit. Arguments as for `difference_bounds`.
    """
    rates = converted / np.maximum(users, 1)
    p_value = hypergeom.cdf(converted[..., 1], users.sum(axis=-1), converted.sum(axis=-1), users[..., 1])
    is_enough = users.min(axis=-1) >= settings.min_users
    is_beyond = rates[..., 1] < (1 - settings.margin) * rates[..., 0]
    worse: BoolArray = is_enough & is_beyond & (p_value <= settings.alpha / 2)
    return worse


def measure_arms(
    store: Store,
    pointer: Pointer,
    now: datetime,
    settings: RolloutSettings,
    *,
    settling: timedelta = SETTLING,
    shop: str = "default",
    experiments: Experiments = NO_EXPERIMENTS,
) -> tuple[RolloutArm, RolloutArm, float]:
    """The outcomes of champion and challenger, and the hours since this rollout began.

    Impressions while workers load the challenger are left out, and so are users of an experiment that may choose the
    model, since they did not arrive in the pointer's shares. If both sides have the same model, so that impressions
    do not distinguish them, users are assigned by the pointer's route in the shop.
    experiments: the shop's current ones; an experiment not among them may have chosen the model
    Raises SettingsError when there is no challenger, StoreError when the store does not answer.
    """
    if pointer.challenger is None:
        raise SettingsError("rollout: the pointer names no challenger; run `tierrec deploy TAG` first")
    start = rollout_start(pointer)
    since = start + settling
    rows = store.outcomes_by_version(since, settings.goal, settings.horizon_hours)
    participants = store.experiments_by_user(since)
    may_choose = {name: experiments.may_pick_a_release(name) for name in participants["experiment"].unique()}
    excluded = participants.loc[participants["experiment"].map(may_choose).astype(bool), "user_id"]
    rows = rows[~rows["user_id"].isin(excluded)]
    champion, challenger = (release.model.partition(":")[2] for release in (pointer.champion, pointer.challenger))
    side = rows["model_version"].map({champion: "champion", challenger: "challenger"})
    if champion == challenger:
        side = rows["user_id"].map(lambda user: pointer.route(user, shop)).where(side.notna())
    arms = [_arm(rows[side == name]) for name in ("champion", "challenger")]
    return arms[0], arms[1], (now - start) / timedelta(hours=1)


def rollout_start(pointer: Pointer) -> datetime:
    """The time since which champion, challenger and share have not changed."""
    start = pointer.changed
    for change in reversed(pointer.history):
        state = (change.champion, change.challenger, change.share)
        if state != (pointer.champion, pointer.challenger, pointer.share):
            break
        start = change.at
    return start


def _decide(
    users: IntArray,
    converted: IntArray,
    difference: ConfidenceInterval | None,
    age_hours: float,
    settings: RolloutSettings,
    promotes_untested: bool,
) -> tuple[RolloutAction, str]:
    """Action and reason if users arrived in the planned shares. users, converted: champion and challenger, [2]"""
    counts = f"{users[1]:,} users of the challenger, {users[0]:,} of the champion"
    if settings.max_hours == 0:
        return "promote", "rollout.max_hours is 0: no trial on a share of the users"
    is_over = age_hours >= settings.max_hours
    limit = f"the time limit of {settings.max_hours:g} h"
    if difference is None:
        sample = f"{counts}; wanted {settings.min_users:,} on each side"
        if is_over and promotes_untested:
            return "promote", f"{limit} is reached with too few users to detect a loss: {sample}"
        if is_over:
            remedy = "it goes on until there are, or `tierrec promote` or `tierrec rollback` ends it"
            return "wait", f"{limit} is reached with too few users to detect a loss: {sample}; {remedy}"
        return "wait", f"too few users after {age_hours:.1f} h: {sample}"
    value, low, high = (f"{100 * end:+.2f}" for end in (difference.value, difference.low, difference.high))
    evidence = f"{settings.goal} rate {value} points [{low}, {high}] against the champion's; {counts}"
    if difference.high < 0:
        return "rollback", f"worse: {evidence}"
    if difference.low > 0:
        return "promote", f"better: {evidence}"
    if not is_over:
        return "wait", f"undecided after {age_hours:.1f} of {settings.max_hours:g} h: {evidence}"
    if is_worse_at_limit(users, converted, settings):
        return "rollback", f"worse beyond {settings.margin:.0%} at {limit}: {evidence}"
    return "promote", f"no worse at {limit}: {evidence}"


def _arm(rows: pd.DataFrame) -> RolloutArm:
    return RolloutArm(len(rows), int((rows["conversions"] > 0).sum()), int(rows["impressions"].sum()))
