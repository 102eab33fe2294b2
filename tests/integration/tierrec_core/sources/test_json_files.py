"""Files of JSON: an object a line, arrays, documents whose rows lie under a key, and lists of items in them."""

import gzip
import json

import pandas as pd
import pytest

from tests.support.source_files import NUM_ROWS, shown_and_read
from tierrec_core.base.errors import MissingColumnError, UnreadableFileError
from tierrec_core.settings import TableFormat
from tierrec_core.sources.schema_inference import propose_settings
from tierrec_core.sources.tables import read_table


def json_lines(log, **further):
    """The log as JSON lines whose item ids are texts with zeros at the start and whose quantities are numbers."""
    shown = log.assign(item_id=log["item_id"].str.zfill(5), qty=log["qty"].astype(int))
    records = shown.to_dict("records")
    return "".join(json.dumps(record | further) + "\n" for record in records)


@pytest.mark.parametrize("name", ["log.jsonl", "log.ndjson", "log.json", "log.jsonl.gz"])
def test_json_lines_are_read(name, log, tmp_path):
    content = json_lines(log, page={"url": "/x"}, note=None).encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    num_rows, frames = shown_and_read(tmp_path, name)
    assert num_rows == len(frames.events) == NUM_ROWS
    assert frames.events["item_id"].tolist() == log["item_id"].str.zfill(5).tolist()
    assert frames.events["timestamp"].tolist() == pd.to_datetime(log["timestamp"], utc=True).tolist()
    assert frames.events["quantity"].sum() == NUM_ROWS


@pytest.mark.parametrize("suffix", ["jsonl", "json", "parquet"])
def test_fields_of_structs_are_columns(suffix, log, tmp_path):
    """As in exports of Segment, with its names of events."""
    events = [
        {
            "userId": row.user_id,
            "event": "Product Viewed",
            "timestamp": row.timestamp,
            "properties": {"product_id": row.item_id, "price": {"amount": 2.5}},
            "context": {"page": {"title": "Shop"}},
        }
        for row in log.itertuples()
    ]
    path = tmp_path / f"log.{suffix}"
    if suffix == "parquet":
        pd.DataFrame(events).to_parquet(path)
    else:
        path.write_text("\n".join(map(json.dumps, events)) if suffix == "jsonl" else json.dumps(events, indent=1))
    num_rows, frames = shown_and_read(tmp_path, path.name)
    assert num_rows == len(frames.events) == NUM_ROWS
    assert frames.events["item_id"].tolist() == log["item_id"].tolist()
    assert set(frames.events["event"]) == {"view"}
    assert "title" not in propose_settings([path], {}).patch["source"].get("item_columns", {})


def told(log):
    """The log as objects."""
    return log.assign(item_id=log["item_id"].str.zfill(5)).to_dict("records")


DOCUMENTS = {
    "an object": lambda rows: {"status": "ok", "timestamp": "2020-01-01", "events": rows},
    "an inner object": lambda rows: {"page": {"number": 1}, "response": {"things": rows, "total": 5}},
    "a list beside others": lambda rows: {"data": rows, "included": [{"id": 1}], "errors": [], "codes": [1, 2]},
}


@pytest.mark.parametrize("indent", [None, 1], ids=["one line", "indented"])
@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)
def test_rows_under_a_key_of_a_document_are_read(document, indent, log, tmp_path):
    (tmp_path / "log.json").write_text(json.dumps(document(told(log)), indent=indent))
    num_rows, frames = shown_and_read(tmp_path, "log.json")
    assert num_rows == len(frames.events) == NUM_ROWS
    assert frames.events["item_id"].tolist() == log["item_id"].str.zfill(5).tolist()
    assert frames.events["timestamp"].tolist() == pd.to_datetime(log["timestamp"], utc=True).tolist()


def test_orders_under_a_key_list_their_items(log, tmp_path):
    orders = [
        {"customer": row.user_id, "created_at": row.timestamp, "line_items": [{"product_id": row.item_id}] * 2}
        for row in log.itertuples()
    ]
    (tmp_path / "log.json").write_text(json.dumps({"orders": orders}))
    num_rows, frames = shown_and_read(tmp_path, "log.json")
    assert num_rows == len(frames.events) == 2 * NUM_ROWS
    assert frames.events["item_id"].tolist() == log["item_id"].repeat(2).tolist()


def test_lines_whose_rows_lie_under_a_key_are_read(log, tmp_path):
    rows = log.rename(columns={"item_id": "thing"}).to_dict("records")
    pages = [{"page": start, "events": rows[start : start + 50]} for start in range(0, NUM_ROWS, 50)]
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, pages)))
    assert shown_and_read(tmp_path, "log.jsonl")[0] == NUM_ROWS


def test_several_lists_of_a_document_are_refused_by_name(log, tmp_path):
    (tmp_path / "log.json").write_text(json.dumps({"views": told(log), "orders": told(log)}, indent=1))
    with pytest.raises(UnreadableFileError, match=r"log\.json: has lists of objects under views, orders; wanted one"):
        propose_settings([tmp_path / "log.json"], {})


@pytest.mark.parametrize("name", ["log.jsonl", "log.json"])
def test_ids_beyond_64_bits_keep_every_digit(name, log, tmp_path):
    users = [2**63 + int(number) if int(number) % 2 else int(number) for number in log["user_id"]]
    items = [10**25 + int(number) for number in log["item_id"]]
    rows = log.assign(user_id=users, item_id=items).to_dict("records")
    (tmp_path / name).write_text("\n".join(map(json.dumps, rows)) if name == "log.jsonl" else json.dumps(rows))
    events = shown_and_read(tmp_path, name)[1].events
    assert events["user_id"].tolist() == list(map(str, users))
    assert events["item_id"].tolist() == list(map(str, items))


@pytest.mark.parametrize("nested", [True, False], ids=["nested", "plain"])
@pytest.mark.parametrize("suffix", ["jsonl", "json", "parquet"])
def test_views_name_an_item_and_orders_list_theirs(suffix, nested, log, tmp_path):
    """Orders come late in the file, so that its first object has none of their keys."""
    events = []
    for row in log.itertuples():
        event = {"user_id": row.user_id, "timestamp": row.timestamp}
        if row.Index < NUM_ROWS / 2:
            event |= {"event": "Product Viewed", "name": "view"}
            item = {"product_id": row.item_id, "price": 1.5}
        else:
            event |= {"event": "Order Completed", "name": "order"}
            items = [{"product_id": int(number), "price": 2.5, "name": "thing"} for number in (row.item_id, "99")]
            item = {"products": items, "total": 5.0 + row.Index}
        events.append(event | ({"properties": item} if nested else item))
    path = tmp_path / f"log.{suffix}"
    if suffix == "parquet":
        pd.DataFrame(events).to_parquet(path)
    else:
        path.write_text("\n".join(map(json.dumps, events)) if suffix == "jsonl" else json.dumps(events))
    num_rows, frames = shown_and_read(tmp_path, path.name)
    views, orders = (frames.events[frames.events["event"] == kind] for kind in ("view", "purchase"))
    assert num_rows == len(frames.events) == NUM_ROWS / 2 + NUM_ROWS
    assert views["item_id"].tolist() == log["item_id"][: NUM_ROWS // 2].tolist()
    assert set(orders["item_id"]) == {"99", *log["item_id"][NUM_ROWS // 2 :]}
    if nested:
        assert (set(views["value"]), set(orders["value"])) == ({1.5}, {2.5})


@pytest.mark.parametrize("content", ["[]", '[{"user_id": 1}', '[{"user_id": 1}, 5]'])
def test_a_damaged_array_is_named_by_init(content, tmp_path):
    (tmp_path / "log.json").write_text(content)
    with pytest.raises(UnreadableFileError, match=r"log\.json: "):
        propose_settings([tmp_path / "log.json"], {})


def test_names_that_structs_share_with_columns_are_numbered(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"a": {"b": 1}, "a.b": 2}\n')
    frame = read_table(tmp_path / "log.jsonl", TableFormat())
    assert frame.to_dict("records") == [{"a.b": 1, "a.b_1": 2}]


def test_lists_of_items_in_json_lines_become_rows(log, tmp_path):
    lines = [
        {"user_id": row.user_id, "event": "view", "timestamp": row.timestamp, "items": [{"item_id": row.item_id}] * 2}
        for row in log.itertuples()
    ]
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, lines)))
    num_rows, frames = shown_and_read(tmp_path, "log.jsonl")
    assert num_rows == len(frames.events) == 2 * NUM_ROWS
    assert frames.events["item_id"].tolist() == log["item_id"].repeat(2).tolist()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('[{"user_id": 1}, 5]', "cannot mix"),
        ('[{"user_id": 1}', "end of"),
        ('{"user_id": 1}\n{"user_id": "a"}\n', "user_id"),
        ('{"user_id"', "JSON"),
    ],
)
def test_what_is_no_json_lines_is_named(content, said, tmp_path):
    (tmp_path / "log.jsonl").write_text(content)
    with pytest.raises(UnreadableFileError, match=rf"log\.jsonl: cannot be read as JSON lines: .*{said}.*one object a"):
        read_table(tmp_path / "log.jsonl", TableFormat())


def test_nested_columns_are_named_where_a_role_is_missing(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"user": [1], "timestamp": "2024-01-05"}\n')
    with pytest.raises(
        MissingColumnError, match="found columns timestamp, and nested user; wanted a column of user ids"
    ):
        propose_settings([tmp_path / "log.jsonl"], {})


def test_a_session_of_minus_one_is_none(log, tmp_path):
    """As Amplitude exports events outside of sessions."""
    sessions = [-1 if n % 4 == 0 else 1_705_000_000_000 + n for n in range(NUM_ROWS)]
    lines = log.assign(session_id=sessions).to_dict("records")
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, lines)))
    events = shown_and_read(tmp_path, "log.jsonl")[1].events
    assert events["session_id"].isna().tolist() == [session == -1 for session in sessions]
    assert events["session_id"].nunique() == NUM_ROWS * 3 / 4
