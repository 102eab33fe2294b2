"""Hybrid text search: BM25 (Robertson & Zaragoza, 2009), related words, and item vectors.

An item has three scores: BM25 of the query's words; BM25 of words that occur on the same items (relevance feedback,
Rocchio 1971, precomputed for each word); the cosine of its vector and the mean vector of the items with the words. The
second and third are combined with the first as in a noisy or: they retrieve items without the words, and never rank an
item above the best match of the words.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.preprocessing import normalize

from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.data.text import Vocabulary, item_texts, tokenize
from tierrec_core.linalg.cosine import normalize_rows
from tierrec_core.linalg.top_k import top_k

_RELATED, _BEHAVIOUR = 0.3, 0.1  # largest weights of the second and the third score
_SATURATION, _LENGTH = 1.2, 0.5  # k1 and b of BM25
_NUM_RELATED = 30
_SHRINKAGE = 5.0
_FLOOR = 0.05


@dataclass(frozen=True)
class Segment:
    """N indexed items.

    postings: BM25 of each word for each item, [W, N]
    vectors: of length 1, or 0 where unknown, [N, F]
    """

    postings: sparse.csr_matrix
    vectors: FloatArray

    def __len__(self) -> int:
        return len(self.vectors)

    def scores(self, weights: FloatArray, vector: FloatArray) -> FloatArray:
        """BM25 for each weighting of words [Q, W], followed by the cosine with the vector [F], [Q + 1, N]."""
        used = np.flatnonzero(weights[:, : self.postings.shape[0]].any(axis=0))
        return np.concatenate([weights[:, used] @ self.postings[used], (self.vectors @ vector)[None]])


@dataclass(frozen=True)
class SearchIndex:
    """An index of I items, the fitted ones first.

    idf: inverse document frequency of each word, [W]; mean_length: words per item
    related: weight of each word for each fitted word, [W, W]
    word_vectors: mean vector of the items with a fitted word, shrunk to 0 where they are few, [W, F]
    posted: items added later, at these columns [P]; they replace those of `fitted`
    """

    vocabulary: Vocabulary
    idf: FloatArray
    mean_length: float
    related: sparse.csr_matrix
    word_vectors: FloatArray
    fitted: Segment
    posted: Segment
    columns: IntArray

    @classmethod
    def fit(cls, items: pd.DataFrame, vectors: FloatArray | None = None) -> Self:
        """Index ITEMS, row i for column i; vectors [I, F] are those of a recommender."""
        texts = [tokenize(text) for text in item_texts(items)]
        vectors = normalize_rows(np.zeros((len(items), 0), np.float32) if vectors is None else vectors)
        vocabulary = Vocabulary.of(texts)
        count = vocabulary.count(texts)
        contains = (count > 0).astype(np.float32)
        num_items = np.asarray(contains.sum(axis=0)).ravel()
        idf, mean_length = _inverse_frequency(num_items, len(items)), float(count.sum()) / len(items)
        weights = _bm25(count, idf, mean_length)
        mean = sparse.diags((1.0 / (num_items + _SHRINKAGE)).astype(np.float32)) @ contains.T
        return cls(
            vocabulary=vocabulary,
            idf=idf,
            mean_length=mean_length,
            related=_keep_top_k_with_ties((mean @ normalize(weights)).tocsr(), _NUM_RELATED),
            word_vectors=mean @ vectors,
            fitted=Segment(weights.T.tocsr(), vectors),
            posted=Segment(weights[:0].T.tocsr(), vectors[:0]),
            columns=np.zeros(0, np.int64),
        )

    def __len__(self) -> int:
        return max(len(self.fitted), int(self.columns.max(initial=-1)) + 1)

    def query(self, text: str, k: int) -> tuple[IntArray, FloatArray]:
        """Columns of at most k items, best first, and scores relative to the best; none where no word matches.

        Items below a twentieth of the best score are left out.
        """
        weights = self._word_weights(text)
        scores = self._scores(weights) if weights.any() else np.zeros(len(self), np.float32)
        best = float(scores.max(initial=0.0))
        if best <= 0.0:
            return np.zeros(0, np.int32), np.zeros(0, np.float32)
        ranked = top_k(np.where(scores >= _FLOOR * best, scores / best, -np.inf)[None], k)
        listed = ranked.items[0] >= 0
        return ranked.items[0][listed], ranked.scores[0][listed]

    def with_items(self, items: pd.DataFrame, columns: IntArray, vectors: FloatArray | None = None) -> Self:
        """The index with the items of ITEMS added or replaced at the distinct columns [N].

        Without vectors [N, F], those of an item's words are used. The cost grows with the posted items and the words,
        not with the catalogue.
        """
        texts = [tokenize(text) for text in item_texts(items)]
        vocabulary = self.vocabulary.extended(texts)
        new_words = np.ones(len(vocabulary) - len(self.vocabulary))  # each as rare as a word can be
        idf = np.concatenate([self.idf, _inverse_frequency(new_words, len(self.fitted))])
        count = vocabulary.count(texts)
        if vectors is None:
            vectors = (count > 0)[:, : len(self.word_vectors)] @ self.word_vectors
        added = Segment(_bm25(count, idf, self.mean_length).T.tocsr(), normalize_rows(vectors))
        keep = np.flatnonzero(~np.isin(self.columns, columns))
        return replace(
            self,
            vocabulary=vocabulary,
            idf=idf,
            posted=_joined(self.posted, keep, added),
            columns=np.concatenate([self.columns[keep], columns]).astype(np.int64),
        )

    def _word_weights(self, text: str) -> FloatArray:
        """Weight of each word in the query, 0 to 1, [W]."""
        weights = np.zeros(len(self.vocabulary), np.float32)
        for word in tokenize(text):
            for row, weight in self.vocabulary.match(word).items():
                weights[row] = max(weights[row], weight)
        return weights

    def _scores(self, weights: FloatArray) -> FloatArray:
        """The combination of the three scores, [I]."""
        fitted = (weights * self.idf)[: len(self.word_vectors)]
        used = np.flatnonzero(fitted)
        related = np.zeros_like(weights)
        related[: len(fitted)] = fitted[used] @ self.related[used]
        vector = normalize_rows((fitted[used] @ self.word_vectors[used])[None])[0]
        parts = np.zeros((3, len(self)), np.float32)
        parts[:, : len(self.fitted)] = self.fitted.scores(np.stack([weights, related]), vector)
        parts[:, self.columns] = self.posted.scores(np.stack([weights, related]), vector)
        by_words, by_related = parts[:2] / np.maximum(parts[:2].max(axis=1, keepdims=True), 1e-9)
        return np.asarray(by_words + (1.0 - by_words) * (_RELATED * by_related + _BEHAVIOUR * parts[2]))


def _inverse_frequency(num_items: FloatArray, total: int) -> FloatArray:
    """Inverse document frequency, above 0, of words on num_items of the items each, [W]."""
    return np.log1p((total - num_items + 0.5) / (num_items + 0.5)).astype(np.float32)


def _bm25(count: sparse.csr_matrix, idf: FloatArray, mean_length: float) -> sparse.csr_matrix:
    """BM25 of each word for each item, from the counts, [N, W] both."""
    length = np.asarray(count.sum(axis=1)).ravel() / max(mean_length, 1e-9)
    penalty = np.repeat(1.0 - _LENGTH + _LENGTH * length, np.diff(count.indptr))
    weights = count.copy()
    saturated = count.data * (_SATURATION + 1.0) / (count.data + _SATURATION * penalty)
    weights.data = (idf[count.indices] * saturated).astype(np.float32)
    return weights


def _keep_top_k_with_ties(matrix: sparse.csr_matrix, k: int) -> sparse.csr_matrix:
    """Only the k largest entries of each row, and those equal to the last of them."""
    for row in range(matrix.shape[0]):
        entries = matrix.data[matrix.indptr[row] : matrix.indptr[row + 1]]
        if len(entries) > k:
            entries[entries < np.partition(entries, -k)[-k]] = 0.0
    matrix.eliminate_zeros()
    return matrix


def _joined(segment: Segment, keep: IntArray, added: Segment) -> Segment:
    """These items of a segment, followed by a segment with more words."""
    postings = segment.postings[:, keep]
    postings.resize(added.postings.shape[0], len(keep))
    vectors = np.concatenate([segment.vectors[keep], added.vectors])
    return Segment(sparse.hstack([postings, added.postings], format="csr"), vectors)
