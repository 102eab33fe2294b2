"""A cursor gives back what went in, and nothing that is not one is taken for one."""

import base64
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.catalogue.page_cursor import decode, encode, hash_ids
from tierrec_core.base.errors import DataError


@given(st.sets(st.text(min_size=1), max_size=200))
def test_what_was_shown_comes_back(items: set[str]) -> None:
    seen = hash_ids(items)
    assert decode(encode(seen)).tolist() == seen.tolist()


def test_hash_is_the_crc_of_the_id() -> None:
    assert hash_ids(["ü", "a"]).tolist() == [zlib.crc32("ü".encode()), zlib.crc32(b"a")]


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_or_read(content: bytes) -> None:
    cursor = base64.urlsafe_b64encode(content).decode()
    if len(content) % 4:
        with pytest.raises(DataError, match="cursor"):
            decode(cursor)
    else:
        assert len(decode(cursor)) == len(content) // 4


@pytest.mark.parametrize("cursor", ["x", "AAAA", "ü", encode(hash_ids(["a", "b"]))[:-3]])
def test_damaged_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(DataError, match="is damaged"):
        decode(cursor)


def test_too_many_pages_have_no_next_one() -> None:
    assert encode(np.arange(5001)) == ""
