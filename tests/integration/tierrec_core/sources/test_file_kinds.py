"""Kinds of files beside plain tables: partitions, columns aligned by blanks, titles, cut JSON, and binary formats."""

import json
import subprocess
import sys

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import feather, orc

from tests.support.source_files import NUM_ROWS, shown_and_read
from tierrec_core.base.contracts import CUT_LINE
from tierrec_core.base.errors import UnreadableFileError
from tierrec_core.settings import FilesSource, parse
from tierrec_core.sources.files import read_files
from tierrec_core.sources.schema_inference import propose_settings


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_partitions_of_hive_are_read_with_their_columns(suffix, log, tmp_path):
    for number, (day, rows) in enumerate(log.groupby(log["timestamp"].str[:7])):
        folder = tmp_path / "events" / f"month={day}" / f"shop=A%20{number % 2}"
        folder.mkdir(parents=True)
        getattr(rows, f"to_{suffix}")(folder / f"part-0.{suffix}", index=False)
        (folder / "_SUCCESS").touch()
    proposal = propose_settings([tmp_path / "events"], {})
    assert proposal.patch["source"]["paths"] == [(tmp_path / "events" / "**" / f"*.{suffix}").as_posix()]
    assert proposal.warnings == ()
    source = parse(FilesSource, proposal.patch["source"], "tests")
    source = source.model_copy(update={"columns": source.columns.model_copy(update={"channel": "shop"})})
    events = read_files(source, tmp_path).events
    assert len(events) == NUM_ROWS
    assert set(events["channel"]) == {"A 0", "A 1"}


def test_a_partition_may_have_the_day_of_its_events(log, tmp_path):
    for day, rows in log.groupby(log["timestamp"].str[:7]):
        folder = tmp_path / "events" / f"date={day}-01"
        folder.mkdir(parents=True)
        rows.drop(columns="timestamp").to_parquet(folder / "part-0.parquet")
    proposal = propose_settings([tmp_path / "events"], {})
    assert proposal.warnings == ()
    events = read_files(parse(FilesSource, proposal.patch["source"], "tests"), tmp_path).events
    assert sorted(events["timestamp"]) == sorted(pd.to_datetime(log["timestamp"].str[:7] + "-01", utc=True))


def aligned(log):
    table = log[["timestamp", "user_id", "item_id"]].assign(timestamp=log["timestamp"].str[:10]).astype(str)
    return table.to_string(index=False, justify="left").split("\n")


TITLES = {"no title": [], "a title": ["Sales of the spring 2024"], "a title of as many words": ["Sales 2024", ""]}


@pytest.mark.parametrize("titles", TITLES.values(), ids=TITLES)
@pytest.mark.parametrize("rule", [False, True])
def test_columns_aligned_by_blanks_are_read(titles, rule, log, tmp_path):
    header, *rows = aligned(log)
    below = ["---------- ------- -------"] if rule else []
    (tmp_path / "log.txt").write_text("\n".join([*titles, header, *below, *rows]) + "\n")
    num_rows, frames = shown_and_read(tmp_path, "log.txt")
    assert num_rows == NUM_ROWS
    assert sorted(frames.events["user_id"]) == sorted(log["user_id"])
    shown = propose_settings([tmp_path / "log.txt"], {}).guesses[0].evidence
    assert ("1 lines above the column names are skipped, such as 'Sales" in shown) == bool(titles)


@pytest.mark.parametrize("cell", ["       ", "Al Bo  "], ids=["an empty cell", "a cell with a blank"])
def test_aligned_columns_that_blanks_do_not_part_are_refused(cell, log, tmp_path):
    header, *rows = aligned(log.assign(user_id="u" + log["user_id"].str.zfill(6)))
    rows[5::9] = [row[:11] + cell + row[18:] for row in rows[5::9]]
    (tmp_path / "log.txt").write_text("\n".join([header, *rows]) + "\n")
    with pytest.raises(UnreadableFileError, match=r"log\.txt: has columns of fixed width.*\n.*read_fwf.*--separator"):
        propose_settings([tmp_path / "log.txt"], {})
    source = parse(FilesSource, {"kind": "files", "paths": ["log.txt"], "separator": " "}, "tests")
    with pytest.raises(UnreadableFileError, match=r"log\.txt: line 7"):
        read_files(source, tmp_path)


def test_a_text_with_blanks_does_not_make_them_the_separator(log, tmp_path):
    """As in H&M's articles: all rows have as many words."""
    log.assign(text="Top, narrow straps of jersey").to_csv(tmp_path / "log.csv", index=False)
    num_rows, frames = shown_and_read(tmp_path, "log.csv")
    assert num_rows == len(frames.events) == NUM_ROWS
    assert propose_settings([tmp_path / "log.csv"], {}).patch["source"].get("separator") is None


@pytest.mark.parametrize("cut", ['{"user_id": "u1", "item', '{"user_id"', "{"])
def test_a_last_line_of_json_that_is_cut_goes_to_quarantine(cut, log, tmp_path):
    lines = [json.dumps(row) for row in log.to_dict("records")]
    (tmp_path / "log.jsonl").write_text("\n".join([*lines, cut]))
    proposal = propose_settings([tmp_path / "log.jsonl"], {})
    assert "the last line is cut" in proposal.warnings[0]
    events = read_files(parse(FilesSource, proposal.patch["source"], "tests"), tmp_path).events
    is_cut = events["event"] == CUT_LINE
    assert (is_cut.sum(), (~is_cut).sum()) == (1, NUM_ROWS)
    assert events[is_cut].drop(columns="event").isna().all(axis=None)
    (tmp_path / "log.jsonl").write_text("\n".join(lines))
    assert propose_settings([tmp_path / "log.jsonl"], {}).warnings == ()


def test_a_cut_line_is_no_item_of_a_list(log, tmp_path):
    orders = [
        {**row, "items": [{"sku": "A1"}, {"sku": "B2"}]} for row in log.drop(columns="item_id").to_dict("records")
    ]
    (tmp_path / "log.jsonl").write_text("\n".join([*map(json.dumps, orders), '{"user_id": "u']))
    events = read_files(
        parse(FilesSource, propose_settings([tmp_path / "log.jsonl"], {}).patch["source"], "tests"), tmp_path
    ).events
    assert events["item_id"].value_counts().to_dict() == {"A1": NUM_ROWS, "B2": NUM_ROWS}
    assert (events["event"] == CUT_LINE).sum() == 1


def test_a_broken_line_in_the_middle_is_an_error(log, tmp_path):
    lines = [json.dumps(row) for row in log.to_dict("records")]
    (tmp_path / "log.jsonl").write_text("\n".join([*lines[:9], '{"user_id": "u', *lines[9:]]) + "\n")
    with pytest.raises(UnreadableFileError, match=r"log\.jsonl: cannot be read as JSON lines"):
        propose_settings([tmp_path / "log.jsonl"], {})


def test_other_formats_are_named_with_what_converts_them(log, tmp_path):
    table = pa.Table.from_pandas(log)
    feather.write_feather(table, tmp_path / "log.feather")
    orc.write_table(table, tmp_path / "log.orc")
    log.to_parquet(tmp_path / "log.dat")
    (tmp_path / "log.avro").write_bytes(b"Obj\x01\x04\x16avro.schema" + bytes(range(256)))
    for name, found in {
        "log.feather": r"a Feather file of Arrow; convert it: python .*feather.*'.*log\.feather\.parquet'",
        "log.orc": r"an ORC file; convert it: python .*orc.*'.*log\.orc\.parquet'",
        "log.avro": r"an Avro file; convert it: pip install fastavro",
        "log.dat": r"a Parquet file; give it a name that ends with \.parquet",
    }.items():
        with pytest.raises(UnreadableFileError, match=rf"{name}: is {found}"):
            propose_settings([tmp_path / name], {})


def test_an_entry_of_a_file_changes_what_it_says_alone(log, tmp_path):
    for name, mark in (("a.csv", ";"), ("b.csv", ";"), ("c.csv", ",")):
        log.to_csv(tmp_path / name, index=False, sep=mark)
    block = propose_settings([tmp_path / name for name in ("a.csv", "b.csv", "c.csv")], {}).patch["source"]
    assert block["formats"] == {(tmp_path / "c.csv").as_posix(): {"separator": ","}}
    pattern = {"b.csv": {"time_format": "%Y-%m-%d %H:%M:%S"}}
    source = parse(FilesSource, block | {"formats": block["formats"] | pattern}, "tests")
    assert len(read_files(source, tmp_path).events) == 3 * len(log)


@pytest.mark.parametrize("end", ["", ' "https://shop.example/c/3" "Mozilla/5.0 (X11; rv:109.0) Firefox/115.0"'])
@pytest.mark.parametrize("host", ["", "shop.example:443 "])
def test_access_logs_are_named_with_a_command_that_makes_a_table(host, end, tmp_path):
    lines = [
        f'{host}10.0.0.{n % 30} - - [{5 + n // 40:02}/Jan/2024:{n % 24:02}:00:11 +0100] "{request}" 200 512{end}\n'
        for n in range(NUM_ROWS)
        for request in (f"GET /p-1/item/{n % 20}?ref=a HTTP/1.1", "GET /main.css HTTP/1.1", "POST /cart HTTP/1.1")
    ]
    (tmp_path / "my access.log").write_text("".join(lines))
    with pytest.raises(
        UnreadableFileError, match=r"is an access log of a web server .*\n.* below /p-1/item/"
    ) as caught:
        propose_settings([tmp_path / "my access.log"], {})
    command = str(caught.value).partition(": gzip")[2]
    subprocess.run(f"gzip{command}".replace("| python ", f"| {sys.executable} "), shell=True, check=True)
    num_shown, frames = shown_and_read(tmp_path, "my access_views.csv")
    assert num_shown == len(frames.events) == NUM_ROWS
    assert set(frames.events["event"]) == {"view"}
    assert set(frames.events["item_id"]) == set(map(str, range(20)))
