"""Item-based k nearest neighbours by asymmetric cosine with shrinkage.

Item-based top-N recommendation (Deshpande & Karypis, TOIS 2004) with the asymmetric cosine of Aiolli (RecSys 2013):
s_ij = sum over users of x_ui x_uj / d_u^user_exponent, over (n_i^alpha n_j^(1 - alpha) + shrinkage).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Self

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt
from scipy import sparse

from tierrec_core.base.contracts import FloatArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.linalg.sparse import ValueWeighting, degrees, keep_top_k_per_row, safe_power, scale, weighted_history
from tierrec_core.protocols.model import Training
from tierrec_core.settings import Params, SearchRange

_CHUNK = 1024  # items per block


@dataclass(frozen=True)
class ItemKnn:
    """similarity: row i holds the similarity of seen item i to its neighbours, 0 on the diagonal, [I, I]."""

    similarity: sparse.csr_matrix
    config: "ItemKnn.Config"

    class Config(Params):
        """alpha: exponent of the seen item's popularity in the norm; the candidate's has 1 - alpha.

        shrinkage, in users, lowers the similarity of items with few common users; user_exponent lowers the weight of
        users with many items. Memory grows with items times neighbours.
        """

        values: ValueWeighting = "log_count"
        half_life: Annotated[PositiveFloat, SearchRange(7.0, 365.0, log=True)] = 60.0
        neighbours: Annotated[PositiveInt, SearchRange(30, 1000, log=True)] = 200
        alpha: Annotated[float, Field(ge=0, le=1), SearchRange()] = 0.5
        shrinkage: Annotated[float, Field(ge=0), SearchRange(0.0, 100.0)] = 10.0
        user_exponent: Annotated[float, Field(ge=0, le=2), SearchRange()] = 0.5

    @classmethod
    def fit(cls, training: Training, config: Config) -> Self:
        """Keep each item's neighbours. Time grows with co-occurring pairs, memory with items times neighbours."""
        parts = [keep_top_k_per_row(part, config.neighbours) for part in _similarities(training.history, config)]
        return cls(sparse.vstack(parts, format="csr", dtype=np.float32), config)

    def score_catalogue(self, history: Interactions) -> FloatArray:
        """Sum of the similarities of the seen items to each item, [U, I]."""
        seen = weighted_history(history, self.config.values, self.config.half_life)
        return np.asarray((seen @ self.similarity).toarray(), np.float32)


def _similarities(history: Interactions, config: ItemKnn.Config) -> Iterator[sparse.csr_matrix]:
    """Yield the rows of the similarity matrix in blocks of items, [N, I]."""
    weights = weighted_history(history, config.values, config.half_life)
    activity, _ = degrees(weights)
    damped = scale(weights, rows=safe_power(activity, -config.user_exponent))
    _, size = degrees(weights.multiply(weights).tocsr())
    by_item = weights.T.tocsr()
    source, target = safe_power(size, config.alpha), safe_power(size, 1.0 - config.alpha)
    for start in range(0, weights.shape[1], _CHUNK):
        cosine = (by_item[start : start + _CHUNK] @ damped).tocsr()
        row = np.repeat(np.arange(cosine.shape[0]), np.diff(cosine.indptr))
        cosine.data /= source[start + row] * target[cosine.indices] + config.shrinkage
        cosine.data[cosine.indices == start + row] = 0.0
        yield cosine
