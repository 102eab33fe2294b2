"""Graph filter: a linear filter plus a low-pass filter of the user-item graph, without training.

GF-CF (Shen et al., CIKM 2021): the linear filter P = N'N of the normalized graph N plus a low pass over its largest
eigenvalues. Degrees have separate exponents for users and items, as in LinkProp (Fu et al., WSDM 2022). The low pass
may be soft, s / (s + softness), the ridge solution of a linear autoencoder at low rank, and the linear filter may be
sharpened by the reversed heat equation, as in BSPM (Choi et al., SIGIR 2023).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Self

import numpy as np
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat
from scipy import sparse

from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.data.interactions import Interactions
from tierrec_core.linalg.candidate_scores import factor_products, mask_padding, sparse_products
from tierrec_core.linalg.sparse import ValueWeighting, degrees, safe_power, scale, weighted_history
from tierrec_core.protocols.model import Training
from tierrec_core.settings import Params, SearchRange

_ITERATIONS = 3
_OVERSAMPLED = 1.1
_DENSE_ABOVE = 0.1  # share of non-zero similarities above which dense products are faster
Exponent = Annotated[float, Field(ge=-1, le=1)]


@dataclass(frozen=True)
class GraphFilter:
    """Scores X D^-t (P + V s(e^-Ts - 1) V') D^t + w X D^-q V s / (s + softness) V' D^q.

    The eigenvalues s of P are scaled to at most 1; t is tilt, q low_pass_tilt, T sharpening, w low_pass.

    graph: N, training users by items, degree-normalized, [V, I]
    basis: eigenvectors of the largest eigenvalues of P, [I, K]
    sharpened, passed: gain of the sharpening and of the low pass for each, [K]
    degree: D, sum of each item's entries, [I]
    """

    graph: sparse.csr_matrix
    basis: FloatArray
    sharpened: FloatArray
    passed: FloatArray
    degree: FloatArray
    config: "GraphFilter.Config"

    class Config(Params):
        """rank: number of eigenvectors; memory grows with items times rank, time with events times rank.

        user_exponent, item_exponent: powers of the degrees that N is divided by; 0.5 and 0.5 are symmetric
        tilt, low_pass_tilt: preference for frequent items; histories are divided and scores multiplied by this power
        low_pass: weight of the low pass, 0 disables it; with softness 0 it is ideal
        sharpening: time of the reversed heat equation, 0 disables it
        """

        values: ValueWeighting = "log_count"
        half_life: Annotated[PositiveFloat, SearchRange(7.0, 365.0, log=True)] = 60.0
        user_exponent: Annotated[Exponent, SearchRange(0.1, 0.6)] = 0.3
        item_exponent: Annotated[Exponent, SearchRange(0.2, 0.6)] = 0.5
        tilt: Annotated[Exponent, SearchRange(-0.2, 0.4)] = 0.2
        rank: Annotated[NonNegativeInt, SearchRange(32, 1024, log=True)] = 128
        low_pass: Annotated[NonNegativeFloat, SearchRange(0.01, 0.5, log=True)] = 0.1
        low_pass_tilt: Annotated[Exponent, SearchRange(0.2, 0.7)] = 0.3
        softness: Annotated[NonNegativeFloat, SearchRange(0.003, 0.3, log=True)] = 0.1
        sharpening: Annotated[NonNegativeFloat, SearchRange()] = 0.0

    @classmethod
    def fit(cls, training: Training, config: Config) -> Self:
        """Normalize the graph and compute its largest eigenvalues (Halko et al., SIAM Review 2011)."""
        weights = weighted_history(training.history, config.values, config.half_life)
        users, items = degrees(weights)
        graph = scale(weights, safe_power(users, -config.user_exponent), safe_power(items, -config.item_exponent))
        rank = min(config.rank, min(graph.shape))
        eigenvalues, basis = _largest_eigenvalues(graph, max(rank, 1), training.rng)
        graph.data /= np.float32(np.sqrt(max(eigenvalues[0], 1e-12)))
        eigenvalues = eigenvalues[:rank] / max(eigenvalues[0], 1e-12)
        sharpened = eigenvalues * np.expm1(-config.sharpening * eigenvalues)
        passed = config.low_pass * eigenvalues / np.maximum(eigenvalues + config.softness, 1e-12)
        gains = sharpened.astype(np.float32), passed.astype(np.float32)
        return cls(graph, basis[:, :rank], *gains, items.astype(np.float32), config)

    def score_catalogue(self, history: Interactions) -> FloatArray:
        """The filtered history, [U, I]."""
        sharp, low = np.split(self.encode_users(history), 2, axis=1)
        scores = self._linear(self._user_similarity(history))
        if self.config.sharpening:
            scores += sharp @ self.basis.T
        scores *= self._tilt
        if self.config.low_pass:
            scores += low @ (self.basis * self._low_tilt[:, None]).T
        return scores

    def encode_users(self, history: Interactions) -> FloatArray:
        """Projection on the eigenvectors with the gains of the sharpening and of the low pass, [U, 2 K]."""
        sharp = self._tilted(history, self.config.tilt) @ self.basis * self.sharpened
        low = self._tilted(history, self.config.low_pass_tilt) @ self.basis * self.passed
        return np.concatenate([sharp, low], axis=1)

    def score_encoded(self, history: Interactions, user_states: FloatArray, candidates: IntArray) -> FloatArray:
        """The filtered history at the candidates, [U, C]."""
        sharp, low = np.split(user_states, 2, axis=1)
        linear = sparse_products(self._user_similarity(history).toarray(), self._by_item, candidates)
        linear += factor_products(sharp, self.basis, candidates)
        passed = factor_products(low, self.basis, candidates)
        scores = linear * self._tilt[candidates] + passed * self._low_tilt[candidates]
        return mask_padding(scores, candidates)

    def _linear(self, similarity: sparse.csr_matrix) -> FloatArray:
        """Sum of the graph's rows, weighted by similarity to the training users, [U, I]."""
        if similarity.nnz < _DENSE_ABOVE * np.prod(similarity.shape, dtype=np.int64):
            scores: FloatArray = (similarity @ self.graph).toarray()
        else:
            scores = np.ascontiguousarray((self._by_item @ similarity.toarray().T).T)
        return scores

    def _tilted(self, history: Interactions, tilt: float) -> sparse.csr_matrix:
        weights = weighted_history(history, self.config.values, self.config.half_life)
        return scale(weights, columns=safe_power(self.degree, -tilt))

    def _user_similarity(self, history: Interactions) -> sparse.csr_matrix:
        """Similarity to each training user, [U, V]."""
        return (self._tilted(history, self.config.tilt) @ self._by_item).tocsr()

    @cached_property
    def _by_item(self) -> sparse.csr_matrix:
        """Transpose of the graph, [I, V]."""
        return self.graph.T.tocsr()

    @cached_property
    def _tilt(self) -> FloatArray:
        return safe_power(self.degree, self.config.tilt)

    @cached_property
    def _low_tilt(self) -> FloatArray:
        return safe_power(self.degree, self.config.low_pass_tilt)


def _largest_eigenvalues(
    graph: sparse.csr_matrix, rank: int, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Largest eigenvalues of N'N [K], descending, and eigenvectors [I, K], by subspace iteration."""
    width = min(int(rank * _OVERSAMPLED) + 32, graph.shape[1])
    transposed = graph.T.tocsr()
    basis = np.linalg.qr(rng.standard_normal((graph.shape[1], width), dtype=np.float32))[0]
    for _ in range(_ITERATIONS):
        basis = np.linalg.qr(transposed @ (graph @ basis))[0]
    image = graph @ basis
    eigenvalues, rotation = np.linalg.eigh((image.T @ image).astype(np.float64))
    order = np.argsort(-eigenvalues)[:rank]
    vectors: FloatArray = basis @ rotation[:, order].astype(np.float32)
    return np.maximum(eigenvalues[order], 0.0), vectors
