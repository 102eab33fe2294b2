"""Artefacts come back as they were, are written whole or not at all, and tell when they are damaged."""

import multiprocessing
import resource
import signal
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse

from tierrec_core.base import artifacts
from tierrec_core.base.errors import ArtifactError
from tierrec_core.settings import TaskSettings


@dataclass(frozen=True)
class Inner:
    weights: np.ndarray
    share: float


@dataclass(frozen=True)
class Thing:
    names: tuple[str, ...]
    ids: pd.Index
    numbers: np.ndarray
    matrix: sparse.csr_matrix
    inner: Inner
    maybe: Inner | None
    task: TaskSettings
    many: tuple[Inner, ...]
    by_name: dict[str, Inner]


ARRAYS = hnp.arrays(
    st.sampled_from([np.float32, np.float64, np.int8, np.int64, bool]),
    hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5),
)


def thing(numbers: np.ndarray, names: tuple[str, ...] = ("a",)) -> Thing:
    inner = Inner(np.arange(3.0), 0.25)
    matrix = sparse.csr_matrix(np.eye(3, 4, dtype=np.float32))
    ids = pd.Index(["1", "ü", "../x"], dtype=object)
    return Thing(names, ids, numbers, matrix, inner, None, TaskSettings(windows=2), (inner,), {"one": inner})


@given(numbers=ARRAYS, names=st.lists(st.text(st.characters(exclude_categories=["Cs"]))).map(tuple))
def test_round_trip(tmp_path_factory, numbers: np.ndarray, names: tuple[str, ...]) -> None:
    folder = tmp_path_factory.mktemp("round") / "thing"
    wanted = thing(numbers, names)
    artifacts.save(wanted, folder)
    found = artifacts.load(Thing, folder)
    np.testing.assert_array_equal(found.numbers, numbers)
    assert found.numbers.dtype == numbers.dtype
    assert (found.names, found.maybe, found.task) == (names, None, wanted.task)
    assert found.ids.equals(wanted.ids)
    assert (found.matrix != wanted.matrix).nnz == 0
    np.testing.assert_array_equal(found.by_name["one"].weights, found.many[0].weights)
    assert found.inner.share == 0.25


def test_same_thing_same_bytes(tmp_path: Path) -> None:
    for name in "ab":
        artifacts.save(thing(np.arange(5)), tmp_path / name)
    for file in ("arrays.safetensors", "meta.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def _save_with_little_room(folder: Path) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
    artifacts.save(thing(np.ones(100_000)), folder)


def test_a_write_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    """The operating system refuses to write more than 10 kB in the child, as a full disk would."""
    folder = tmp_path / "thing"
    artifacts.save(thing(np.arange(5)), folder)
    child = multiprocessing.get_context("fork").Process(target=_save_with_little_room, args=(folder,))
    child.start()
    child.join(60)
    assert child.exitcode == 1
    np.testing.assert_array_equal(artifacts.load(Thing, folder).numbers, np.arange(5))
    assert [path.name for path in tmp_path.iterdir()] == ["thing"]


def test_replacing_file_keeps_the_old_one_when_the_block_fails(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    artifacts.write_json({"a": 1}, path)
    with pytest.raises(ValueError, match="JSON"):
        artifacts.write_json({"a": float("nan")}, path)
    assert path.read_text() == '{\n  "a": 1\n}\n'
    assert [one.name for one in tmp_path.iterdir()] == ["report.json"]


@pytest.mark.parametrize("position", [0, -1])
def test_one_damaged_byte_is_noticed(tmp_path: Path, position: int) -> None:
    folder = tmp_path / "thing"
    artifacts.save(thing(np.arange(5)), folder)
    path = folder / "arrays.safetensors"
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match="does not match its hash"):
        artifacts.load(Thing, folder)


@pytest.mark.parametrize("meta", ["", "{}", "[]", '{"type": "Thing"}', '{"type": "Thing", "sha256": "0"}', "\xff"])
def test_a_damaged_meta_is_an_artifact_error(tmp_path: Path, meta: str) -> None:
    folder = tmp_path / "thing"
    artifacts.save(thing(np.arange(5)), folder)
    (folder / "meta.json").write_text(meta, encoding="latin-1")
    with pytest.raises(ArtifactError, match="run its stage again"):
        artifacts.load(Thing, folder)


def test_missing_and_foreign_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no readable Thing"):
        artifacts.load(Thing, tmp_path / "none")
    artifacts.save(Inner(np.ones(1), 1.0), tmp_path / "inner")
    with pytest.raises(ArtifactError, match="holds a Inner, wanted a Thing"):
        artifacts.load(Thing, tmp_path / "inner")


def test_what_cannot_go_to_disk_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"share is a complex"):
        artifacts.save(Inner(np.ones(1), 1j), tmp_path / "thing")  # type: ignore[arg-type]
    assert not (tmp_path / "thing").exists()
