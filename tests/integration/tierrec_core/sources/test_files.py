"""Files of any shape become the frames of the contract, or an error that names file, column and remedy."""

from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tierrec_core.base.artifacts import read_frame, write_frame
from tierrec_core.base.contracts import EVENTS
from tierrec_core.base.errors import DataError, EmptyDataError, MissingColumnError, SettingsError, UnreadableFileError
from tierrec_core.settings import FilesSource
from tierrec_core.sources import files

HEADER = "user_id,item_id,timestamp,kind"


def read(folder, *rows, header=HEADER, **knobs):
    (folder / "log.csv").write_text("\n".join([header, *rows]) + "\n")
    columns = {"event": "kind"} if "kind" in header else {}
    return files.read_files(FilesSource(paths=("log.csv",), columns=columns, **knobs), folder)


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


NOON = pd.Timestamp("2024-01-31 12:00", tz="UTC")


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-31 13:00:00",
        "2024-01-31T13:00",
        "2024-01-31T12:00:00Z",
        "2024-01-31 12:00:00.000 UTC",
        "2024-01-31 12:00:00 GMT",
        "2024-01-31T14:00:00+02:00",
        "2024-01-31 14:00:00 +0200",
        "31.01.2024 13:00",
        "31.01.2024 13:00:00",
        "31/01/2024 13:00",
        "01/31/2024 13:00",
        "20240131130000",
    ],
)
def test_texts_take_their_offset_or_the_timezone(tmp_path, text):
    assert read(tmp_path, f"u,i,{text},view", timezone="Europe/Berlin").events["timestamp"][0] == NOON


@pytest.mark.parametrize("text", ["2024-01-31", "20240131", "31.01.2024", "31/01/2024", "01/31/2024"])
def test_days_begin_at_midnight(tmp_path, text):
    assert read(tmp_path, f"u,i,{text},view").events["timestamp"][0] == NOON.normalize()


def test_where_both_fit_the_day_comes_first(tmp_path):
    stamps = read(tmp_path, "u,i,03/04/2024,view", "u,i,04/05/2024,view").events["timestamp"]
    assert stamps.dt.strftime("%d %B").tolist() == ["03 April", "04 May"]


def test_one_late_day_shows_that_months_come_first(tmp_path):
    stamps = read(tmp_path, *["u,i,03/04/2024,view"] * 30, "u,i,03/31/2024,view").events["timestamp"]
    assert stamps.dt.strftime("%d %B").unique().tolist() == ["04 March", "31 March"]


def test_the_files_of_other_days_show_it_too(tmp_path):
    for name, day in (("a", "03/04/2024"), ("b", "03/31/2024")):
        (tmp_path / f"{name}.csv").write_text(f"user_id,item_id,timestamp\nu,i,{day}\n")
    stamps = files.read_files(FilesSource(paths=("*.csv",)), tmp_path).events["timestamp"]
    assert stamps.dt.strftime("%d %B").tolist() == ["04 March", "31 March"]


def test_a_clock_change_keeps_the_log_whole(tmp_path):
    rows = ["u,i,2024-03-31 02:30:00,view", "u,i,2024-10-27 02:30:00,view"]
    stamps = read(tmp_path, *rows, timezone="Europe/Berlin").events["timestamp"]
    assert stamps.dt.strftime("%H:%M").tolist() == ["01:30", "01:30"]


def test_a_given_unit_beats_the_guess(tmp_path):
    stamp = read(tmp_path, "u,i,20240131,view", timestamp_unit="s").events["timestamp"][0]
    assert stamp == pd.Timestamp(20240131, unit="s", tz="UTC")


def test_an_unknown_timezone(tmp_path):
    with pytest.raises(SettingsError, match=r"source\.timezone.*Mars"):
        read(tmp_path, "u,i,2024-01-31,view", timezone="Mars")


def test_event_names_are_mapped_and_ignored(tmp_path):
    log = read(tmp_path, "u,i,1,buy", "u,j,2,junk", events={"buy": "purchase", "junk": "ignore"})
    assert log.events["event"].tolist() == ["purchase"]
    assert log.items["item_id"].tolist() == ["i"]


def test_a_log_of_ignored_events_is_empty(tmp_path):
    with pytest.raises(EmptyDataError, match=r"source\.events"):
        read(tmp_path, "u,i,1,junk", events={"junk": "ignore"})


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
        files.read_files(FilesSource(paths=("*.parquet",)), tmp_path)


def test_a_missing_file(tmp_path):
    with pytest.raises(UnreadableFileError, match=r"source\.paths"):
        files.read_files(FilesSource(paths=("none.csv",)), tmp_path)


VALUES = "user_id,item_id,timestamp,kind,paid"


def paid(folder, *cells):
    columns = {"event": "kind", "value": "paid"}
    (folder / "log.csv").write_text("\n".join([VALUES, *(f"u,i{n},{n},view,{c}" for n, c in enumerate(cells))]))
    return files.read_files(FilesSource(paths=("log.csv",), columns=columns), folder).events["value"]


def test_numbers_that_are_not_finite_go_on_to_the_gate(tmp_path):
    values = paid(tmp_path, "1.5", "", "null", "NAN", "inf", "-Infinity", "-2")
    assert values.isna().tolist() == [False, True, True, False, False, False, False]
    np.testing.assert_array_equal(values.dropna().to_numpy("float64"), [1.5, np.nan, np.inf, -np.inf, -2.0])


def test_what_is_no_number_is_named(tmp_path):
    with pytest.raises(DataError, match=r"'paid', row 2: '3 apples' is not a number.*source\.columns\.value"):
        paid(tmp_path, "1", "3 apples")


def parquet(folder, **columns):
    base = {"user_id": ["u", "u"], "item_id": ["i", "j"], "timestamp": [1_700_000_000, 1_700_000_001]}
    pq.write_table(pa.table(base | columns), folder / "log.parquet")
    return FilesSource(paths=("log.parquet",), columns={"value": "paid"} if "paid" in columns else {})


@pytest.mark.parametrize(
    ("cells", "kept"),
    [
        (pa.array([2**53 + 1, None]), str(2**53 + 1)),
        (pa.array([2**64 - 1, None], pa.uint64()), str(2**64 - 1)),
        (pa.array([Decimal(10**30 + 1), None], pa.decimal128(38, 0)), str(10**30 + 1)),
        (pa.array([12.0, None]), "12"),
        (pa.array([1.5, None]), "1.5"),
        (pa.array(["007", None]).dictionary_encode(), "007"),
    ],
)
def test_parquet_ids_keep_every_digit(tmp_path, cells, kept):
    users = files.read_files(parquet(tmp_path, user_id=cells), tmp_path).events["user_id"]
    assert users[0] == kept
    assert users.isna().tolist() == [False, True]


@pytest.mark.parametrize("cells", [[1, 2], [1.0, 2.0], [Decimal("1.00"), Decimal("2.00")], ["1", "2.0"]])
def test_parquet_numbers_of_any_type(tmp_path, cells):
    assert files.read_files(parquet(tmp_path, paid=cells), tmp_path).events["value"].tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    "stamps",
    [
        pa.array([NOON, None], pa.timestamp("ns", "UTC")),
        pa.array([NOON.tz_convert("Asia/Tokyo"), None], pa.timestamp("ms", "Asia/Tokyo")),
        pa.array([NOON.tz_localize(None), None], pa.timestamp("us")),
        pa.array([NOON.timestamp(), None], pa.float64()),
        pa.array([NOON.value, None], pa.int64()),
    ],
)
def test_parquet_times_of_any_type(tmp_path, stamps):
    events = files.read_files(parquet(tmp_path, timestamp=stamps), tmp_path).events
    assert events["timestamp"].tolist() == [NOON, pd.NaT]


def test_an_index_of_pandas_is_a_column(tmp_path):
    frame = pd.DataFrame({"user_id": ["u"], "item_id": ["i"], "timestamp": [1_700_000_000]})
    frame.set_index("user_id").to_parquet(tmp_path / "log.parquet")
    assert files.read_files(FilesSource(paths=("log.parquet",)), tmp_path).events["user_id"].tolist() == ["u"]


def test_files_of_both_kinds_are_one_log(tmp_path):
    parquet(tmp_path, user_id=[1, 2])
    (tmp_path / "log.csv").write_text("user_id,item_id,timestamp\n3,i,2023-11-14T22:13:22Z\n")
    events = files.read_files(FilesSource(paths=("log.*",)), tmp_path).events
    assert events["user_id"].tolist() == ["1", "2", "3"]
    assert set(events["event"]) == {"purchase"}


def test_a_catalogue_keeps_first_cells_and_further_columns(tmp_path):
    (tmp_path / "items.csv").write_text("item_id,colour,kind\ni,,a\ni,blue,b\n,green,c\nj,red,\n")
    log = read(tmp_path, "u,i,1,view", items_path="items.csv", item_columns={"category": "kind"})
    wanted = [["i", "a", "blue"], ["j", "unknown", "red"]]
    assert log.items[["item_id", "category", "colour"]].to_numpy().tolist() == wanted


def test_a_log_may_describe_its_items(tmp_path):
    header = HEADER + ",genre,cost"
    rows = ["u,i,1,view,,inf", "u,i,1,view,,3", "v,i,2,view,b,4", "v,j,3,view,c,NaN"]
    log = read(
        tmp_path, *rows, header=header, items_path="log.csv", item_columns={"category": "genre", "price": "cost"}
    )
    assert log.items["item_id"].tolist() == ["i", "j"]
    assert log.items["category"].tolist() == ["b", "c"]
    assert log.items["price"].tolist() == [3, pd.NA]
    assert "user_id" not in log.items


def test_attributes_of_parquet_are_groups_fractions_or_lists(tmp_path):
    columns = {"shelf": [7, None], "fresh": [True, None], "weight": [1.5, None], "vector": [[0.1, 0.2], None]}
    pq.write_table(pa.table({"item_id": [2**53 + 1, 2]} | columns), tmp_path / "items.parquet")
    items = read(tmp_path, "u,2,1,view", items_path="items.parquet").items.set_index("item_id")
    first = items.loc[str(2**53 + 1), list(columns)]
    assert [*first[:3], first["vector"].tolist()] == ["7", "True", 1.5, [0.1, 0.2]]
    assert items.loc["2", list(columns)].isna().all()


def test_users_are_described_once(tmp_path):
    (tmp_path / "people.csv").write_text("nr,age\n7.0,30\n7,31\n,32\n")
    users = read(tmp_path, "7,i,1,view", users_path="people.csv", user_column="nr").users
    assert users.to_numpy().tolist() == [["7", "30"]]
    (tmp_path / "people.csv").write_text("nr\n7\n8\n")
    users = read(tmp_path, "7,i,1,view", users_path="people.csv", user_column="nr").users
    assert users["user_id"].tolist() == ["7", "8"]


def test_a_users_file_without_its_column(tmp_path):
    (tmp_path / "people.csv").write_text("nr,age\n7,30\n")
    with pytest.raises(MissingColumnError, match=r"people\.csv.*'user_id'"):
        read(tmp_path, "7,i,1,view", users_path="people.csv")


def test_the_logs_own_split_is_kept(tmp_path):
    parquet(tmp_path, part=["train", "test"])
    source = FilesSource(paths=("log.parquet",), columns={"split": "part"})
    assert files.read_files(source, tmp_path).events["split"].tolist() == ["train", "test"]


def test_numbers_of_the_log_survive_the_disk(tmp_path):
    paid(tmp_path, "NAN", "", "inf")
    source = FilesSource(paths=("log.csv",), columns={"event": "kind", "value": "paid"})
    write_frame(files.read_files(source, tmp_path).events, tmp_path / "events.parquet")
    again = read_frame(tmp_path / "events.parquet", EVENTS)["value"]
    assert again.isna().tolist() == [False, True, False]
    assert np.isnan(again[0])
