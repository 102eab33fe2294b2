"""The age of the data is read from the file's statistics; a damaged file has none."""

from pathlib import Path

import pandas as pd
import pytest

from flows.project.status import _newest_time


def test_the_newest_time_of_several_row_groups(tmp_path: Path) -> None:
    times = pd.date_range("2024-01-05", periods=100, freq="7h", tz="UTC")
    frame = pd.DataFrame({"user_id": "u", "timestamp": times[::-1]})
    frame.to_parquet(tmp_path / "events.parquet", row_group_size=9)
    assert _newest_time(tmp_path / "events.parquet") == times[-1]


@pytest.mark.parametrize("content", [None, b"", b"PAR1 and no more"])
def test_a_file_that_is_not_whole_has_none(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "events.parquet").write_bytes(content)
    assert _newest_time(tmp_path / "events.parquet") is None
