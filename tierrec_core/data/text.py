"""Item texts, tokens and vocabulary, and fuzzy matching of query words: misspellings, parts, inflections, compounds.

Misspellings have an optimal string alignment distance (rapidfuzz) within Lucene's AUTO fuzziness.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Self

import numpy as np
import pandas as pd
from rapidfuzz import process
from rapidfuzz.distance import OSA
from scipy import sparse
from sklearn.feature_extraction.text import strip_accents_unicode

from tierrec_core.base.contracts import IntArray

_WORD = re.compile(r"[^\W_]+")
_LETTER = re.compile(r"[^\W\d_]")
_MIN_LETTERS = 2
_PART_LETTERS = 4  # shorter parts match prefixes only
_COMPOUND_LETTERS = 3
_ENDING_LETTERS = 2
_INFLECTION_WEIGHT = 0.1
_MAX_MATCHES = 20
_SHARPNESS = 4  # exponent of the weights of approximate matches
_SEPARATOR = "\n"


def tokenize(text: str) -> list[str]:
    """Words and numbers of a text, in order."""
    return _WORD.findall(strip_accents_unicode(text.casefold()))


def text_columns(items: pd.DataFrame) -> list[str]:
    """Names of the ITEMS columns that may hold text, other than id and title."""
    kinds = pd.api.types.is_numeric_dtype, pd.api.types.is_datetime64_any_dtype
    return [
        name
        for name in map(str, items)
        if name not in ("item_id", "title") and not any(kind(items[name]) for kind in kinds)
    ]


def item_texts(items: pd.DataFrame) -> list[str]:
    """Title and attributes of each item of ITEMS, joined, [N].

    The id replaces a missing title. Attributes without a letter are codes and left out.
    """
    columns = [items["title"].fillna(items["item_id"]).astype(str)]
    columns += [items[name].astype(object).map(_text_or_empty) for name in text_columns(items)]
    return [" ".join(parts) for parts in zip(*columns, strict=True)]


def _text_or_empty(value: object) -> str:
    return value if isinstance(value, str) and _LETTER.search(value) else ""


@dataclass(frozen=True)
class Vocabulary:
    """W distinct tokens of `tokenize`."""

    words: pd.Index

    def __len__(self) -> int:
        return len(self.words)

    @classmethod
    def of(cls, texts: Iterable[Sequence[str]]) -> Self:
        """Vocabulary of tokenised texts, in alphabetical order."""
        return cls(pd.Index(sorted(set(chain.from_iterable(texts))), dtype=object))

    def extended(self, texts: Iterable[Sequence[str]]) -> Self:
        """The same rows, followed by the new words of these texts."""
        fresh = sorted(set(chain.from_iterable(texts)) - self.row.keys())
        return type(self)(self.words.append(pd.Index(fresh, dtype=object))) if fresh else self

    def count(self, texts: Sequence[Sequence[str]]) -> sparse.csr_matrix:
        """Count of each word in each text, [N, W] float32; unknown words are ignored."""
        owner = np.repeat(np.arange(len(texts)), np.fromiter(map(len, texts), np.int64))
        word = np.fromiter((self.row.get(word, -1) for word in chain.from_iterable(texts)), np.int64)
        owner, word = owner[word >= 0], word[word >= 0]
        shape = (len(texts), len(self))
        return sparse.coo_matrix((np.ones(len(word), np.float32), (owner, word)), shape=shape).tocsr()

    def match(self, word: str) -> dict[int, float]:
        """Rows of the words that a query word may match, with weights; the best has weight 1.

        A known word matches itself and, with low weight, its inflections; an unknown one matches words that it may
        misspell or be a part of, or else the two words of a compound.
        """
        known = self.row.get(word)
        if known is None:
            return _relative(self._misspellings(word) | self._containing(word)) or self._compound_parts(word)
        return dict.fromkeys(self._inflections(word), _INFLECTION_WEIGHT) | {known: 1.0}

    @cached_property
    def row(self) -> dict[str, int]:
        """Row of each word."""
        return {word: row for row, word in enumerate(self.words)}

    def _misspellings(self, word: str) -> dict[int, float]:
        """Words within a few edits, weighted by the share of correct letters."""
        edits = 0 if len(word) < 3 or not word.isalpha() else 1 if len(word) < 6 else 2
        if not edits:
            return {}
        # a number with another digit is not a misspelling
        matches = process.extract(word, self._list, scorer=OSA.distance, score_cutoff=edits, limit=None)
        return {row: 1.0 - distance / max(len(text), len(word)) for text, distance, row in matches if text.isalpha()}

    def _containing(self, word: str) -> dict[int, float]:
        """Words that start with or, if it is long enough, contain the word, weighted by its share of their length."""
        if len(word) < _MIN_LETTERS:
            return {}
        rows = self._rows(word if len(word) >= _PART_LETTERS else _SEPARATOR + word)
        share = len(word) / self._length[rows]
        return dict(zip(rows.tolist(), share.tolist(), strict=True))

    def _inflections(self, word: str) -> list[int]:
        """Words that differ in the last few letters."""
        if len(word) < _PART_LETTERS or not word.isalpha():
            return []
        longer = self._rows(_SEPARATOR + word)
        longer = longer[self._length[longer] - len(word) <= _ENDING_LETTERS]
        stems = (self.row.get(word[:-cut]) for cut in range(1, _ENDING_LETTERS + 1))
        return [*map(int, longer), *(stem for stem in stems if stem is not None)]

    def _compound_parts(self, word: str) -> dict[int, float]:
        """The two known words whose concatenation is the word."""
        for cut in range(_COMPOUND_LETTERS, len(word) - _COMPOUND_LETTERS + 1):
            halves = self.row.get(word[:cut]), self.row.get(word[cut:])
            if None not in halves:
                return {row: 1.0 for row in halves if row is not None}
        return {}

    def _rows(self, part: str) -> IntArray:
        """Rows of the words that contain the part."""
        positions = [match.start() for match in re.finditer(re.escape(part), self._text)]
        return np.unique(np.searchsorted(self._start, positions, side="right") - 1)

    @cached_property
    def _list(self) -> list[str]:
        """The words, copied into contiguous memory, which makes iteration several times faster."""
        return self._text[1:].split(_SEPARATOR) if len(self) else []

    @cached_property
    def _length(self) -> IntArray:
        return np.fromiter(map(len, self._list), np.int64, len(self))

    @cached_property
    def _text(self) -> str:
        return _SEPARATOR + _SEPARATOR.join(self.words)

    @cached_property
    def _start(self) -> IntArray:
        """Position of the separator before each word in the text, [W]."""
        return np.concatenate([[0], np.cumsum(self._length[:-1] + 1)])


def _relative(weights: dict[int, float]) -> dict[int, float]:
    """The matches of highest weight, with weights relative to the highest."""
    best = sorted(weights.items(), key=lambda match: (-match[1], match[0]))[:_MAX_MATCHES]
    return {row: (weight / best[0][1]) ** _SHARPNESS for row, weight in best}
