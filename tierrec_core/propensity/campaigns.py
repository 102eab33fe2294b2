"""Campaign model: probability that a user redeems a coupon campaign within the next days.

A logistic regression on a dozen features of the user, the campaign and both. Redemptions are few and campaigns fewer:
trees would memorize single campaigns, and could not extrapolate to a larger one.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from operator import itemgetter
from typing import Self

import numpy as np
import pandas as pd
from scipy import sparse

from tierrec_core.base.contracts import BoolArray, Event, FloatArray, IntArray
from tierrec_core.base.errors import DataError
from tierrec_core.data.interactions import Interactions, to_days
from tierrec_core.propensity.classifier import Classifier
from tierrec_core.settings import CampaignSettings
from tierrec_core.tiers import Tiering

_COLUMNS = (
    "log_visits_28d",
    "log_coupon_share",
    "log_coupons_91d",
    "log_redeemed",
    "log_days_since_redemption",
    "log_type_rate",
    "log_redeemers",
    "log_affinity",
    "log_redeemed_of_type",
    "log_redeemed_before",
)


_NEVER = 364.0  # days since the last redemption of a user who never redeemed
_COUPON_SHARE = (1.0, 60.0)  # coupons and purchases added to each user's counts
_PRIOR_REDEEMERS = 10.0  # weight of the parent group when the interests of a campaign's or type's redeemers are shrunk


def campaign_feature_names(tiering: Tiering) -> tuple[str, ...]:
    """Names of the features, [F]: all tiers but the least active, then those that do not depend on the tiers."""
    return (*(f"tier_{name}" for name in tiering.names[1:]), *_COLUMNS)


@dataclass(frozen=True)
class CampaignStats:
    """Sums over each campaign's redeemers. Rates and profiles are shrunk to the type's, and those to overall ones.

    types: the type of each campaign, [C]
    redeemers: distinct users who redeemed it, [C]
    interest: sum of the redeemers' interests P_u, [C, J]
    last_day: day of the last redemption since 1970 UTC, -inf where there is none, [C]
    share: interests of all users, [J]
    num_users: users with an event
    """

    types: pd.Index
    redeemers: FloatArray
    interest: FloatArray
    last_day: FloatArray
    share: FloatArray
    num_users: int

    @classmethod
    def measure(cls, types: pd.Index, history: Interactions, redemptions: Interactions, tiering: Tiering) -> Self:
        """As of `history.now`; redemptions have the rows of history and one column per campaign, [U, C]."""
        redeemed = redemptions.binary_matrix()
        last_day = np.full(len(types), -np.inf)
        np.maximum.at(last_day, redemptions.item, redemptions.day)
        return cls(
            types=types,
            redeemers=np.asarray(redeemed.sum(axis=0), float).ravel(),
            interest=np.asarray(redeemed.T @ tiering.interests_of(history), float),
            last_day=last_day,
            share=tiering.layers.share,
            num_users=int((np.diff(history.offsets) > 0).sum()),
        )

    @cached_property
    def type_code(self) -> IntArray:
        """The number of each campaign's type, [C]."""
        return pd.factorize(self.types)[0]

    @cached_property
    def log_type_rate(self) -> FloatArray:
        """Log share of users who redeem one campaign of the same type, [C].

        Shrunk towards the mean of all campaigns, with the weight of one campaign; those without redeemers are excluded.
        """
        redeemed = self.redeemers > 0
        mean = (self.redeemers.sum() + 1.0) / (redeemed.sum() + 1.0)
        redeemers = np.bincount(self.type_code, self.redeemers) + mean
        campaigns = np.bincount(self.type_code, redeemed) + 1.0
        rate: FloatArray = np.log(redeemers / campaigns / max(self.num_users, 1))
        return rate[self.type_code]

    @cached_property
    def profile(self) -> FloatArray:
        """Interests of each campaign's redeemers, rows sum to 1, [C, J]."""
        of_type = (np.arange(self.type_code.max(initial=-1) + 1)[:, None] == self.type_code) * 1.0
        overall = _shrunk_mean(self.interest.sum(axis=0), self.redeemers.sum(), self.share)
        by_type = _shrunk_mean(of_type @ self.interest, of_type @ self.redeemers, overall)
        return _shrunk_mean(self.interest, self.redeemers, by_type[self.type_code])

    def affinity(self, interests: FloatArray, campaign: IntArray) -> FloatArray:
        """Fit of interests [U, J] to the profiles of the campaigns at columns [L], relative to the average, [U, L].

        1 for an average user or an average campaign, higher where both prefer the same layers.
        """
        return (interests / self.share) @ self.profile[campaign].T


@dataclass(frozen=True)
class CampaignModel:
    """The probability that a user redeems a campaign in the next horizon_days, for any history and any campaign.

    past: the known redemptions; rows as in the training data, columns as in `stats`
    """

    horizon_days: float
    tiering: Tiering
    stats: CampaignStats
    past: Interactions
    classifier: Classifier

    @classmethod
    def fit(
        cls,
        history: Interactions,
        redemptions: Interactions,
        types: pd.Index,
        tiering: Tiering,
        settings: CampaignSettings,
    ) -> Self:
        """Train on the time before `history.now`.

        redemptions: rows as in history, columns are the campaigns, [U, C]
        types: the type of each campaign, [C]
        Where there is no window to train on, the probability is the rate of the campaign's type.
        """
        names = campaign_feature_names(tiering)
        prior = Classifier.prior(names, 0.0, "log_type_rate")
        stats = CampaignStats.measure(types, history, redemptions, tiering)
        model = cls(settings.horizon_days, tiering, stats, redemptions, prior)
        windows = list(model._windows(history, settings.step_days))
        if not windows:
            return model
        values, label = (np.concatenate(part) for part in zip(*windows, strict=True))
        return replace(model, classifier=Classifier.logistic(names, values, label, settings.l2))

    @property
    def campaigns(self) -> pd.Index:
        """Ids of the campaigns, in the order of the scores, [C]."""
        return self.past.items

    @property
    def num_campaigns(self) -> int:
        """Number of campaigns C; 0 where the log has no redemption."""
        return self.past.num_items

    def score(self, history: Interactions, redemptions: Interactions) -> FloatArray:
        """The probability for each campaign as of `history.now`, [U, C].

        redemptions: earlier redemptions of the same users, row by row; campaigns are matched by their ids
        Raises DataError when the numbers of rows differ.
        """
        if redemptions.num_users != history.num_users:
            raise DataError(
                f"campaigns: {redemptions.num_users} rows of redemptions for {history.num_users} histories; "
                "wanted the same users in the same order"
            )
        values = self.features(history, self._matched(redemptions), np.arange(self.num_campaigns))
        return self.classifier.probability(values.reshape(-1, values.shape[-1])).reshape(values.shape[:2])

    def features(self, history: Interactions, redemptions: Interactions, campaign: IntArray) -> FloatArray:
        """Features of every user and each chosen campaign [L], [U, L, F]; arguments as for `score`."""
        stats, tiers = self.stats, self.tiering.assign(history)
        same_type = sparse.csr_matrix(stats.type_code[:, None] == stats.type_code[campaign])
        of_type = redemptions.binary_matrix() @ same_type
        affinity = stats.affinity(self.tiering.interests_of(history), campaign)
        before = redemptions.matrix()[:, campaign].toarray()
        features = [
            *((tiers == code)[:, None] for code in range(1, len(self.tiering.names))),
            *(column[:, None] for column in _user_features(history, redemptions)),
            stats.log_type_rate[campaign],
            np.log1p(stats.redeemers[campaign]),
            np.log(affinity),
            np.log1p(of_type.toarray()),
            np.log1p(before),
        ]
        shape = (history.num_users, len(campaign))
        return np.stack([np.broadcast_to(column, shape) for column in features], axis=2).astype(float)

    def redemptions_of(self, user_id: str, since: Iterable[tuple[str, float]], now: float) -> Interactions:
        """All redemptions of one user before `now`: those in `past`, and the (campaign, day) pairs since.

        Unknown campaigns are left out; an unknown user has the pairs only.
        """
        row = self.past.users.get_indexer(pd.Index([user_id], dtype=object))[0]
        rows = slice(*self.past.offsets[row : row + 2]) if row >= 0 else slice(0)
        pairs = [*zip(self.campaigns[self.past.item[rows]], self.past.day[rows].tolist(), strict=True), *since]
        pairs = sorted((pair for pair in pairs if pair[0] in self.campaigns and pair[1] < now), key=itemgetter(1))
        history = Interactions.from_history([campaign for campaign, _ in pairs], self.campaigns, now, Event.REDEEM)
        return replace(
            history,
            users=pd.Index([user_id], dtype=object),
            day=np.array([day for _, day in pairs], float),
            session=np.arange(len(pairs)),
            coupon=np.ones(len(pairs), bool),
        )

    def at(self, history: Interactions, redemptions: Interactions) -> Self:
        """The same weights with the campaigns' statistics as of `history.now`; rows are those of `past`."""
        matched = self._matched(redemptions)
        return replace(
            self, stats=CampaignStats.measure(self.stats.types, history, matched, self.tiering), past=matched
        )

    def idle_days(self, now: float) -> FloatArray:
        """Days since the last redemption of each campaign, inf where there is none, [C]."""
        return now - self.stats.last_day

    def _matched(self, redemptions: Interactions) -> Interactions:
        """The redemptions with the model's campaigns as columns; those of unknown campaigns are left out."""
        if redemptions.items is self.campaigns:
            return redemptions
        column = self.campaigns.get_indexer(redemptions.items)[redemptions.item]
        renamed = replace(redemptions, items=self.campaigns, item=column.astype(np.int32))
        return renamed.where(column >= 0)

    def _windows(self, history: Interactions, step_days: float) -> Iterator[tuple[FloatArray, BoolArray]]:
        """Features [N, F] and labels [N] of all pairs of a known user and a live campaign, newest window first.

        A campaign is live when at least one user redeems it within the window.
        """
        first = float(history.day.min(initial=history.now)) + self.horizon_days
        for moment in np.arange(history.now - self.horizon_days, first, -step_days):
            past, before = history.before(moment), self.past.before(moment)
            label = redemption_labels(self.past, moment, self.horizon_days)
            live, user = np.flatnonzero(label.any(axis=0)), np.flatnonzero(np.diff(past.offsets))
            if len(live):
                values = self.at(past, before).features(past, before, live)[user]
                yield values.reshape(-1, values.shape[-1]), label[np.ix_(user, live)].ravel()


def redemption_labels(redemptions: Interactions, moment: float, horizon_days: float) -> BoolArray:
    """Whether each user redeems each campaign in the horizon_days from `moment` on, [U, C]."""
    future = redemptions.where((redemptions.day >= moment) & (redemptions.day < moment + horizon_days))
    return np.asarray(future.matrix().toarray() > 0)


def _user_features(history: Interactions, redemptions: Interactions) -> list[FloatArray]:
    """The features of the user alone, from log_visits_28d to log_days_since_redemption, [U] each."""
    bought, num = history.filter_events(Event.PURCHASE), history.num_users
    visits = np.bincount(bought.user, bought.opens_session & (bought.age <= 28.0), num)
    coupons = np.bincount(bought.user, bought.coupon, num)
    recent = np.bincount(bought.user, bought.coupon & (bought.age <= 91.0), num)
    share = (coupons + _COUPON_SHARE[0]) / (np.bincount(bought.user, minlength=num) + _COUPON_SHARE[1])
    campaigns = np.bincount(redemptions.unique_pairs()[0], minlength=num)
    last = np.full(num, _NEVER)
    np.minimum.at(last, redemptions.user, redemptions.age)
    return [np.log1p(visits), np.log(share), np.log1p(recent), np.log1p(campaigns), np.log1p(last)]


def redemption_history(events: pd.DataFrame, users: pd.Index, campaigns: pd.Index, now: float) -> Interactions:
    """The redemptions before `now` in an EVENTS frame, possibly none; rows are `users`, columns `campaigns`."""
    known = events[
        (events["event"] == Event.REDEEM)
        & events["user_id"].isin(users)
        & events["item_id"].isin(campaigns)
        & (to_days(events["timestamp"]) < now)
    ]
    if len(known):
        return Interactions.from_events(known, users=users, items=campaigns, now=now)
    return replace(Interactions.from_history([], campaigns, now), users=users)


def _shrunk_mean(total: FloatArray, count: FloatArray | float, parent: FloatArray) -> FloatArray:
    """The mean of a group from its sum and size, shrunk towards that of the parent group."""
    size = np.asarray(count, float)[..., None] + _PRIOR_REDEEMERS
    return (total + _PRIOR_REDEEMERS * parent) / size
