"""Hybrid text search: BM25 (Robertson & Zaragoza, 2009), related words, and item vectors.

Three scores of an item: BM25 of the words that are meant; BM25 of the words that stand on the same items as these
(relevance feedback, Rocchio 1971, computed in advance for each word); the cosine of its vector and the mean vector
of the items that carry the words. The second and third fill a part of what the first leaves to 1, as a noisy or
does: they find what no word finds, and nothing passes what the words fit best.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.preprocessing import normalize

from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.data.text import item_texts, tokenize
from tierrec_core.data.vocabulary import Vocabulary
from tierrec_core.linalg.cosine import normalize_rows
from tierrec_core.linalg.top_k import top_k

_RELATED, _BEHAVIOUR = 0.3, 0.1  # how much of the rest the second and the third score fill at most
_SATURATION, _LENGTH = 1.2, 0.5  # k1 and b of BM25
_NUM_RELATED = 30
_SHRINKAGE = 5.0
_FLOOR = 0.05


@dataclass(frozen=True)
class Segment:
    """N items as the search sees them.

    postings: BM25 of each word for each item, [W, N]
    vectors: of length 1, or 0 where nothing is known, [N, F]
    """

    postings: sparse.csr_matrix
    vectors: FloatArray

    def __len__(self) -> int:
        return len(self.vectors)

    def scores(self, asked: FloatArray, taste: FloatArray) -> FloatArray:
        """BM25 for each weighting of words [Q, W], and below them the cosine with the taste [F], [Q + 1, N]."""
        used = np.flatnonzero(asked[:, : self.postings.shape[0]].any(axis=0))
        found = asked[:, used] @ self.postings[used]
        return np.concatenate([found, (self.vectors @ taste)[None]])


@dataclass(frozen=True)
class SearchIndex:
    """A catalogue of I items, the fitted ones first.

    idf: rarity of each word, [W]; mean_length: words of an item
    related: how much each fitted word speaks for each other, [W, W]
    tastes: mean vector of the items that carry a fitted word, shrunk towards 0 where they are few, [W, F]
    posted: items that came later, at these columns [P]; they hide what `fitted` has there
    """

    lexicon: Vocabulary
    idf: FloatArray
    mean_length: float
    related: sparse.csr_matrix
    tastes: FloatArray
    fitted: Segment
    posted: Segment
    columns: IntArray

    @classmethod
    def fit(cls, items: pd.DataFrame, vectors: FloatArray | None = None) -> Self:
        """Learn the words of ITEMS, row i for column i, and their company; vectors [I, F] tell who buys what."""
        written = [tokenize(text) for text in item_texts(items)]
        vectors = normalize_rows(np.zeros((len(items), 0), np.float32) if vectors is None else vectors)
        lexicon = Vocabulary.of(written)
        count = lexicon.count(written)
        carried = (count > 0).astype(np.float32)
        carriers = np.asarray(carried.sum(axis=0)).ravel()
        idf, mean_length = _rarity(carriers, len(items)), float(count.sum()) / len(items)
        weights = _bm25(count, idf, mean_length)
        drawn = sparse.diags((1.0 / (carriers + _SHRINKAGE)).astype(np.float32)) @ carried.T
        return cls(
            lexicon=lexicon,
            idf=idf,
            mean_length=mean_length,
            related=_strongest((drawn @ normalize(weights)).tocsr(), _NUM_RELATED),
            tastes=drawn @ vectors,
            fitted=Segment(weights.T.tocsr(), vectors),
            posted=Segment(weights[:0].T.tocsr(), vectors[:0]),
            columns=np.zeros(0, np.int64),
        )

    def __len__(self) -> int:
        return max(len(self.fitted), int(self.columns.max(initial=-1)) + 1)

    def query(self, text: str, k: int) -> tuple[IntArray, FloatArray]:
        """Columns of at most k items, best first, and scores, the best's being 1; none where no word means anything.

        Items with less than a twentieth of the best's score are left out.
        """
        meant = self._meant(text)
        scores = self._scores(meant) if meant.any() else np.zeros(len(self), np.float32)
        best = float(scores.max(initial=0.0))
        if best <= 0.0:
            return np.zeros(0, np.int32), np.zeros(0, np.float32)
        ranked = top_k(np.where(scores >= _FLOOR * best, scores / best, -np.inf)[None], k)
        found = ranked.items[0] >= 0
        return ranked.items[0][found], ranked.scores[0][found]

    def with_items(self, items: pd.DataFrame, columns: IntArray, vectors: FloatArray | None = None) -> Self:
        """The same index with the items of ITEMS at the distinct columns [N], new or instead of what was there.

        Without vectors [N, F] an item has the taste of its words. The cost grows with the items posted so far and
        with the words, not with the catalogue.
        """
        written = [tokenize(text) for text in item_texts(items)]
        grown = self._knowing(written)
        count = grown.lexicon.count(written)
        if vectors is None:
            vectors = (count > 0)[:, : len(self.tastes)] @ self.tastes
        fresh = Segment(_bm25(count, grown.idf, self.mean_length).T.tocsr(), normalize_rows(vectors))
        kept = np.flatnonzero(~np.isin(self.columns, columns))
        return replace(
            grown,
            posted=_joined(self.posted, kept, fresh),
            columns=np.concatenate([self.columns[kept], columns]).astype(np.int64),
        )

    def _knowing(self, written: Sequence[Sequence[str]]) -> Self:
        """The same index with the words of these texts; a new word is as rare as a word can be."""
        lexicon = self.lexicon.extended(written)
        rare = _rarity(np.ones(len(lexicon) - len(self.lexicon)), len(self.fitted))
        return replace(self, lexicon=lexicon, idf=np.concatenate([self.idf, rare]))

    def _meant(self, text: str) -> FloatArray:
        """How much each word is meant, 0 to 1, [W]."""
        meant = np.zeros(len(self.lexicon), np.float32)
        for word in tokenize(text):
            for row, weight in self.lexicon.match(word).items():
                meant[row] = max(meant[row], weight)
        return meant

    def _scores(self, meant: FloatArray) -> FloatArray:
        """The three scores fused, [I]."""
        told = (meant * self.idf)[: len(self.tastes)]
        used = np.flatnonzero(told)
        related = np.zeros_like(meant)
        related[: len(told)] = told[used] @ self.related[used]
        asked, taste = np.stack([meant, related]), normalize_rows((told[used] @ self.tastes[used])[None])[0]
        found = np.zeros((3, len(self)), np.float32)
        found[:, : len(self.fitted)] = self.fitted.scores(asked, taste)
        found[:, self.columns] = self.posted.scores(asked, taste)
        told_by_words, told_by_company = found[:2] / np.maximum(found[:2].max(axis=1, keepdims=True), 1e-9)
        rest = _RELATED * told_by_company + _BEHAVIOUR * found[2]
        scores: FloatArray = told_by_words + (1.0 - told_by_words) * rest
        return scores


def _rarity(carriers: FloatArray, num_items: int) -> FloatArray:
    """Inverse document frequency of words that so many of the items carry, above 0."""
    return np.log1p((num_items - carriers + 0.5) / (carriers + 0.5)).astype(np.float32)


def _bm25(count: sparse.csr_matrix, idf: FloatArray, mean_length: float) -> sparse.csr_matrix:
    """BM25 of each word for each item, from how often it is there, [N, W] both."""
    length = np.asarray(count.sum(axis=1)).ravel() / max(mean_length, 1e-9)
    longer = np.repeat(1.0 - _LENGTH + _LENGTH * length, np.diff(count.indptr))
    weights = count.copy()
    saturated = count.data * (_SATURATION + 1.0) / (count.data + _SATURATION * longer)
    weights.data = (idf[count.indices] * saturated).astype(np.float32)
    return weights


def _strongest(matrix: sparse.csr_matrix, k: int) -> sparse.csr_matrix:
    """Only the k largest entries of each row, and those that equal the last of them."""
    for row in range(matrix.shape[0]):
        entries = matrix.data[matrix.indptr[row] : matrix.indptr[row + 1]]
        if len(entries) > k:
            entries[entries < np.partition(entries, -k)[-k]] = 0.0
    matrix.eliminate_zeros()
    return matrix


def _joined(segment: Segment, kept: IntArray, fresh: Segment) -> Segment:
    """The kept rows of a segment, and after them a fresh one that knows more words."""
    postings = segment.postings[:, kept]
    postings.resize(fresh.postings.shape[0], len(kept))
    vectors = np.concatenate([segment.vectors[kept], fresh.vectors])
    return Segment(sparse.hstack([postings, fresh.postings], format="csr"), vectors)
