"""Ids, histories and lists of many users against dicts, sets and the arrays that went in."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierrec_core.base import memmap
from tierrec_core.base.artifacts import sha256
from tierrec_core.base.errors import ArtifactError, DataError
from tierrec_core.bundle.user_tables import RankedLists, SeenItems, UserIndex

ITEMS = np.array([[4, 2, 9], [7, -1, -1], [-1, -1, -1], [0, 1, 2]], np.int32)
SCORES = np.array([[0.875, 0.5, 0.25], [3.0, -np.inf, -np.inf], [-np.inf] * 3, [0.001, -2.0, -7.125]], np.float32)


@given(st.lists(st.text(max_size=12), unique=True, max_size=30), st.lists(st.text(max_size=12), max_size=10))
def test_an_index_answers_as_a_dict_does(ids, asked):
    index, rows = UserIndex.of(ids), {one: row for row, one in enumerate(ids)}
    assert len(index) == len(ids)
    assert index.ids(0, len(ids)) == ids
    assert [index.find(one) for one in [*ids, *asked]] == [rows.get(one) for one in [*ids, *asked]]


def test_ids_of_one_hash_are_told_apart_by_their_text():
    index = UserIndex.of(["a", "b"])
    hash_of_b = index.hashes[index.row == 1][0]
    collided = dataclasses.replace(index, hashes=np.array([hash_of_b, hash_of_b]), row=np.array([0, 1], np.int32))
    assert collided.find("b") == 1
    assert collided.find("a") is None  # its own hash is no longer there


def test_an_id_that_comes_twice_is_named():
    with pytest.raises(DataError, match="'b' comes 2 times"):
        UserIndex.of(["a", "b", "c", "b"])


def test_an_index_survives_disk(tmp_path):
    index = UserIndex.of(f"user {number}" for number in range(1000))
    index.save(tmp_path / "users")
    again = UserIndex.load(tmp_path / "users")
    assert again.find("user 617") == 617
    assert again.find("user 1000") is None
    assert again.ids(3, 5) == ["user 3", "user 4"]


def test_packed_histories_are_the_items_met(interactions, tmp_path):
    SeenItems.of(interactions).save(tmp_path / "met")
    packed = SeenItems.load(tmp_path / "met")
    assert len(packed) == interactions.num_users
    for user in range(0, interactions.num_users, 7):
        assert packed.row(user).tolist() == sorted(set(interactions.item[interactions.user == user]))
    part = packed.matrix(10, 25, interactions.num_items)
    np.testing.assert_array_equal(part.toarray(), interactions.binary_matrix().toarray()[10:25])


@pytest.mark.parametrize("cuts", [[], [1], [2, 2, 3]])
def test_a_shelf_is_its_blocks_in_a_row(tmp_path, cuts):
    blocks = zip(np.split(ITEMS, cuts), np.split(SCORES, cuts), strict=True)
    RankedLists.write(tmp_path / "shelf", blocks)
    shelf = RankedLists.load(tmp_path / "shelf")
    assert len(shelf) == 4
    np.testing.assert_array_equal(shelf.items, ITEMS)
    np.testing.assert_array_equal(shelf.scores, SCORES)


def test_a_row_of_a_shelf_has_no_padding(tmp_path):
    RankedLists.write(tmp_path / "shelf", [(ITEMS, SCORES)])
    rows = [RankedLists.load(tmp_path / "shelf").row(user) for user in range(4)]
    assert [columns.tolist() for columns, _ in rows] == [[4, 2, 9], [7], [], [0, 1, 2]]
    assert [scores.tolist() for _, scores in rows[:3]] == [[0.875, 0.5, 0.25], [3.0], []] or rows[0][1].dtype == (
        np.float32
    )


def test_half_precision_keeps_three_digits(tmp_path):
    RankedLists.write(tmp_path / "shelf", [(ITEMS, SCORES)], half=True)
    shelf = RankedLists.load(tmp_path / "shelf")
    assert shelf.scores.itemsize == 2
    columns, scores = shelf.row(3)
    assert scores.dtype == np.float32
    np.testing.assert_array_equal(columns, ITEMS[3])
    np.testing.assert_allclose(scores, SCORES[3], rtol=1e-3)


def test_what_is_mapped_cannot_be_written(tmp_path):
    RankedLists.write(tmp_path / "shelf", [(ITEMS, SCORES)])
    with pytest.raises(ValueError, match="read-only"):
        RankedLists.load(tmp_path / "shelf").items[0, 0] = 1


def test_the_same_blocks_give_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        RankedLists.write(tmp_path / name, [(ITEMS[:1], SCORES[:1]), (ITEMS[1:], SCORES[1:])])
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == ["items.npy", "meta.json", "scores.npy"]
    assert all(sha256(tmp_path / "one" / name) == sha256(tmp_path / "two" / name) for name in files)


def test_a_flipped_byte_is_found_unless_nobody_looks(tmp_path):
    RankedLists.write(tmp_path / "shelf", [(ITEMS, SCORES)])
    path = tmp_path / "shelf" / "items.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"items\.npy: does not match its hash"):
        RankedLists.load(tmp_path / "shelf")
    assert len(RankedLists.load(tmp_path / "shelf", verify=False)) == 4


def test_what_is_missing_cut_or_of_another_type_is_named(tmp_path):
    with pytest.raises(ArtifactError, match=r"meta\.json"):
        RankedLists.load(tmp_path / "nothing")
    RankedLists.write(tmp_path / "shelf", [(ITEMS, SCORES)])
    with pytest.raises(ArtifactError, match="holds a RankedLists, wanted a UserIndex"):
        UserIndex.load(tmp_path / "shelf")
    (tmp_path / "shelf" / "scores.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(ArtifactError, match=r"scores\.npy: cannot be mapped"):
        RankedLists.load(tmp_path / "shelf", verify=False)


def test_objects_are_never_unpickled(tmp_path):
    RankedLists.write(tmp_path / "shelf", [(ITEMS, SCORES)])
    np.save(tmp_path / "shelf" / "items.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(ArtifactError, match="cannot be mapped"):
        RankedLists.load(tmp_path / "shelf", verify=False)


def test_blocks_that_disagree_are_refused_and_the_old_shelf_stays(tmp_path):
    RankedLists.write(tmp_path / "shelf", [(ITEMS, SCORES)])
    with pytest.raises(ArtifactError, match="blocks of one shape"):
        RankedLists.write(tmp_path / "shelf", [(ITEMS, SCORES), (ITEMS[:, :2], SCORES[:, :2])])
    with pytest.raises(ArtifactError, match="no block was given"):
        RankedLists.write(tmp_path / "shelf", [])
    assert len(RankedLists.load(tmp_path / "shelf")) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["shelf"]


def test_tables_of_nobody_survive_disk(tmp_path):
    UserIndex.of([]).save(tmp_path / "users")
    assert UserIndex.load(tmp_path / "users").find("a") is None
    RankedLists.write(tmp_path / "shelf", [(ITEMS[:0], SCORES[:0])])
    assert len(RankedLists.load(tmp_path / "shelf")) == 0


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
