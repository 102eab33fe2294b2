"""How a challenger on a share of the users fares, and when that is enough: an always-valid test with a time limit."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import numpy as np
import pandas as pd
from scipy.stats import hypergeom

from services.experiments import Experiments
from services.releases.pointer import Deployed, Pointer
from services.store import Store
from tierrec_core.base.contracts import BoolArray, IntArray
from tierrec_core.base.errors import SettingsError
from tierrec_core.evaluation.bootstrap import ConfidenceInterval
from tierrec_core.evaluation.confidence_sequences import Bounds, ConfidenceSequence, Moments, split_p_value
from tierrec_core.settings import RolloutSettings

MISMATCH = 0.001  # a p-value below it: users did not come in the planned shares, so something is broken
SETTLING = timedelta(seconds=60)  # until every worker has loaded the challenger, the champion answers its users too
NO_EXPERIMENTS = Experiments({})

Act = Literal["promote", "rollback", "wait"]


@dataclass(frozen=True)
class RolloutArm:
    """One side so far: users who were shown something, those of them who converted, answers."""

    users: int
    converted: int
    impressions: int


@dataclass(frozen=True)
class RolloutVerdict:
    """What to do with the challenger and why; becomes JSON by dataclasses.asdict.

    difference: of the share of users who converted, challenger - champion, with its always-valid interval; None
    before there are min_users on both sides
    split_p_value: whether users came in the planned shares
    """

    act: Act
    reason: str
    difference: ConfidenceInterval | None
    split_p_value: float


def judge(
    champion: RolloutArm, challenger: RolloutArm, share: float, age_hours: float, settings: RolloutSettings
) -> RolloutVerdict:
    """Promote, roll back or wait; may be asked after every user.

    Before the time limit only the always-valid interval and the split decide. At the limit, one look that was planned
    beforehand, an ordinary test does: the challenger goes if its loss is significant and beyond the margin, and else
    takes over, since the gate has found it no worse. The chance that an equal challenger is rolled back is at most
    alpha + MISMATCH in all.
    """
    came = np.array([champion.users, challenger.users])
    chance = split_p_value(came, np.array([1 - share, share])) if 0 < share < 1 else 1.0
    difference = _difference(champion, challenger, settings)
    act, reason = _decide(champion, challenger, difference, age_hours, settings)
    if chance < MISMATCH and settings.max_hours > 0:
        found = f"{challenger.users:,} of {challenger.users + champion.users:,}"
        reason = (
            f"users did not come in the planned shares: {found} saw the challenger, "
            f"wanted {share:.0%} (p = {chance:.1g})"
        )
        act = "rollback"
    return RolloutVerdict(act, reason, difference, chance)


def bounds(users: IntArray, converted: IntArray, settings: RolloutSettings) -> Bounds:
    """The always-valid interval of the difference of the shares who converted, [...].

    users, converted: champion and challenger in the last axis, [..., 2]
    """
    champion, challenger = (Moments.of_successes(users[..., side], converted[..., side]) for side in (0, 1))
    return ConfidenceSequence.tuned(settings.expected_users, settings.alpha).difference(challenger, champion)


def is_worse_at_the_limit(users: IntArray, converted: IntArray, settings: RolloutSettings) -> BoolArray:
    """Whether the loss is beyond the margin, and Fisher's exact test (1935) finds more than chance in it, [...].

    For equal sides it does with a chance of at most alpha / 2, which leaves as much for the looks before. Arguments
    as for `bounds`.
    """
    rates = converted / np.maximum(users, 1)
    so_few = hypergeom.cdf(converted[..., 1], users.sum(axis=-1), converted.sum(axis=-1), users[..., 1])
    is_enough = users.min(axis=-1) >= settings.min_users
    is_beyond = rates[..., 1] < (1 - settings.margin) * rates[..., 0]
    worse: BoolArray = is_enough & is_beyond & (so_few <= settings.alpha / 2)
    return worse


def observe(
    store: Store,
    pointer: Pointer,
    now: datetime,
    settings: RolloutSettings,
    *,
    settling: timedelta = SETTLING,
    shop: str = "default",
    experiments: Experiments = NO_EXPERIMENTS,
) -> tuple[RolloutArm, RolloutArm, float]:
    """Champion, challenger, and the hours since champion, challenger and share have been what they are.

    What users were shown while workers still loaded the challenger does not count, nor do users of an experiment that
    says itself which model answers: these did not come in the pointer's shares. Where both sides have the same
    model, so that answers do not distinguish them, users are assigned by the pointer's route in the shop.
    experiments: of the shop as experiments.yaml has them now; what it names no more may have picked a model
    Raises SettingsError when there is no challenger, StoreError when the store does not answer.
    """
    if pointer.challenger is None:
        raise SettingsError("rollout: the pointer names no challenger; run `tierrec deploy TAG` first")
    since = deployed_at(pointer)
    began = since + settling
    rows = store.outcomes_by_version(began, settings.goal, settings.horizon_hours)
    rows = rows[~rows["user_id"].isin(_sent_elsewhere(store.experiments_by_user(began), experiments))]
    champion, challenger = _version(pointer.champion), _version(pointer.challenger)
    side = rows["model_version"].map({champion: "champion", challenger: "challenger"})
    if champion == challenger:
        side = rows["user_id"].map(lambda user: pointer.route(user, shop)).where(side.notna())
    arms = [_arm(rows[side == name]) for name in ("champion", "challenger")]
    return arms[0], arms[1], (now - since) / timedelta(hours=1)


def deployed_at(pointer: Pointer) -> datetime:
    """Since when champion, challenger and share have been what they are now."""
    since = pointer.changed
    for change in reversed(pointer.history):
        state = (change.champion, change.challenger, change.share)
        if state != (pointer.champion, pointer.challenger, pointer.share):
            break
        since = change.at
    return since


def _decide(
    champion: RolloutArm,
    challenger: RolloutArm,
    difference: ConfidenceInterval | None,
    age_hours: float,
    settings: RolloutSettings,
) -> tuple[Act, str]:
    """Act and reason where users came in the planned shares."""
    seen = f"{challenger.users:,} users of the challenger, {champion.users:,} of the champion"
    if settings.max_hours == 0:
        return "promote", "rollout.max_hours is 0: no trial on a share of the users"
    is_over = age_hours >= settings.max_hours
    limit = f"the time limit of {settings.max_hours:g} h"
    if difference is None:
        wanted = f"{seen}; wanted {settings.min_users:,} on each side"
        if is_over:
            return "promote", f"{limit} is reached with too few users to see a loss: {wanted}"
        return "wait", f"too few users after {age_hours:.1f} h: {wanted}"
    told = f"{settings.goal} rate {_percents(difference)}; {seen}"
    if difference.high < 0:
        return "rollback", f"worse: {told}"
    if difference.low > 0:
        return "promote", f"better: {told}"
    if not is_over:
        return "wait", f"undecided after {age_hours:.1f} of {settings.max_hours:g} h: {told}"
    if is_worse_at_the_limit(*_arrays(champion, challenger), settings):
        return "rollback", f"worse beyond {settings.margin:.0%} at {limit}: {told}"
    return "promote", f"no worse at {limit}: {told}"


def _difference(champion: RolloutArm, challenger: RolloutArm, settings: RolloutSettings) -> ConfidenceInterval | None:
    if min(champion.users, challenger.users) < settings.min_users:
        return None
    found = bounds(*_arrays(champion, challenger), settings)
    return ConfidenceInterval(*(float(np.clip(end, -1, 1)) for end in (found.estimate, found.low, found.high)))


def _arrays(champion: RolloutArm, challenger: RolloutArm) -> tuple[IntArray, IntArray]:
    """Users and converted, each [2]."""
    return (np.array([champion.users, challenger.users]), np.array([champion.converted, challenger.converted]))


def _arm(rows: pd.DataFrame) -> RolloutArm:
    """Outcomes of one side's users, summed."""
    return RolloutArm(len(rows), int((rows["conversions"] > 0).sum()), int(rows["impressions"].sum()))


def _sent_elsewhere(taken_part: pd.DataFrame, experiments: Experiments) -> pd.Series:
    """Users whose model an experiment may have picked."""
    picks = taken_part["experiment"].map(
        {one: experiments.may_pick_a_release(one) for one in taken_part["experiment"].unique()}
    )
    return taken_part.loc[picks.astype(bool), "user_id"]


def _version(deployed: Deployed) -> str:
    """What an answer says of the model that gave it."""
    return deployed.model.partition(":")[2]


def _percents(difference: ConfidenceInterval) -> str:
    """A difference of shares in percentage points."""
    value, low, high = (f"{100 * one:+.2f}" for one in (difference.value, difference.low, difference.high))
    return f"{value} points [{low}, {high}] against the champion's"
