"""The users that the smoke test samples, and its message when a list differs."""

from pathlib import Path

import pandas as pd
import pytest

from services.deployment.smoke import require_equal, sample_lists
from tierrec_core.base.errors import ArtifactError, GateError


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    rows = [(f"u{user:02d}", f"i{user}-{rank}", rank) for rank in (2, 1, 3) for user in range(10)]
    path = tmp_path / "blend.parquet"
    pd.DataFrame(rows, columns=["user_id", "item_id", "rank"]).to_parquet(path)
    return path


def test_lists_are_in_order_of_rank(lists: Path) -> None:
    assert sample_lists(lists, 1) == {"u00": ["i0-1", "i0-2", "i0-3"]}


def test_users_are_evenly_spaced(lists: Path) -> None:
    assert list(sample_lists(lists, 4)) == ["u00", "u03", "u06", "u09"]
    assert len(sample_lists(lists, 50)) == 10


def test_unreadable_or_empty_lists_are_errors(tmp_path: Path) -> None:
    path = tmp_path / "blend.parquet"
    with pytest.raises(ArtifactError, match="cannot be read"):
        sample_lists(path, 3)
    pd.DataFrame({"user_id": [], "item_id": [], "rank": []}).to_parquet(path)
    with pytest.raises(ArtifactError, match="has no lists"):
        sample_lists(path, 3)


def test_a_difference_is_reported_with_its_rank() -> None:
    expected = {"a": ["x", "y"], "b": ["x", "y"], "c": ["x"]}
    with pytest.raises(GateError, match="next: 2 of 3 served lists") as raised:
        require_equal("next", {"a": ["x", "z"], "b": ["x"], "c": ["x"]}, expected)
    message = str(raised.value)
    assert "user 'a' rank 2: served ['z'], evaluated ['y']" in message
    assert "user 'b' rank 2: served [], evaluated ['y']" in message
    require_equal("next", expected, expected)
