"""Files of any shape become the frames of the contract, or an error that names file, column and remedy."""

import pandas as pd
import pytest

from tierrec_core.errors import DataError, EmptyDataError, MissingColumnError, UnreadableFileError
from tierrec_core.settings import FilesSource
from tierrec_core.sources import files

HEADER = "user_id,item_id,timestamp,kind"


def read(folder, *rows, header=HEADER, **knobs):
    (folder / "log.csv").write_text("\n".join([header, *rows]) + "\n")
    columns = {"event": "kind"} if "kind" in header else {}
    return files.read(FilesSource(paths=("log.csv",), columns=columns, **knobs), folder)


@pytest.mark.parametrize(
    ("given", "kept"),
    [("007", "007"), ("12.0", "12"), ("ü", "ü"), ("../x", "../x"), ("=cmd", "=cmd"), ("x" * 300, "x" * 300)],
)
def test_ids_are_plain_texts(tmp_path, given, kept):
    assert read(tmp_path, f"{given},{given},1700000000,view").events["user_id"].tolist() == [kept]


def test_a_missing_id_goes_on_to_the_gate(tmp_path):
    assert read(tmp_path, ",i,1700000000,view").events["user_id"].isna().tolist() == [True]


@pytest.mark.parametrize("zeros", [0, 3, 6, 9])
def test_numbers_are_read_by_their_size(tmp_path, zeros):
    stamp = read(tmp_path, f"u,i,{1_700_000_000 * 10**zeros},view").events["timestamp"][0]
    assert stamp == pd.Timestamp("2023-11-14 22:13:20", tz="UTC")


@pytest.mark.parametrize("text", ["2024-01-01 12:00:00", "2024-01-01T12:00:00+01:00"])
def test_texts_take_their_offset_or_the_timezone(tmp_path, text):
    stamp = read(tmp_path, f"u,i,{text},view", timezone="Europe/Berlin").events["timestamp"][0]
    assert stamp == pd.Timestamp("2024-01-01 11:00", tz="UTC")


def test_event_names_are_mapped_and_ignored(tmp_path):
    log = read(tmp_path, "u,i,1,buy", "u,j,2,junk", events={"buy": "purchase", "junk": "ignore"})
    assert log.events["event"].tolist() == ["purchase"]
    assert log.items["item_id"].tolist() == ["i"]


@pytest.mark.parametrize(
    ("rows", "header", "error", "words"),
    [
        (["u,i,1,dance"], HEADER, DataError, ["log.csv", "dance", "1 rows", "source.events"]),
        (["u,i,nope,view"], HEADER, DataError, ["log.csv", "timestamp", "nope", "row 1"]),
        (["u,i,2024-01-01,view", "u,i,2024-01-01T00:00:00Z,view"], HEADER, DataError, ["source.timezone"]),
        (["i,1"], "item_id,timestamp", MissingColumnError, ["log.csv", "user_id", "source.columns.user"]),
        (["u;i;1"], "user_id;item_id;timestamp", MissingColumnError, ["source.separator"]),
        ([], HEADER, EmptyDataError, ["log.csv", "no rows", "source.paths"]),
    ],
)
def test_errors_name_file_place_and_remedy(tmp_path, rows, header, error, words):
    with pytest.raises(error) as caught:
        read(tmp_path, *rows, header=header)
    assert all(word in str(caught.value) for word in words)
    assert len(str(caught.value).splitlines()) <= 3


@pytest.mark.parametrize(("content", "error"), [(b"PAR1 broken", UnreadableFileError), (b"", EmptyDataError)])
def test_broken_files(tmp_path, content, error):
    (tmp_path / "log.parquet").write_bytes(content)
    with pytest.raises(error, match=r"log\.parquet"):
        files.read(FilesSource(paths=("*.parquet",)), tmp_path)


def test_a_missing_file(tmp_path):
    with pytest.raises(UnreadableFileError, match=r"source\.paths"):
        files.read(FilesSource(paths=("none.csv",)), tmp_path)


def test_a_catalogue_keeps_its_first_rows_and_further_columns(tmp_path):
    (tmp_path / "items.csv").write_text("item_id,colour,kind\ni,red,a\ni,blue,b\n,green,c\n")
    log = read(tmp_path, "u,i,1,view", items_path="items.csv", item_columns={"category": "kind"})
    assert log.items[["item_id", "category", "colour"]].to_numpy().tolist() == [["i", "a", "red"]]
