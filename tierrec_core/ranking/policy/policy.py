"""A shop's list policy, resolved against one catalogue and applied to ranked candidates."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import pandas as pd

from tierrec_core.base.contracts import BoolArray, Event, FloatArray, IntArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.linalg.top_k import TopK
from tierrec_core.ranking.policy.audience import Audience
from tierrec_core.ranking.policy.diversity import calibrated, mmr, relevance
from tierrec_core.ranking.policy.quotas import CandidatePool, Quotas, fill
from tierrec_core.settings import PolicySettings as PolicySettings
from tierrec_core.settings import TierPolicySettings
from tierrec_core.settings.learning import RerankSettings
from tierrec_core.tiers import TIER_NAMES

_SPARE = 5  # a list is cut from one that is this many times as long
_PRIOR_BUYERS = 10.0
_SHOWN = 10
_EXPLORED = 500  # new items stand far behind those that a user met before


@dataclass(frozen=True)
class ListPolicy:
    """The settings, resolved against one catalogue.

    novelty: what each tier favours, [3]
    obscurity: 0 for the most popular item to 1 for the least, [I]
    category: a code, [I]
    blocked: columns of the items that are never shown, [B]
    max_per_category: how many of one category a list may hold; 0 = any number
    quality: percentile of each item among all, 0 for the worst; empty where no tier has a floor, [I]
    settings: what of the rest is asked for
    """

    novelty: FloatArray
    obscurity: FloatArray
    category: IntArray
    blocked: IntArray
    max_per_category: int
    quality: FloatArray = field(default_factory=lambda: np.zeros(0, np.float32))
    settings: PolicySettings = field(default_factory=PolicySettings)
    tiers: tuple[str, ...] = TIER_NAMES

    @classmethod
    def fit(
        cls, history: Interactions, items: pd.DataFrame, settings: PolicySettings, tiers: Sequence[str] = TIER_NAMES
    ) -> Self:
        """Resolve names against the catalogue; a blocked id that it lacks is no error."""
        popularity = np.bincount(history.item, minlength=history.num_items)
        rank = np.argsort(np.argsort(-popularity, kind="stable"), kind="stable")
        blocked = history.items.get_indexer(pd.Index(settings.blocked_items, dtype=object))
        floors = _by_tier(settings, tiers, "quality_floor").any()
        return cls(
            novelty=_by_tier(settings, tiers, "novelty").astype(np.float32),
            obscurity=(rank / max(history.num_items - 1, 1)).astype(np.float32),
            category=pd.factorize(items["category"].fillna("unknown"))[0].astype(np.int32),
            blocked=blocked[blocked >= 0].astype(np.int32),
            max_per_category=settings.max_per_category or 0,
            quality=_quality(history) if floors else np.zeros(0, np.float32),
            settings=settings,
            tiers=tuple(tiers),
        )

    def adjust(self, scores: FloatArray, user: IntArray, item: IntArray, tier: IntArray) -> FloatArray:
        """Scores of pairs [P] after the tier's taste for novelty and the block list; tier is by user, [U]."""
        adjusted = scores.astype(float)
        if self.novelty.any() and len(scores):
            count = np.maximum(np.bincount(user, minlength=len(tier)), 1)
            mean = np.bincount(user, scores, len(tier)) / count
            spread = np.sqrt(np.maximum(np.bincount(user, scores**2, len(tier)) / count - mean**2, 0.0))
            adjusted += self.novelty[tier[user]] * spread[user] * self.obscurity[item]
        adjusted[np.isin(item, self.blocked)] = -np.inf
        return adjusted

    def depth(self, k: int) -> int:
        """How many ranked candidates `cap` wants to see for a list of k."""
        explores = any(one.exploration for one in self.settings.tiers.values())
        deepest = self.settings.rerank.depth if self.settings.rerank else 0
        return max(_SPARE * k, deepest, _EXPLORED if explores else 0)

    def cap(self, ranked: TopK, k: int, audience: Audience | None = None) -> TopK:
        """The first k of each list [U, K >= k] that leave no category with more than its share.

        With the audience, in the order and with the places that its tiers' settings ask for; scores then are by place,
        so that they still fall. Exposure caps count the lists of one call; one list alone is never capped.
        """
        asked = audience if self._rearranges() else None
        if not self.max_per_category and asked is None:
            return TopK(ranked.items[:, :k], ranked.scores[:, :k])
        if asked is not None and self.settings.rerank is not None:
            ranked = self._reordered(ranked, asked, self.settings.rerank)
        chosen = fill(self._pool(ranked.items, asked), self._quotas(len(ranked.items), asked), k)
        there = chosen >= 0
        items = np.where(there, np.take_along_axis(ranked.items, chosen, axis=1), -1)
        scores = np.where(there, np.take_along_axis(ranked.scores, chosen, axis=1), -np.inf)
        return TopK(items.astype(np.int32), -np.sort(-scores, axis=1).astype(np.float32))

    def _rearranges(self) -> bool:
        """Whether any setting depends on the user."""
        plain = {name: TierPolicySettings(novelty=one.novelty) for name, one in self.settings.tiers.items()}
        return self.settings.rerank is not None or plain != self.settings.tiers

    def _reordered(self, ranked: TopK, audience: Audience, rerank: RerankSettings) -> TopK:
        """The first `depth` of each list in another order; the rest as it was."""
        head = ranked.items[:, : rerank.depth]
        relevant, layer = relevance(ranked.scores[:, : rerank.depth]), audience.layer(head)
        if rerank.kind == "mmr":
            order = mmr(relevant, (np.where(head >= 0, self.category[head], -1), layer), rerank.weight)
        else:
            order = calibrated(relevant, layer, audience.interests(), rerank.weight)
        items, scores = ranked.items.copy(), ranked.scores.copy()
        items[:, : rerank.depth] = np.take_along_axis(head, order, axis=1)
        scores[:, : rerank.depth] = np.take_along_axis(scores[:, : rerank.depth], order, axis=1)
        return TopK(items, scores)

    def _pool(self, items: IntArray, audience: Audience | None) -> CandidatePool:
        """What may get a place. A trial is a candidate not met before, rarer than the median of such ones."""
        there = items >= 0
        category = np.where(there, self.category[items], -1)
        if audience is None:
            return CandidatePool(items, there, np.zeros(items.shape, bool), category, np.full(items.shape, -1.0))
        met, allowed, lots = audience.met(items), there, np.full(items.shape, -1.0)
        floor = self._of(audience, "quality_floor")
        if floor.any():
            allowed = there & (met | (self.quality[items] >= floor[:, None]))
        if self._of(audience, "exploration").any():
            rare = _rarer(np.where(allowed & ~met, self.obscurity[items], np.nan))
            lots = np.where(rare, audience.lots(items, self.settings.seed), -1.0)
        return CandidatePool(items, allowed, met, category, lots)

    def _quotas(self, num_users: int, audience: Audience | None) -> Quotas:
        most = self.max_per_category
        if audience is None:
            nobody = np.zeros(num_users, np.int64)
            return Quotas(most, np.ones(num_users), np.zeros(num_users), nobody + num_users, nobody)
        size = np.bincount(audience.tier, minlength=len(self.tiers))[audience.tier]
        return Quotas(
            most_of_category=most,
            repeats=self._of(audience, "repeat_slots"),
            trials=self._of(audience, "exploration"),
            most_shown=np.maximum(np.ceil(self._of(audience, "exposure_cap") * size), 1).astype(np.int64),
            group=audience.tier,
            shown=_SHOWN,
        )

    def _of(self, audience: Audience, name: str) -> FloatArray:
        """A setting of each user's tier, [U]."""
        return _by_tier(self.settings, self.tiers, name)[audience.tier]


def _by_tier(settings: PolicySettings, tiers: Sequence[str], name: str) -> FloatArray:
    """A setting of each tier, [3]."""
    given = (settings.tiers.get(tier, TierPolicySettings()) for tier in tiers)
    return np.array([getattr(one, name) for one in given], float)


def _quality(history: Interactions) -> FloatArray:
    """Percentile of each item's mean rating or, in a log without ratings, of the share of its buyers who bought it
    again on another day, [I]; both are shrunk towards the overall mean by a weight of ten users."""
    rated = history.filter_events(Event.RATING)
    if len(rated):
        item, good, num_items = rated.item, rated.value.astype(float), rated.num_items
    else:
        day = np.floor(history.day).astype(np.int64)
        pair = history.user.astype(np.int64) * history.num_items + history.item
        days = np.unique(np.column_stack([pair, day]), axis=0)
        pairs, times = np.unique(days[:, 0], return_counts=True)
        item, good, num_items = pairs % history.num_items, (times > 1).astype(float), history.num_items
    count, total = np.bincount(item, minlength=num_items), np.bincount(item, good, num_items)
    usual = total.sum() / max(count.sum(), 1)
    value = (total + _PRIOR_BUYERS * usual) / (count + _PRIOR_BUYERS)
    percentile: FloatArray = (pd.Series(value).rank(method="average").to_numpy() - 1) / max(num_items - 1, 1)
    return percentile.astype(np.float32)


def _rarer(obscurity: FloatArray) -> BoolArray:
    """Which entries of each row [U, K] lie above its median; NaN never does."""
    there = ~np.isnan(obscurity)
    middle = np.full((len(obscurity), 1), np.inf)
    some = there.any(axis=1)
    middle[some] = np.nanmedian(obscurity[some], axis=1, keepdims=True)
    rarer: BoolArray = there & (obscurity > middle)
    return rarer
