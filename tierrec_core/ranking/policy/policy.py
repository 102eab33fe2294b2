"""A shop's list policy, resolved against one catalogue and applied to ranked candidates."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import pandas as pd

from tierrec_core.base.contracts import BoolArray, Event, FloatArray, IntArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.linalg.top_k import TopK
from tierrec_core.ranking.policy.diversity import calibrated, mmr, relevance
from tierrec_core.ranking.policy.quotas import CandidatePool, Quotas, fill_positions
from tierrec_core.settings import PolicySettings, RerankSettings, TierPolicySettings
from tierrec_core.tiers import TIER_NAMES, Tiering

_CANDIDATES_PER_POSITION = 5
_EXPLORATION_CANDIDATES = 500  # unseen items rank far behind those that a user interacted with
_PRIOR_USERS = 10.0


@dataclass(frozen=True)
class Audience:
    """The U users of one batch of lists; tier: of each, [U]."""

    history: Interactions
    tier: IntArray
    tiering: Tiering

    def seen(self, items: IntArray) -> BoolArray:
        """Whether each user's history has each item of the row, for columns [U, K] with -1 as padding."""
        num_items = self.history.num_items
        pair = np.arange(len(items))[:, None] * num_items + items.astype(np.int64)
        seen: BoolArray = np.isin(pair, self.history.user.astype(np.int64) * num_items + self.history.item)
        return seen & (items >= 0)

    def interests(self) -> FloatArray:
        """P_u: the share of each interest layer in the user's history, [U, J]."""
        return self.tiering.interests_of(self.history)

    def layer(self, items: IntArray) -> IntArray:
        """The interest layer of each item by its content, -1 for padding, [U, K]."""
        return np.where(items >= 0, self.tiering.layers.content[items], -1)

    def draws(self, items: IntArray, seed: int) -> FloatArray:
        """A random number in [0, 1) for each user and item [U, K]: the same for the same history, item and seed.

        It is a hash (SplitMix64, Steele et al., 2014), so that neither the other users of a batch nor the order of the
        candidates matters.
        """
        user_hash = np.full(self.history.num_users, seed, np.uint64)
        np.add.at(user_hash, self.history.user, _split_mix(self.history.item.astype(np.uint64)))
        mixed = _split_mix(user_hash[:, None] + _split_mix(items.astype(np.int64).astype(np.uint64)))
        return (mixed >> np.uint64(11)).astype(float) / 2.0**53


@dataclass(frozen=True)
class ListPolicy:
    """The settings, resolved against one catalogue.

    novelty: preference of each tier for unpopular items, [T]
    obscurity: 0 for the most popular item to 1 for the least, [I]
    category: a code, [I]
    blocked: columns of the items that are never listed, [B]
    max_per_category: limit of items of one category in a list; 0 = no limit
    quality: percentile of each item, 0 for the worst; empty where no tier has a floor, [I]
    settings: the options that depend on the user
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
        """Resolve names against the catalogue; blocked ids that it lacks are ignored."""
        popularity = np.bincount(history.item, minlength=history.num_items)
        rank = np.argsort(np.argsort(-popularity, kind="stable"), kind="stable")
        blocked = history.items.get_indexer(pd.Index(settings.blocked_items, dtype=object))
        has_floor = _by_tier(settings, tiers, "quality_floor").any()
        return cls(
            novelty=_by_tier(settings, tiers, "novelty").astype(np.float32),
            obscurity=(rank / max(history.num_items - 1, 1)).astype(np.float32),
            category=pd.factorize(items["category"].fillna("unknown"))[0].astype(np.int32),
            blocked=blocked[blocked >= 0].astype(np.int32),
            max_per_category=settings.max_per_category or 0,
            quality=_quality(history) if has_floor else np.zeros(0, np.float32),
            settings=settings,
            tiers=tuple(tiers),
        )

    def adjust(self, scores: FloatArray, user: IntArray, item: IntArray, tier: IntArray) -> FloatArray:
        """Scores of pairs [P] with each tier's novelty added and blocked items at -inf; tier: of each user, [U]."""
        adjusted = scores.astype(float)
        if self.novelty.any() and len(scores):
            count = np.maximum(np.bincount(user, minlength=len(tier)), 1)
            mean = np.bincount(user, scores, len(tier)) / count
            spread = np.sqrt(np.maximum(np.bincount(user, scores**2, len(tier)) / count - mean**2, 0.0))
            adjusted += self.novelty[tier[user]] * spread[user] * self.obscurity[item]
        adjusted[np.isin(item, self.blocked)] = -np.inf
        return adjusted

    def depth(self, k: int) -> int:
        """How many ranked candidates `apply` needs for a list of k."""
        explores = any(tier.exploration for tier in self.settings.tiers.values())
        reranked = self.settings.rerank.depth if self.settings.rerank else 0
        return max(_CANDIDATES_PER_POSITION * k, reranked, _EXPLORATION_CANDIDATES if explores else 0)

    def apply(self, ranked: TopK, k: int, audience: Audience) -> TopK:
        """The first k of each list [U, K >= k] after diversity and quotas.

        If an option reorders the items, the scores are sorted again, so that they descend. Exposure caps
        count the lists of one call, so a single list is never capped.
        """
        rerank = self.settings.rerank
        novelty_only = {name: TierPolicySettings(novelty=tier.novelty) for name, tier in self.settings.tiers.items()}
        if not self.max_per_category and rerank is None and novelty_only == self.settings.tiers:
            return TopK(ranked.items[:, :k], ranked.scores[:, :k])
        if rerank is not None:
            ranked = self._reordered(ranked, audience, rerank)
        chosen = fill_positions(self._pool(ranked.items, audience), self._quotas(audience), k)
        items = np.where(chosen >= 0, np.take_along_axis(ranked.items, chosen, axis=1), -1)
        scores = np.where(chosen >= 0, np.take_along_axis(ranked.scores, chosen, axis=1), -np.inf)
        return TopK(items.astype(np.int32), -np.sort(-scores, axis=1).astype(np.float32))

    def _reordered(self, ranked: TopK, audience: Audience, rerank: RerankSettings) -> TopK:
        """Reorder the first `depth` of each list."""
        head, scores = ranked.items[:, : rerank.depth], ranked.scores[:, : rerank.depth]
        relevant, layer = relevance(scores), audience.layer(head)
        if rerank.kind == "mmr":
            order = mmr(relevant, (np.where(head >= 0, self.category[head], -1), layer), rerank.weight)
        else:
            order = calibrated(relevant, layer, audience.interests(), rerank.weight)
        reordered = TopK(ranked.items.copy(), ranked.scores.copy())
        reordered.items[:, : rerank.depth] = np.take_along_axis(head, order, axis=1)
        reordered.scores[:, : rerank.depth] = np.take_along_axis(scores, order, axis=1)
        return reordered

    def _pool(self, items: IntArray, audience: Audience) -> CandidatePool:
        """The candidates with the inputs of the quotas; unseen items rarer than their median are for exploration."""
        allowed = items >= 0
        category = np.where(allowed, self.category[items], -1)
        seen, draws = audience.seen(items), np.full(items.shape, -1.0)
        floor = self._of(audience, "quality_floor")
        if floor.any():
            allowed = allowed & (seen | (self.quality[items] >= floor[:, None]))
        if self._of(audience, "exploration").any():
            rare = _above_median(np.where(allowed & ~seen, self.obscurity[items], np.nan))
            draws = np.where(rare, audience.draws(items, self.settings.seed), -1.0)
        return CandidatePool(items, allowed, seen, category, draws)

    def _quotas(self, audience: Audience) -> Quotas:
        tier_size = np.bincount(audience.tier, minlength=len(self.tiers))[audience.tier]
        return Quotas(
            max_per_category=self.max_per_category,
            repeats=self._of(audience, "repeat_slots"),
            exploration=self._of(audience, "exploration"),
            max_lists=np.maximum(np.ceil(self._of(audience, "exposure_cap") * tier_size), 1).astype(np.int64),
            group=audience.tier,
        )

    def _of(self, audience: Audience, name: str) -> FloatArray:
        """An option of each user's tier, [U]."""
        return _by_tier(self.settings, self.tiers, name)[audience.tier]


def _by_tier(settings: PolicySettings, tiers: Sequence[str], name: str) -> FloatArray:
    """An option of each tier, [T]."""
    return np.array([getattr(settings.tiers.get(tier, TierPolicySettings()), name) for tier in tiers], float)


def _quality(history: Interactions) -> FloatArray:
    """Percentile of each item's mean rating, or without ratings of its share of users who return on another day, [I].

    Both are shrunk towards the overall mean by a weight of ten users.
    """
    rated, num_items = history.filter_events(Event.RATING), history.num_items
    if len(rated):
        item, value = rated.item, rated.value.astype(float)
    else:
        day = np.floor(history.day).astype(np.int64)
        pair = history.user.astype(np.int64) * num_items + history.item
        days = np.unique(np.column_stack([pair, day]), axis=0)
        pairs, num_days = np.unique(days[:, 0], return_counts=True)
        item, value = pairs % num_items, (num_days > 1).astype(float)
    count, total = np.bincount(item, minlength=num_items), np.bincount(item, value, num_items)
    overall = total.sum() / max(count.sum(), 1)
    mean = (total + _PRIOR_USERS * overall) / (count + _PRIOR_USERS)
    percentile: FloatArray = (pd.Series(mean).rank(method="average").to_numpy() - 1) / max(num_items - 1, 1)
    return percentile.astype(np.float32)


def _above_median(values: FloatArray) -> BoolArray:
    """Which entries of each row [U, K] lie above its median; NaN never does."""
    median = np.full((len(values), 1), np.inf)
    valid = ~np.isnan(values).all(axis=1)
    median[valid] = np.nanmedian(values[valid], axis=1, keepdims=True)
    return values > median


def _split_mix(values: IntArray) -> IntArray:
    """SplitMix64's finaliser of uint64 values, which wraps around."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
