"""Vectors as directions: of length 1, and the nearest by cosine."""

import numpy as np

from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.linalg.top_k import top_k

_BLOCK = 256


def unit(vectors: FloatArray) -> FloatArray:
    """The rows in length 1, [N, F] float32; a row of zeros stays."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: FloatArray = (vectors / np.maximum(length, 1e-9)).astype(np.float32)
    return scaled


def nearest(vectors: FloatArray, corpus: FloatArray, k: int) -> tuple[IntArray, FloatArray]:
    """Rows of the corpus [I, F] most like each vector [N, F], best first, and their cosines, [N, k] both.

    The rows are -1, and the cosines 0, where the corpus has fewer.
    """
    directions = unit(corpus)
    found, cosine = np.full((len(vectors), k), -1, np.int32), np.zeros((len(vectors), k), np.float32)
    for start in range(0, len(vectors), _BLOCK):
        block = slice(start, start + _BLOCK)
        ranked = top_k(unit(vectors[block]) @ directions.T, k)
        found[block] = ranked.items
        cosine[block] = np.where(ranked.items >= 0, ranked.scores, 0.0)
    return found, cosine
