"""Which users the smoke test asks for, and what it says when a list differs."""

from pathlib import Path

import pandas as pd
import pytest

from services.deployment.smoke import explain, read_lists
from tierrec_core.base.errors import ArtifactError


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    rows = [(f"u{user:02d}", f"i{user}-{rank}", rank) for rank in (2, 1, 3) for user in range(10)]
    path = tmp_path / "blend.parquet"
    pd.DataFrame(rows, columns=["user_id", "item_id", "rank"]).to_parquet(path)
    return path


def test_lists_are_in_order_of_rank(lists: Path) -> None:
    assert read_lists(lists, 1) == {"u00": ["i0-1", "i0-2", "i0-3"]}


def test_users_are_spread_over_all(lists: Path) -> None:
    assert list(read_lists(lists, 4)) == ["u00", "u03", "u06", "u09"]
    assert len(read_lists(lists, 50)) == 10


def test_unreadable_or_empty_lists_are_told(tmp_path: Path) -> None:
    path = tmp_path / "blend.parquet"
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_lists(path, 3)
    pd.DataFrame({"user_id": [], "item_id": [], "rank": []}).to_parquet(path)
    with pytest.raises(ArtifactError, match="has no lists"):
        read_lists(path, 3)


def test_difference_is_told_with_its_place() -> None:
    expected = {"a": ["x", "y"], "b": ["x", "y"], "c": ["x"]}
    message = explain("next", ["a", "b"], {"a": ["x", "z"], "b": ["x"], "c": ["x"]}, expected)
    assert "next: 2 of 3 served lists" in message
    assert "user 'a' place 2: served ['z'], judged ['y']" in message
    assert "user 'b' place 2: served [], judged ['y']" in message
