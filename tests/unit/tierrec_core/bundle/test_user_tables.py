"""Ids, histories and lists of many users against dicts, sets and the arrays that went in."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierrec_core.base import artifacts, memmap
from tierrec_core.base.errors import ArtifactError, DataError
from tierrec_core.bundle.user_tables import RankedLists, SeenItems, UserIndex

ITEMS = np.array([[4, 2, 9], [7, -1, -1], [-1, -1, -1], [0, 1, 2]], np.int32)
SCORES = np.array([[0.875, 0.5, 0.25], [3.0, -np.inf, -np.inf], [-np.inf] * 3, [0.001, -2.0, -7.125]], np.float32)


def save_lists(folder: Path, items: np.ndarray = ITEMS, scores: np.ndarray = SCORES) -> None:
    memmap.save_arrays(RankedLists(items, scores), folder)


def load_lists(folder: Path) -> RankedLists:
    return memmap.map_arrays(RankedLists, folder)


@pytest.fixture
def lists(tmp_path) -> Path:
    save_lists(tmp_path / "lists")
    return tmp_path / "lists"


def accept_hash(path: Path) -> None:
    """Write the hash of a changed file into meta.json."""
    meta = artifacts.read_json(path.parent / "meta.json")
    meta["sha256"][path.name] = artifacts.sha256(path)
    artifacts.write_json(meta, path.parent / "meta.json")


@given(st.lists(st.text(max_size=12), unique=True, max_size=30), st.lists(st.text(max_size=12), max_size=10))
def test_an_index_answers_as_a_dict_does(ids, asked):
    index, rows = UserIndex.of(ids), {user_id: row for row, user_id in enumerate(ids)}
    assert len(index) == len(ids)
    assert [index.find(user_id) for user_id in [*ids, *asked]] == [rows.get(user_id) for user_id in [*ids, *asked]]


def test_ids_of_one_hash_are_told_apart_by_their_text():
    index = UserIndex.of(["a", "b"])
    hash_of_b = index.hashes[index.row == 1][0]
    collided = dataclasses.replace(index, hashes=np.array([hash_of_b, hash_of_b]), row=np.array([0, 1], np.int32))
    assert collided.find("b") == 1
    assert collided.find("a") is None  # its own hash is no longer there


def test_an_id_that_comes_twice_is_named():
    with pytest.raises(DataError, match="'b' appears 2 times"):
        UserIndex.of(["a", "b", "c", "b"])


def test_an_index_survives_disk(tmp_path):
    memmap.save_arrays(UserIndex.of(f"user {number}" for number in range(1000)), tmp_path / "users")
    again = memmap.map_arrays(UserIndex, tmp_path / "users")
    assert again.find("user 617") == 617
    assert again.find("user 1000") is None


def test_seen_items_are_those_of_the_history(interactions, tmp_path):
    memmap.save_arrays(SeenItems.of(interactions), tmp_path / "seen_items")
    seen = memmap.map_arrays(SeenItems, tmp_path / "seen_items")
    for user in range(0, interactions.num_users, 7):
        assert seen.row(user).tolist() == sorted(set(interactions.item[interactions.user == user]))


def test_a_row_of_lists_has_no_padding(lists):
    rows = [load_lists(lists).row(user) for user in range(4)]
    assert [columns.tolist() for columns, _ in rows] == [[4, 2, 9], [7], [], [0, 1, 2]]
    assert [scores.tolist() for _, scores in rows] == [[0.875, 0.5, 0.25], [3.0], [], SCORES[3].tolist()]


def test_what_is_mapped_cannot_be_written(lists):
    with pytest.raises(ValueError, match="read-only"):
        load_lists(lists).items[0, 0] = 1


def test_the_same_arrays_give_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        save_lists(tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == ["items.npy", "meta.json", "scores.npy"]
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in files)


def test_a_flipped_byte_is_found(lists):
    path = lists / "items.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"items\.npy: does not match its hash"):
        load_lists(lists)


def test_what_is_missing_cut_or_of_another_type_is_named(lists):
    with pytest.raises(ArtifactError, match=r"meta\.json"):
        load_lists(lists.with_name("nothing"))
    with pytest.raises(ArtifactError, match="holds a RankedLists, wanted a UserIndex"):
        memmap.map_arrays(UserIndex, lists)
    path = lists / "scores.npy"
    path.write_bytes(b"\x93NUMPY")
    accept_hash(path)
    with pytest.raises(ArtifactError, match=r"scores\.npy: cannot be mapped"):
        load_lists(lists)


def test_objects_are_never_unpickled(lists):
    path = lists / "items.npy"
    np.save(path, np.array([{}], object), allow_pickle=True)
    accept_hash(path)
    with pytest.raises(ArtifactError, match="cannot be mapped"):
        load_lists(lists)


def test_objects_are_refused_and_the_old_lists_stay(lists):
    with pytest.raises(ValueError, match="allow_pickle"):
        save_lists(lists, np.array([{}], object))
    np.testing.assert_array_equal(load_lists(lists).items, ITEMS)
    assert [path.name for path in lists.parent.iterdir()] == ["lists"]


def test_tables_of_nobody_survive_disk(tmp_path):
    memmap.save_arrays(UserIndex.of([]), tmp_path / "users")
    assert memmap.map_arrays(UserIndex, tmp_path / "users").find("a") is None
    save_lists(tmp_path / "lists", ITEMS[:0], SCORES[:0])
    assert load_lists(tmp_path / "lists").items.shape == (0, 3)


def test_a_dataclass_of_arrays_of_any_rank_survives_disk(tmp_path):
    @dataclasses.dataclass(frozen=True)
    class Two:
        flat: np.ndarray
        deep: np.ndarray

    two = Two(np.arange(5.0), np.arange(24).reshape(2, 3, 4))
    memmap.save_arrays(two, tmp_path / "two")
    again = memmap.map_arrays(Two, tmp_path / "two")
    np.testing.assert_array_equal(again.flat, two.flat)
    np.testing.assert_array_equal(again.deep, two.deep)
