"""Encoded histories of all known users, stored on disk so that a request does not encode them again."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Self

import numpy as np
from scipy import sparse

from tierrec_core.base import artifacts, memmap
from tierrec_core.base.contracts import FloatArray, IntArray
from tierrec_core.base.errors import ArtifactError
from tierrec_core.data.interactions import Interactions
from tierrec_core.protocols.model import EncodedScorer, Recommender

_BATCH = 256
_SPARSE_SHARE = 0.4  # a sparse value takes twice the space of a dense one
_KINDS = "states.json"


@dataclass(frozen=True)
class DenseStates:
    """One model's states, [U, S] float32."""

    values: FloatArray

    def row(self, user: int) -> FloatArray:
        """One user's state, [1, S]."""
        return self.values[user : user + 1]


@dataclass(frozen=True)
class SparseStates:
    """One model's states without their zeros, as in a CSR matrix.

    values, columns: nonzero values of all users and their columns, [N] float32 and int32
    offsets: user u's values are at offsets[u]:offsets[u + 1], [U + 1] int64; size: S, [1]
    """

    values: FloatArray
    columns: IntArray
    offsets: IntArray
    size: IntArray

    def row(self, user: int) -> FloatArray:
        """One user's state, [1, S]."""
        span = slice(self.offsets[user], self.offsets[user + 1])
        state = np.zeros((1, self.size[0]), np.float32)
        state[0, self.columns[span]] = self.values[span]
        return state


@dataclass(frozen=True)
class UserStates:
    """The states of all known users, by the model's name."""

    by_model: Mapping[str, DenseStates | SparseStates]

    @classmethod
    def of(cls, models: Mapping[str, Recommender], history: Interactions) -> Self:
        """Encode every history [U] with each model that is an EncodedScorer."""
        return cls(
            {name: _encode(model, history) for name, model in models.items() if isinstance(model, EncodedScorer)}
        )

    def row(self, user: int) -> dict[str, FloatArray]:
        """One known user's states, by the model's name, [1, S] float32 each."""
        return {name: states.row(user) for name, states in self.by_model.items()}

    def save(self, folder: Path) -> None:
        """Write to the folder in one step. Raises ArtifactError when the disk is full or not writable."""
        with artifacts.replacing_folder(folder) as fresh:
            for name, states in self.by_model.items():
                memmap.save_arrays(states, fresh / name)
            kinds = {name: type(states).__qualname__ for name, states in self.by_model.items()}
            artifacts.write_json(kinds, fresh / _KINDS)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Map what `save` wrote. Raises ArtifactError when it is missing or damaged."""
        kinds: Mapping[str, type[Any]] = {"DenseStates": DenseStates, "SparseStates": SparseStates}
        names = artifacts.read_json(folder / _KINDS)
        try:
            return cls({name: memmap.map_arrays(kinds[kind], folder / name) for name, kind in names.items()})
        except (KeyError, AttributeError) as error:
            raise ArtifactError(
                f"{folder / _KINDS}: found an unknown kind of states ({error}); run the package stage again"
            ) from error


def _encode(model: EncodedScorer, history: Interactions) -> DenseStates | SparseStates:
    """One model's states of all users; sparse if most of the first batch is zero."""
    batches = (model.encode_users(part).astype(np.float32) for part in history.batches(_BATCH))
    first = next(batches)
    if np.count_nonzero(first) >= _SPARSE_SHARE * first.size:
        return DenseStates(np.concatenate([first, *batches]))
    csr = sparse.vstack([sparse.csr_matrix(batch) for batch in chain([first], batches)], "csr")
    size = np.array([csr.shape[1]])
    return SparseStates(csr.data, csr.indices.astype(np.int32), csr.indptr.astype(np.int64), size)
