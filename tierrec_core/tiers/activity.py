"""Activity tiers: fixed boundaries in features of recent behaviour, with hysteresis.

The features are recency, frequency, money and breadth (RFM; Hughes, 1994). The boundaries are quantiles of the money
score, or users are clustered by k-means, a Gaussian mixture or Ward's method.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from tierrec_core.base.contracts import EVENT_CODES, EVENT_NAMES, Event, FloatArray, IntArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.settings import TierSettings

TIER_NAMES = TierSettings().names
FEATURES = ("recency", "frequency", "money", "breadth")
MONEY = FEATURES.index("money")

_ACTIVE_EVENTS = tuple(name for name in EVENT_NAMES if name not in (Event.IMPRESSION, Event.REDEEM))
_WARD_SAMPLE = 5000


@dataclass(frozen=True)
class ActivityFeatures:
    """Feature extraction with fixed parameters.

    window_days: age of the oldest event that counts
    events: names of the events that count: purchases, or all but impressions and redemptions in a log without purchases
    worth: mean value of an event with the item, for events whose value is unknown, [I]
    """

    window_days: float
    events: tuple[str, ...]
    worth: FloatArray

    @classmethod
    def fit(cls, history: Interactions, window_days: float) -> Self:
        """Choose the events that count, and average the money by item. Without any price, each event is worth 1."""
        bought = history.filter_events(Event.PURCHASE)
        events = (str(Event.PURCHASE),) if len(bought) else _ACTIVE_EVENTS
        paid = bought.where(bought.value > 0)
        money = np.bincount(paid.item, paid.value, minlength=history.num_items)
        count = np.bincount(paid.item, minlength=history.num_items)
        mean = money.sum() / count.sum() if count.any() else 1.0
        return cls(window_days, events, np.where(count > 0, money / np.maximum(count, 1), mean))

    def of(self, history: Interactions) -> FloatArray:
        """Features as of `history.now`, in the order of FEATURES, [U, 4].

        recency: -log(1 + days since the last event), at most the window; frequency: log(1 + sessions);
        money: log(1 + spend), its weight halving every half window; breadth: log(1 + distinct items).
        """
        counts = np.isin(history.event, [EVENT_CODES[name] for name in self.events])
        recent = history.where(counts & (history.age < self.window_days))
        users, user, age = history.num_users, recent.user, recent.age
        last = np.full(users, self.window_days)
        np.minimum.at(last, user, age)
        spend = np.where(recent.value > 0, recent.value, self.worth[recent.item])
        weight = np.exp2(-2 * age / self.window_days)
        return np.column_stack(
            [
                -np.log1p(last),
                np.log1p(_count_distinct(recent, recent.session)),
                np.log1p(np.bincount(user, spend * weight, minlength=users)),
                np.log1p(_count_distinct(recent, recent.item)),
            ]
        )


@dataclass(frozen=True)
class Clusters:
    """T clusters of standardized features, by ascending money.

    mean, scale: of each feature, [F] and [F]
    centres: of the clusters, [T, F]
    precisions: inverse covariances; the identity unless method is gaussian_mixture, [T, F, F]
    offsets: log weight of each cluster plus half the log determinant of its precision, [T]
    """

    mean: FloatArray
    scale: FloatArray
    centres: FloatArray
    precisions: FloatArray
    offsets: FloatArray

    @classmethod
    def fit(cls, features: FloatArray, method: str, num_clusters: int, rng: np.random.Generator) -> Self:
        """Cluster features [U, F] by kmeans, gaussian_mixture or agglomerative (Ward, at most 5,000 users).

        There are fewer clusters if there are fewer distinct users.
        """
        from sklearn.cluster import AgglomerativeClustering, KMeans  # takes a second; most stages only read tiers
        from sklearn.mixture import GaussianMixture

        mean, scale = features.mean(axis=0), features.std(axis=0)
        scale = np.where(scale > 0, scale, 1.0)
        points = (features - mean) / scale
        count = min(num_clusters, len(np.unique(points, axis=0)))
        seed = int(rng.integers(2**31))
        match method:
            case "kmeans":
                centres = KMeans(count, n_init=10, random_state=seed).fit(points).cluster_centers_
            case "gaussian_mixture":
                mixture = GaussianMixture(count, n_init=3, reg_covar=1e-3, random_state=seed).fit(points)
                return cls._ordered(mean, scale, mixture.means_, mixture.precisions_, mixture.weights_)
            case _:
                chosen = rng.permutation(len(points))[:_WARD_SAMPLE]
                label = AgglomerativeClustering(count).fit_predict(points[chosen])
                centres = np.stack([points[chosen][label == group].mean(axis=0) for group in range(count)])
        return cls._ordered(mean, scale, centres, np.tile(np.eye(points.shape[1]), (count, 1, 1)), np.ones(count))

    @classmethod
    def _ordered(
        cls, mean: FloatArray, scale: FloatArray, centres: FloatArray, precisions: FloatArray, weights: FloatArray
    ) -> Self:
        order = np.argsort(centres[:, MONEY])
        offsets = np.log(weights) + np.linalg.slogdet(precisions)[1] / 2
        return cls(mean, scale, centres[order], precisions[order], offsets[order])

    def assign(self, features: FloatArray, previous: IntArray | None, hysteresis: float) -> IntArray:
        """The likeliest cluster of each user, [U].

        A user leaves the previous cluster only for one that is `hysteresis` standard deviations nearer along the line
        between the two centres.
        """
        points = (features - self.mean) / self.scale
        difference = points[:, None, :] - self.centres
        scores = self.offsets - np.einsum("utf,tfg,utg->ut", difference, self.precisions, difference) / 2
        best: IntArray = scores.argmax(axis=1).astype(np.int8)
        if previous is None:
            return best
        current = np.clip(previous, 0, len(self.centres) - 1)
        rows = np.arange(len(points))
        margin = hysteresis * np.linalg.norm(self.centres[best] - self.centres[current], axis=1)
        keep_current = (previous >= 0) & (scores[rows, best] - scores[rows, current] <= margin)
        return np.where(keep_current, current, best).astype(np.int8)


@dataclass(frozen=True)
class ActivityTiers:
    """Fixed boundaries that map a history to a tier.

    cuts: money scores between the tiers, used where clusters is None, [T - 1]
    spread: standard deviation of the money score, the unit of hysteresis
    hysteresis: distance beyond a boundary at which a user leaves the previous tier, in standard deviations
    """

    features: ActivityFeatures
    cuts: FloatArray
    spread: float
    hysteresis: float
    clusters: Clusters | None

    @classmethod
    def fit(cls, history: Interactions, settings: TierSettings, rng: np.random.Generator) -> Self:
        """Fit the boundaries to the users who were active in the window."""
        features = ActivityFeatures.fit(history, settings.window_days)
        return cls.from_features(features, features.of(history), settings, rng)

    @classmethod
    def from_features(
        cls, extractor: ActivityFeatures, features: FloatArray, settings: TierSettings, rng: np.random.Generator
    ) -> Self:
        """Fit the boundaries to features [U, F] of the extractor."""
        active = features[features[:, MONEY] > 0]
        known = active if len(active) else features
        money, clusters = known[:, MONEY], None
        if settings.method != "quantile":
            clusters = Clusters.fit(known, settings.method, len(settings.names), rng)
        return cls(extractor, np.quantile(money, settings.quantiles), float(money.std()), settings.hysteresis, clusters)

    def assign(self, history: Interactions, previous: IntArray | None = None) -> IntArray:
        """Tier of each user as of `history.now`, index into the tiers' names, [U].

        With the previous tiers [U], -1 where unknown, a user changes tier only beyond the hysteresis.
        """
        return self.assign_features(self.features.of(history), previous)

    def assign_features(self, features: FloatArray, previous: IntArray | None = None) -> IntArray:
        """The same from features [U, F]."""
        if self.clusters is not None:
            return self.clusters.assign(features, previous, self.hysteresis)
        cuts = np.broadcast_to(self.cuts, (len(features), len(self.cuts)))
        if previous is not None:
            above = previous[:, None] > np.arange(len(self.cuts))
            shift = np.where(above, -1.0, 1.0) * (previous[:, None] >= 0)
            cuts = cuts + shift * self.hysteresis * self.spread
        return np.asarray((features[:, [MONEY]] > cuts).sum(axis=1), np.int8)


def _count_distinct(history: Interactions, label: IntArray) -> IntArray:
    """The number of distinct labels each user has, [U]."""
    span = int(label.max(initial=0)) + 1
    # np.unique hashes, which takes four times as long here as sorting
    pairs = np.sort(history.user.astype(np.int64) * span + label)
    distinct = pairs[np.diff(pairs, prepend=-1) > 0]
    return np.bincount(distinct // span, minlength=history.num_users)
