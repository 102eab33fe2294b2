"""Campaign model: probability that a user redeems a coupon campaign within the next days.

A logistic regression over a dozen features of the user, the campaign and both. Redemptions are few and
campaigns fewer: trees would learn single campaigns by heart, and could not judge one that outgrows them all.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
import pandas as pd
from scipy import sparse

from tierrec_core.base.contracts import EVENT_CODES, BoolArray, Event, FloatArray, IntArray
from tierrec_core.base.errors import DataError
from tierrec_core.data.interactions import Interactions, to_days
from tierrec_core.propensity.campaign_stats import CampaignStats
from tierrec_core.propensity.classifier import Classifier
from tierrec_core.settings import CampaignSettings as CampaignSettings
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


def campaign_feature_names(tiering: Tiering) -> tuple[str, ...]:
    """Names of the features, [F]: all tiers but the least active, and what every shop has."""
    return (*(f"tier_{name}" for name in tiering.names[1:]), *_COLUMNS)


_NEVER = 364.0  # days since the last redemption of somebody who never redeemed
_COUPON_SHARE = (1.0, 60.0)  # coupons and purchases that everybody is taken to have had


@dataclass(frozen=True)
class CampaignModel:
    """The chance that a user redeems a campaign in the next horizon_days, for any history and any campaign.

    tiering: the rules behind a user's tier and interests
    standing: what is known of each campaign, [C]
    past: the redemptions that are known, rows as in the training, columns as in `standing`
    """

    horizon_days: float
    tiering: Tiering
    standing: CampaignStats
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
        """Learn from all that lies before `history.now`.

        redemptions: who redeemed which campaign; rows as in history, columns are the campaigns, [U, C]
        types: the type of each campaign, [C]
        Where no window holds both answers, the chance is that of the campaign's type.
        """
        names = campaign_feature_names(tiering)
        prior = Classifier.prior(names, 0.0, "log_type_rate")
        standing = CampaignStats.measure(types, history, redemptions, tiering)
        model = cls(settings.horizon_days, tiering, standing, redemptions, prior)
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
        """C, how many campaigns it knows; 0 where the log has no redemption."""
        return len(self.past.items)

    def score(self, history: Interactions, redemptions: Interactions) -> FloatArray:
        """The chance of each campaign as of `history.now`, in 0..1, [U, C].

        redemptions: what the same users redeemed before, row by row; campaigns are matched by their ids
        Raises DataError when the rows are not as many as those of history.
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
        standing, tiers = self.standing, self.tiering.assign(history)
        met = redemptions.binary_matrix()
        of_type = met @ sparse.csr_matrix(standing.type_code[:, None] == standing.type_code[campaign])
        affinity = standing.affinity(self.tiering.interests_of(history), campaign)
        before = redemptions.matrix()[:, campaign].toarray()
        features = [
            *((tiers == code)[:, None] for code in range(1, len(self.tiering.names))),
            *(column[:, None] for column in _user_features(history, redemptions)),
            standing.log_type_rate[campaign],
            np.log1p(standing.redeemers[campaign]),
            np.log(affinity),
            np.log1p(of_type.toarray()),
            np.log1p(before),
        ]
        shape = (history.num_users, len(campaign))
        return np.stack([np.broadcast_to(column, shape) for column in features], axis=2).astype(float)

    def redemptions_of(self, user_id: str, since: Iterable[tuple[str, float]], now: float) -> Interactions:
        """All that one user redeemed before `now`: what `past` holds of them, and (campaign, day) pairs since.

        Campaigns that are unknown here are left out; a user who is unknown has the pairs alone.
        """
        column = {name: place for place, name in enumerate(self.campaigns)}
        fresh = [(column[name], day) for name, day in since if name in column]
        row = self._rows.get(user_id)
        own = slice(0) if row is None else slice(*self.past.offsets[row : row + 2])
        item = np.append(self.past.item[own], [place for place, _ in fresh])
        day = np.append(self.past.day[own], [one for _, one in fresh])
        order = np.flatnonzero(day < now)[np.argsort(day[day < now], kind="stable")]
        count = len(order)
        return Interactions(
            users=pd.Index([user_id], dtype=object),
            items=self.campaigns,
            user=np.zeros(count, np.int32),
            item=item[order].astype(np.int32),
            event=np.full(count, EVENT_CODES[Event.REDEEM], np.int8),
            day=day[order],
            value=np.zeros(count, np.float32),
            quantity=np.ones(count, np.float32),
            session=np.arange(count),
            coupon=np.ones(count, bool),
            now=now,
        )

    def at(self, history: Interactions, redemptions: Interactions) -> Self:
        """The same weights with what is known of the campaigns as of `history.now`; rows are those of `past`."""
        matched = self._matched(redemptions)
        standing = CampaignStats.measure(self.standing.types, history, matched, self.tiering)
        return replace(self, standing=standing, past=matched)

    def with_campaigns(self, campaigns: pd.Index, types: pd.Index) -> Self:
        """Further campaigns, scored by their type until somebody redeems them; ids that are known stay as they are."""
        new = ~campaigns.isin(self.campaigns) & ~campaigns.duplicated()
        past = replace(self.past, items=self.campaigns.append(campaigns[new]))
        return replace(self, standing=self.standing.extended(types[new]), past=past)

    def idle_days(self, now: float) -> FloatArray:
        """Days since anybody last redeemed each campaign, inf where nobody has, [C]."""
        return now - self.standing.last_day

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {str(user): row for row, user in enumerate(self.past.users)}

    def _matched(self, redemptions: Interactions) -> Interactions:
        """The redemptions with our campaigns as columns; those of campaigns unknown here are left out."""
        if redemptions.items is self.campaigns:
            return redemptions
        column = self.campaigns.get_indexer(redemptions.items)[redemptions.item]
        renamed = replace(redemptions, items=self.campaigns, item=column.astype(np.int32))
        return renamed.where(column >= 0)

    def _windows(self, history: Interactions, step_days: float) -> Iterator[tuple[FloatArray, BoolArray]]:
        """Features [N, F] and answers [N] of all pairs of a known user and a live campaign, newest window first.

        Live is a campaign that anybody redeems within the window.
        """
        first = float(history.day.min(initial=history.now)) + self.horizon_days
        for moment in np.arange(history.now - self.horizon_days, first, -step_days):
            past, before = history.before(moment), self.past.before(moment)
            answer = redemption_labels(self.past, moment, self.horizon_days)
            live, user = np.flatnonzero(answer.any(axis=0)), np.flatnonzero(np.diff(past.offsets))
            if len(live):
                values = self.at(past, before).features(past, before, live)[user]
                yield values.reshape(-1, values.shape[-1]), answer[np.ix_(user, live)].ravel()


def redemption_labels(redemptions: Interactions, moment: float, horizon_days: float) -> BoolArray:
    """Who redeems which campaign in the horizon_days from the moment on, [U, C]."""
    coming = redemptions.where((redemptions.day >= moment) & (redemptions.day < moment + horizon_days))
    redeems: BoolArray = coming.matrix().toarray() > 0
    return redeems


def _user_features(history: Interactions, redemptions: Interactions) -> list[FloatArray]:
    """The user's part of the features, from log_visits_28d to log_days_since_redemption, [U] each."""
    bought, num = history.filter_events(Event.PURCHASE), history.num_users
    opens = np.ones(len(bought), bool)
    opens[1:] = (np.diff(bought.user) != 0) | (np.diff(bought.session) != 0)
    visits = np.bincount(bought.user, opens & (bought.age <= 28.0), num)
    coupons = np.bincount(bought.user, bought.coupon, num)
    lately = np.bincount(bought.user, bought.coupon & (bought.age <= 91.0), num)
    share = (coupons + _COUPON_SHARE[0]) / (np.bincount(bought.user, minlength=num) + _COUPON_SHARE[1])
    campaigns = np.bincount(redemptions.unique_pairs()[0], minlength=num)
    last = np.full(num, _NEVER)
    np.minimum.at(last, redemptions.user, redemptions.age)
    return [np.log1p(visits), np.log(share), np.log1p(lately), np.log1p(campaigns), np.log1p(last)]


def redemption_history(events: pd.DataFrame, users: pd.Index, campaigns: pd.Index, now: float) -> Interactions:
    """Who redeemed which campaign before `now`, from an EVENTS frame: rows are `users`, columns `campaigns`.

    There may be no such event; those of other users or campaigns are left out.
    """
    known = events[
        (events["event"] == Event.REDEEM)
        & events["user_id"].isin(users)
        & events["item_id"].isin(campaigns)
        & (to_days(events["timestamp"]) < now)
    ]
    if len(known):
        return Interactions.from_events(known, users=users, items=campaigns, now=now)
    return replace(Interactions.from_history([], campaigns, now), users=users)
