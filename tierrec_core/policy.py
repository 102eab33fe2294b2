"""From an order to a list: what each tier favours, a cap a category, and a block list with the last word."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from tierrec_core.contracts import FloatArray, IntArray
from tierrec_core.interactions import Interactions
from tierrec_core.ranking import Ranked
from tierrec_core.settings import Policy as PolicySettings
from tierrec_core.tiers import TIER_NAMES


@dataclass(frozen=True)
class Policy:
    """The settings, resolved against one catalogue.

    novelty: what each tier favours, [3]
    obscurity: 0 for the most popular item to 1 for the least, [I]
    category: a code, [I]
    blocked: columns of items that nobody may see, [B]
    max_per_category: how many of one category a list may hold; 0 = any number
    """

    novelty: FloatArray
    obscurity: FloatArray
    category: IntArray
    blocked: IntArray
    max_per_category: int

    @classmethod
    def fit(cls, history: Interactions, items: pd.DataFrame, settings: PolicySettings) -> Self:
        """Resolve names against the catalogue; a blocked id that it lacks is no error."""
        popularity = np.bincount(history.item, minlength=history.num_items)
        rank = np.argsort(np.argsort(-popularity, kind="stable"), kind="stable")
        by_tier = [settings.tiers[name].novelty if name in settings.tiers else 0.0 for name in TIER_NAMES]
        blocked = history.items.get_indexer(pd.Index(settings.blocked_items, dtype=object))
        return cls(
            novelty=np.array(by_tier, np.float32),
            obscurity=(rank / max(history.num_items - 1, 1)).astype(np.float32),
            category=pd.factorize(items["category"].fillna("unknown"))[0].astype(np.int32),
            blocked=blocked[blocked >= 0].astype(np.int32),
            max_per_category=settings.max_per_category or 0,
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

    def cap(self, ranked: Ranked, k: int) -> Ranked:
        """The first k of each list [U, K >= k] that leave no category with more than its share."""
        if not self.max_per_category:
            return Ranked(ranked.items[:, :k], ranked.scores[:, :k])
        items = np.full((len(ranked.items), k), -1, np.int32)
        scores = np.full((len(ranked.items), k), -np.inf, np.float32)
        for row, (listed, score) in enumerate(zip(ranked.items, ranked.scores, strict=True)):
            category = np.where(listed >= 0, self.category[listed], -1)
            earlier = np.array([(category[:place] == one).sum() for place, one in enumerate(category)])
            keep = np.flatnonzero((listed >= 0) & (earlier < self.max_per_category))[:k]
            items[row, : len(keep)], scores[row, : len(keep)] = listed[keep], score[keep]
        return Ranked(items, scores)
