"""Users grouped by k-means, a Gaussian mixture or Ward's agglomeration, lowest spenders first."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from sklearn.cluster import AgglomerativeClustering, KMeans
from sklearn.mixture import GaussianMixture

from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.tiers.rfm import MONEY

_WARD_SAMPLE = 5000


@dataclass(frozen=True)
class Clusters:
    """T ordered groups in standardised feature space, lowest spenders first.

    mean, scale: what standardises a feature, [F] and [F]
    centres: middle of each group, [T, F]
    precisions: inverse covariance of each group; the identity where only distance counts, [T, F, F]
    offsets: log weight of each group less half its log determinant, 0 where only distance counts, [T]
    """

    mean: FloatArray
    scale: FloatArray
    centres: FloatArray
    precisions: FloatArray
    offsets: FloatArray

    @classmethod
    def fit(cls, features: FloatArray, method: str, num_clusters: int, rng: np.random.Generator) -> Self:
        """Group features [U, F] by kmeans, gaussian_mixture or agglomerative (Ward, at most 5,000 users);
        fewer groups than num_clusters where users are not distinct enough."""
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
        """The likeliest group of each user, [U]; a user with a previous group leaves it only for one that is
        `hysteresis` standard deviations nearer along the line between the two centres."""
        points = (features - self.mean) / self.scale
        away = points[:, None, :] - self.centres
        closeness = self.offsets - np.einsum("utf,tfg,utg->ut", away, self.precisions, away) / 2
        best: IntArray = closeness.argmax(axis=1).astype(np.int8)
        if previous is None:
            return best
        held = np.clip(previous, 0, len(self.centres) - 1)
        rows = np.arange(len(points))
        band = hysteresis * np.linalg.norm(self.centres[best] - self.centres[held], axis=1)
        stays = (previous >= 0) & (closeness[rows, best] - closeness[rows, held] <= band)
        tiers: IntArray = np.where(stays, held, best).astype(np.int8)
        return tiers
