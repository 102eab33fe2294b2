"""Globs and folders that `init` is given stay patterns, and each file's use is said."""

import shutil

import pandas as pd
import pytest

from tests.integration.tierrec_core.sources.test_several_files import NUM_ROWS, read, written
from tierrec_core.base.errors import DataError, UnreadableFileError
from tierrec_core.sources.files import read_files
from tierrec_core.sources.schema_inference import propose_settings

NAMES = ["user_id", "item_id", "timestamp"]


@pytest.fixture
def folder(tmp_path):
    """Two years of a log, its items and users, and notes, in one folder."""
    logs = tmp_path / "my logs ü"
    logs.mkdir()
    for year in (2023, 2024):
        written(logs, f"log-{year}.csv", year, NAMES)
    pd.DataFrame({"item_id": range(40), "title": "t", "category": "c"}).to_csv(logs / "items.csv", index=False)
    pd.DataFrame({"user_id": range(200), "age": 3}).to_parquet(logs / "users.parquet")
    (logs / "README.md").write_text("what this is")
    (logs / ".log-2025.csv.part").write_text("half")
    (logs / "~$log-2025.csv").write_bytes(b"\x05anna")
    return logs


@pytest.mark.parametrize("glob", [False, True])
def test_new_files_of_a_pattern_are_read(folder, glob):
    given = [folder / "*.csv", folder / "users.parquet"] if glob else [folder]
    proposal, source, frames = read(folder, given)
    assert source.paths == (str(folder / "*.csv"),)
    assert (source.items_path, source.users_path) == (str(folder / "items.csv"), str(folder / "users.parquet"))
    assert source.feedback
    assert len(frames.events) == 2 * NUM_ROWS
    uses = {guess.place: guess.evidence.partition(", ")[2] for guess in proposal.guesses if "file " in guess.place}
    assert uses["file log-2023.csv"] == uses["file log-2024.csv"] == "used as log"
    assert (uses["file items.csv"], uses["file users.parquet"]) == ("used as items", "used as users")
    assert [line for line in proposal.warnings if "README.md" in line] == list(proposal.warnings)
    assert len(proposal.warnings) == (0 if glob else 1)
    written(folder, "log-2025.csv", 2025, NAMES)
    assert len(read_files(source, folder).events) == 3 * NUM_ROWS


def test_a_log_that_describes_its_items_stays_a_pattern(tmp_path):
    rows = pd.read_csv(written(tmp_path, "a.csv", 2024, NAMES))
    rows["category"] = "group " + (rows["item_id"] % 3).astype(str)
    for name in ("a", "b"):
        rows.assign(item_id=rows["item_id"].map(f"{name}{{}}".format)).to_csv(tmp_path / f"{name}.csv", index=False)
    _, source, frames = read(tmp_path, [tmp_path / "*.csv"])
    assert source.paths == (source.items_path,) == (str(tmp_path / "*.csv"),)
    assert set(frames.items["category"]) == {"group 0", "group 1", "group 2"}
    assert len(frames.items) == 2 * rows["item_id"].nunique()


def test_a_file_that_is_not_used_is_named(folder):
    shutil.copy(folder / "log-2023.csv", folder.parent / "log.csv")
    links = folder.parent / "links.csv"
    pd.DataFrame({"page": ["a", "b"], "clicks": [900, 901]}).to_csv(links, index=False)
    unused = propose_settings([folder.parent / "log.csv", links], {}).warnings
    assert [line.partition(": ")[0] for line in unused] == [str(links)]
    with pytest.raises(DataError, match=r"links\.csv: is matched by '.*\*\.csv'.*\n.*narrower pattern"):
        propose_settings([folder.parent / "*.csv"], {})


def test_a_folder_without_a_table_is_refused(tmp_path):
    (tmp_path / "notes.md").write_text("x")
    with pytest.raises(UnreadableFileError, match="has no file of CSV, JSON lines or Parquet"):
        propose_settings([tmp_path], {})


def test_an_archive_in_a_folder_is_named(tmp_path):
    (tmp_path / "log.csv.zip").write_bytes(b"PK")
    (tmp_path / "README.md").write_text("x")
    with pytest.raises(UnreadableFileError, match=r"by their names, but README\.md, log\.csv\.zip; unpack the archive"):
        propose_settings([tmp_path], {})


def test_a_pattern_without_a_file_is_refused(tmp_path):
    with pytest.raises(UnreadableFileError, match=r"logs/\*\.csv: no file matches"):
        propose_settings([tmp_path / "logs/*.csv"], {})
