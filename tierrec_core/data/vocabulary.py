"""The words of a catalogue, and which of them a typed word means: itself, a misspelling, a part, an inflection.

Misspellings are told by the optimal string alignment distance (rapidfuzz), as many as Lucene's AUTO fuzziness allows.
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

from tierrec_core.base.contracts import BoolArray, IntArray

_LEAST_LETTERS = 2
_PART_LETTERS = 4  # shorter parts are sought at the beginning of words only
_COMPOUND_LETTERS = 3
_ENDING_LETTERS = 2
_INFLECTED = 0.1
_MOST = 20
_SHARPNESS = 4  # how much the best meaning of an unknown word is preferred to the next
_GAP = "\n"


@dataclass(frozen=True)
class Vocabulary:
    """W distinct words.

    words: as tierrec_core.data.text.words gives them, [W]
    """

    words: pd.Index

    def __len__(self) -> int:
        return len(self.words)

    @classmethod
    def of(cls, texts: Iterable[Sequence[str]]) -> Self:
        """The words of these texts in alphabetical order."""
        return cls(pd.Index(sorted(set(chain.from_iterable(texts))), dtype=object))

    def extended(self, texts: Iterable[Sequence[str]]) -> Self:
        """The same rows, and after them the words that are new."""
        fresh = sorted(set(chain.from_iterable(texts)) - self.row.keys())
        return type(self)(self.words.append(pd.Index(fresh, dtype=object))) if fresh else self

    def count(self, texts: Sequence[Sequence[str]]) -> sparse.csr_matrix:
        """How often each text has each word, [N, W] float32; unknown words are left out."""
        owner = np.repeat(np.arange(len(texts)), np.fromiter(map(len, texts), np.int64))
        word = np.fromiter((self.row.get(word, -1) for word in chain.from_iterable(texts)), np.int64)
        owner, word = owner[word >= 0], word[word >= 0]
        shape = (len(texts), len(self))
        return sparse.coo_matrix((np.ones(len(word), np.float32), (owner, word)), shape=shape).tocsr()

    def meanings(self, word: str) -> dict[int, float]:
        """Rows of what a typed word may mean, each with its weight: 1 for the best, less for others.

        A known word means itself and, faintly, its inflections; an unknown word what it may misspell or be a part of.
        """
        known = self.row.get(word)
        if known is None:
            return _relative(self._misspelt(word) | self._containing(word)) or self._compounded(word)
        return dict.fromkeys(self._inflected(word), _INFLECTED) | {known: 1.0}

    @cached_property
    def row(self) -> dict[str, int]:
        """The row of each word."""
        return {word: row for row, word in enumerate(self.words)}

    def _misspelt(self, word: str) -> dict[int, float]:
        """Words a few edits away, by the share of letters that are right."""
        edits = 0 if len(word) < 3 or not word.isalpha() else 1 if len(word) < 6 else 2
        if not edits:
            return {}
        distance = process.cdist([word], self._list, scorer=OSA.distance, score_cutoff=edits, dtype=np.uint8)[
            0
        ]
        near = np.flatnonzero((distance <= edits) & self._plain)
        right = 1.0 - distance[near] / np.maximum(self._length[near], len(word))
        return dict(zip(near.tolist(), right.tolist(), strict=True))

    def _containing(self, word: str) -> dict[int, float]:
        """Words that begin with the word or, if it is long enough, have it inside, by the share that it is of them."""
        if len(word) < _LEAST_LETTERS:
            return {}
        rows = self._rows(word if len(word) >= _PART_LETTERS else _GAP + word)
        share = len(word) / self._length[rows]
        return dict(zip(rows.tolist(), share.tolist(), strict=True))

    def _inflected(self, word: str) -> list[int]:
        """Words that differ by a few letters at the end."""
        if len(word) < _PART_LETTERS or not word.isalpha():
            return []
        longer = self._rows(_GAP + word)
        longer = longer[self._length[longer] - len(word) <= _ENDING_LETTERS]
        stems = (self.row.get(word[:-cut]) for cut in range(1, _ENDING_LETTERS + 1))
        return [*map(int, longer), *(stem for stem in stems if stem is not None)]

    def _compounded(self, word: str) -> dict[int, float]:
        """The two words that are written as one."""
        for cut in range(_COMPOUND_LETTERS, len(word) - _COMPOUND_LETTERS + 1):
            halves = self.row.get(word[:cut]), self.row.get(word[cut:])
            if None not in halves:
                return {row: 1.0 for row in halves if row is not None}
        return {}

    def _rows(self, part: str) -> IntArray:
        """Rows of the words in which the part occurs."""
        places = [found.start() for found in re.finditer(re.escape(part), self._text)]
        return np.unique(np.searchsorted(self._start, places, side="right") - 1)

    @cached_property
    def _list(self) -> list[str]:
        """The words, copied so that they lie side by side: going through them is then several times faster."""
        return self._text[1:].split(_GAP) if len(self) else []

    @cached_property
    def _length(self) -> IntArray:
        return np.fromiter(map(len, self._list), np.int64, len(self))

    @cached_property
    def _plain(self) -> BoolArray:
        """Where a word has letters only, [W]; a number with another digit is another number."""
        return np.fromiter((word.isalpha() for word in self._list), bool, len(self))

    @cached_property
    def _text(self) -> str:
        return _GAP + _GAP.join(self.words)

    @cached_property
    def _start(self) -> IntArray:
        """Where the gap before each word is in the text, [W]."""
        return np.concatenate([[0], np.cumsum(self._length[:-1] + 1)])


def _relative(weights: dict[int, float]) -> dict[int, float]:
    """The heaviest few, with weights relative to the heaviest."""
    kept = sorted(weights.items(), key=lambda one: (-one[1], one[0]))[:_MOST]
    return {row: (weight / kept[0][1]) ** _SHARPNESS for row, weight in kept}
