"""What `init` shows is what `ingest` reads, to the row, however the file is written."""

import gzip
from datetime import date
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.source_files import NUM_ROWS, shown_and_read
from tierrec_core.base.errors import DataError, UnreadableFileError
from tierrec_core.settings import FilesSource, TableFormat, parse
from tierrec_core.sources.files import read_files
from tierrec_core.sources.schema_inference import propose_settings
from tierrec_core.sources.tables import read_table, sample_table

NAMES = ["user_id", "item_id", "event", "timestamp", "qty", "product_name"]
WORDS = {
    "big5": "麵包和牛奶",
    "cp932": "日本語の本とパン",
    "cp949": "한국어 책과 우유",
    "cp1251": "Молоко и хлеб",
    "euc_jp": "日本語の本とパン",
    "gb18030": "很好的商品",
}


GREEK = "Άσπρο ψωμί|Γάλα φρέσκο|Ελαιόλαδο παρθένο|Τυρί φέτα|Καφές ελληνικός|Μήλα κόκκινα|Νερό μεταλλικό"
POLISH = "Chleb żytni|Mleko świeże|Żółty ser|Książka dla dzieci|Łyżka|Jabłka|Źródło wody|Sól|Ćwikła"
TITLES = {
    "cp1250": POLISH,
    "cp1253": GREEK,
    "cp1254": "Ekmek|Süt|Çay|Şeker|Yoğurt|Kırmızı elma|İçecek|Gömlek",
    "cp1255": "לחם|חלב טרי|גבינה|תפוחים|קפה שחור|נעליים",
    "cp1256": "خبز|حليب طازج|جبنة|تفاح|قهوة|حذاء",
    "cp1257": "Duona|Sūris|Žuvis|Šaldyti|Ąžuolas|Įmonė",
    "cp874": "ข้าวหอมมะลิ|น้ำปลา|นมสด|รองเท้าผ้าใบ|เสื้อยืด|กาแฟดำ|ขนมปัง",
    "iso8859_2": POLISH,
    "iso8859_7": GREEK,
    "cp1252": "Crème brûlée|½ pint of £5 tea|3m³ of soil|Thé noir|Pâté|Fromage râpé|Maïs",
}


def rows(frame, separator=","):
    return [separator.join(cells) for cells in [NAMES, *frame.to_numpy().tolist()]]


SHAPES = {
    "a comment above": lambda lines: ["# -----", "# Export, of events", "# 20240105-20240722", *lines],
    "a title above": lambda lines: ["Export of the shop", "", "from 2024,to 2024", *lines],
    "a separator line": lambda lines: ["sep=;", *(line.replace(",", ";") for line in lines)],
    "a quoted separator line": lambda lines: ['"sep=|"', *(line.replace(",", "|") for line in lines)],
    "separators at the ends": lambda lines: [lines[0], *(line + "," for line in lines[1:])],
    "separators at all ends": lambda lines: [line + ",," for line in lines],
    "separators at some ends": lambda lines: [
        lines[0],
        *(line + "," * (n % 3 == 0) for n, line in enumerate(lines[1:])),
    ],
    "blanks around cells": lambda lines: [line.replace(",", "  , ") + "  " for line in lines],
    "long separators": lambda lines: [line.replace(",", "::") for line in lines],
    "blank lines": lambda lines: [*lines[:9], "", *lines[9:], "", ""],
    "a cut last row": lambda lines: [*lines[:-1], lines[-1].rpartition(",")[0]],
    "windows line ends": lambda lines: [line + "\r" for line in lines],
    "a stray quotation mark": lambda lines: [
        line.replace("thing", '"thing') if n == 150 else line for n, line in enumerate(lines)
    ],
    "inches": lambda lines: [line.replace("thing", '5" thing') for line in lines],
    "quoted line ends": lambda lines: [
        lines[0],
        *(line.rpartition(",")[0] + ',"nice, a\nthing, 1"' for line in lines[1:]),
    ],
}


@pytest.mark.parametrize("null", [r"\N", "NULL", "null", "(null)", "None", "NaN", "nan"])
def test_nulls_of_databases_are_missing_cells(null, tmp_path):
    rows = [f"u{n % 7},i{n % 5},2024-01-{1 + n % 28:02},2.5,3" for n in range(NUM_ROWS)]
    text = "\n".join(["user,item,time,price,qty", ",".join([null] * 5), *rows])
    (tmp_path / "log.csv").write_text(text)
    patch = propose_settings([tmp_path / "log.csv"], {}).patch
    events = read_files(parse(FilesSource, patch["source"], "tests"), tmp_path).events
    assert events[["user_id", "item_id", "timestamp", "value", "quantity"]].isna().sum().tolist() == [1] * 5
    assert (events["user_id"].nunique(), events["value"].sum()) == (7, 2.5 * 3 * NUM_ROWS)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_every_row_is_shown_and_read(shape, log, tmp_path):
    (tmp_path / "log.csv").write_text("\n".join(shape(rows(log))) + "\n")
    num_rows, frames = shown_and_read(tmp_path, "log.csv")
    assert num_rows == NUM_ROWS
    wanted = log[["timestamp", "user_id", "item_id"]].to_numpy().tolist()
    events = frames.events.assign(timestamp=frames.events["timestamp"].dt.strftime("%Y-%m-%d %H:%M:%S"))
    assert events[["timestamp", "user_id", "item_id"]].to_numpy().tolist() == wanted


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-le", *WORDS])
def test_encodings_are_detected(encoding, log, tmp_path):
    title = WORDS.get(encoding, "Cheese" if encoding == "utf-16-le" else "Käse für Änne")
    log = log.assign(product_name=title + " " + log["item_id"])
    (tmp_path / "log.csv").write_bytes("\n".join(rows(log)).encode(encoding))
    assert set(shown_and_read(tmp_path, "log.csv")[1].items["title"]) == set(log["product_name"])


@pytest.mark.parametrize("encoding", TITLES)
def test_code_pages_are_told_by_the_letters_of_their_languages(encoding, log, tmp_path):
    log = log.assign(product_name=np.resize(TITLES[encoding].split("|"), NUM_ROWS))
    (tmp_path / "log.csv").write_bytes("\n".join(rows(log)).encode(encoding))
    assert set(read_table(tmp_path / "log.csv", detected(tmp_path))["product_name"]) == set(log["product_name"])


SHORT = [
    ("cp1250", "Żółta świeca łąka"),
    ("cp852", "Żółta świeca łąka"),
    ("cp850", "Größe|Käse"),
    ("cp932", "コーヒー豆"),
    ("cp1251", "Кофе в зёрнах"),
    ("cp1252", "Women’s shirt – blue|“Best” mug|Crème brûlée"),
]


@pytest.mark.parametrize(("encoding", "titles"), SHORT, ids=[f"{title} as {page}" for page, title in SHORT])
def test_few_words_tell_an_encoding_and_are_shown(encoding, titles, log, tmp_path):
    log = log.assign(product_name=np.resize(titles.split("|"), NUM_ROWS))
    (tmp_path / "log.csv").write_bytes("\n".join(rows(log)).encode(encoding))
    proposal = propose_settings([tmp_path / "log.csv"], {})
    assert f"such as {log['product_name'][0]!r}" in proposal.guesses[0].evidence
    assert proposal.patch["source"]["encoding"] == encoding
    assert proposal.warnings == ()


def detected(folder):
    """The format of a log that gives no warning."""
    proposal = propose_settings([folder / "log.csv"], {})
    assert proposal.warnings == ()
    return parse(FilesSource, proposal.patch["source"], "tests")


def test_an_encoding_in_doubt_is_shown_with_what_it_would_be(log, tmp_path):
    log = log.assign(product_name="Kuća " + log["item_id"])
    (tmp_path / "log.csv").write_bytes("\n".join(rows(log)).encode("cp1250"))
    warnings = propose_settings([tmp_path / "log.csv"], {}).warnings
    (line,) = [line for line in warnings if "cp1250" in line]
    assert "'Kuæa 16' is read as cp1252, and would be 'Kuća 16' as cp1250, " in line
    assert line.endswith("--encoding says which is right")
    assert propose_settings([tmp_path / "log.csv"], {"encoding": "cp1250"}).warnings == ()


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_compression_is_known_by_content(compression, log, tmp_path):
    text = "\n".join(rows(log)).encode()
    content = gzip.compress(text) if compression == "gzip" else pa.compress(text, compression, asbytes=True)
    (tmp_path / "log.csv").write_bytes(content)
    num_rows, frames = shown_and_read(tmp_path, "log.csv")
    assert num_rows == len(frames.events) == NUM_ROWS


def test_each_file_has_its_own_format(log, tmp_path):
    (tmp_path / "log.csv").write_text(
        "\n".join(rows(log.drop(columns="product_name"))[1:]).join([",".join(NAMES[:-1]) + "\n", "\n"])
    )
    goods = "\n".join(f"{n};Käse, {n};{n % 5}" for n in range(25))
    (tmp_path / "goods.csv").write_bytes(f"item_id;title;category\n{goods}\n".encode("cp1252"))
    _, frames = shown_and_read(tmp_path, "log.csv", "goods.csv")
    assert set(frames.items["title"]) == {f"Käse, {n}" for n in range(25)}


@pytest.mark.parametrize("second", [160, None], ids=["closed later", "never closed"])
def test_a_stray_quotation_mark_never_swallows_rows(second, log, tmp_path):
    lines = rows(log)
    for number in filter(None, (150, second)):
        lines[number] = lines[number].replace("thing", '"thing')
    (tmp_path / "log.csv").write_text("\n".join(lines))
    with pytest.raises(UnreadableFileError, match=r"log\.csv: line 151 \(row 150\).*\n.*source\.quote"):
        read_table(tmp_path / "log.csv", TableFormat())


QUOTED = {
    'a "big" box, 1': '"a \\"big\\" box, 1"',
    '"big"': '"\\"big\\""',
    '32"': '"32\\""',
    "from C:\\goods": '"from C:\\\\goods"',
}


def test_quotation_marks_after_a_backslash_are_text(log, tmp_path):
    names = np.resize(list(QUOTED), NUM_ROWS)
    lines = rows(log.assign(product_name=[QUOTED[name] for name in names]))
    (tmp_path / "log.csv").write_text("\n".join(lines))
    num_rows, frames = shown_and_read(tmp_path, "log.csv")
    assert num_rows == NUM_ROWS
    source = parse(FilesSource, propose_settings([tmp_path / "log.csv"], {}).patch["source"], "tests")
    assert read_table(tmp_path / "log.csv", source)["product_name"].tolist() == names.tolist()
    assert frames.events["item_id"].tolist() == log["item_id"].tolist()


def test_a_folder_that_ends_with_a_backslash_escapes_nothing(log, tmp_path):
    (tmp_path / "log.csv").write_text("\n".join(rows(log.assign(product_name='"C:\\2024\\"'))))
    source = parse(FilesSource, propose_settings([tmp_path / "log.csv"], {}).patch["source"], "tests")
    assert set(read_table(tmp_path / "log.csv", source)["product_name"]) == {"C:\\2024\\"}


@pytest.mark.parametrize("place", [0, NUM_ROWS - 1], ids=["first row", "last row"])
def test_a_cell_of_several_megabytes_is_read(place, log, tmp_path):
    log = log.copy()
    log.loc[place, "product_name"] = "x" * 2_000_000
    log.to_csv(tmp_path / "log.csv", index=False)
    assert shown_and_read(tmp_path, "log.csv")[0] == NUM_ROWS
    assert read_table(tmp_path / "log.csv", TableFormat())["product_name"].tolist() == log["product_name"].tolist()


@pytest.mark.parametrize("name", ["log.csv", "log.jsonl"])
def test_a_row_without_an_end_is_named(name, tmp_path):
    text = "x" * 40_000_000
    (tmp_path / name).write_text(f"a,b\n1,{text}" if name == "log.csv" else f'{{"a": 1}}\n{{"a": "{text}"}}')
    with pytest.raises(UnreadableFileError, match=rf"{name}: a row has more than 16 MiB; leave its long cells out"):
        read_table(tmp_path / name, TableFormat())


def test_a_row_with_too_many_cells_is_named(log, tmp_path):
    lines = rows(log)
    lines[7] += ", and more"
    (tmp_path / "log.csv").write_text("\n".join(lines))
    with pytest.raises(UnreadableFileError, match=r"line 8 \(row 7\): 7 cells, wanted 6"):
        read_table(tmp_path / "log.csv", TableFormat())


def test_a_workbook_is_named(tmp_path):
    (tmp_path / "log.xlsx").write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(DataError, match="Excel workbook; save its table as CSV"):
        propose_settings([tmp_path / "log.xlsx"], {})


def test_the_whole_file_is_sampled(tmp_path):
    path = tmp_path / "log.csv"
    pd.DataFrame({"n": range(50_000)}).to_csv(path, index=False)
    sample, num_rows = sample_table(path, TableFormat(), 10_000)
    numbers = sample["n"].astype("int64")
    assert num_rows == 50_000
    assert 5_000 <= len(sample) <= 10_000
    assert numbers.min() == 0
    assert numbers.max() > 45_000
    assert (numbers.diff().dropna() == 1).mean() > 0.99


def nested_log(log):
    """Parquet as GA4 exports it: two items an event, and pages without items; most users have a pseudonym only."""
    items = [
        [{"item_id": n, "quantity": 2, "user_id": "x"}, {"item_id": "99", "quantity": 1, "user_id": "x"}]
        for n in log["item_id"]
    ]
    users = log["user_id"].where(log.index % 10 == 0, None)
    columns = {"event_timestamp": pd.to_datetime(log["timestamp"]).astype("datetime64[us]").astype("int64")}
    columns |= {"event_name": "view_item", "user_id": users, "user_pseudo_id": "p" + log["user_id"]}
    columns |= {"event_params": [[{"key": "page", "value": "x"}]] * NUM_ROWS, "items": [[], *items[1:]]}
    return pa.Table.from_pydict(
        {
            name: pa.array(np.broadcast_to(cells, NUM_ROWS) if isinstance(cells, str) else cells)
            for name, cells in columns.items()
        }
    )


def test_lists_of_items_become_rows(log, tmp_path):
    pq.write_table(nested_log(log), tmp_path / "log.parquet")
    num_rows, frames = shown_and_read(tmp_path, "log.parquet")
    assert num_rows == len(frames.events) == 2 * (NUM_ROWS - 1)
    assert set(frames.events["item_id"]) == {"99", *log["item_id"]}
    assert set(frames.events["user_id"]) == {f"p{n}" for n in log["user_id"]}
    assert frames.events["quantity"].sum() == 3 * (NUM_ROWS - 1)


def test_columns_that_cannot_be_roles_are_named(log, tmp_path):
    odd = {"tags": [["a", "b"]], "place": [{"shelf": 1}], "hash": [b"\xff"]}
    table = pa.table({name: log[name] for name in NAMES} | {name: cells * NUM_ROWS for name, cells in odd.items()})
    table = table.append_column("cost", pa.array([Decimal("1.50")] * NUM_ROWS)).append_column(
        "day", pa.array([date(2024, 1, 5)] * NUM_ROWS)
    )
    pq.write_table(table, tmp_path / "log.parquet")
    goods = {"item_id": [str(n) for n in range(25)], "tags": [["a"]] * 25, "title": ["t"] * 25}
    pq.write_table(pa.table(goods), tmp_path / "goods.parquet")
    proposal = propose_settings([tmp_path / "log.parquet", tmp_path / "goods.parquet"], {})
    assert proposal.guesses[0].evidence.endswith("not used, as nested: tags, hash")
    frames = shown_and_read(tmp_path, "log.parquet", "goods.parquet")[1]
    assert len(frames.events) == NUM_ROWS
    assert frames.items["tags"].map(list).tolist() == [["a"]] * 25


def test_a_split_at_the_end_of_a_sorted_file_is_found(tmp_path):
    num_rows = 300_000
    rng = np.random.default_rng(3)
    moments = 1_700_000_000 + np.arange(num_rows) * 60
    log = {"user_id": rng.integers(0, 5000, num_rows), "item_id": rng.integers(0, 900, num_rows), "timestamp": moments}
    log["split"] = np.where(np.arange(num_rows) < 250_000, "train", "test")
    pd.DataFrame(log).to_csv(tmp_path / "log.csv", index=False)
    patch = propose_settings([tmp_path / "log.csv"], {}).patch
    assert patch["source"]["columns"]["split"] == "split"
    assert patch["split"]["by"] == {"kind": "given"}


def test_rows_of_another_width_keep_their_place(tmp_path):
    width = np.random.default_rng(3).integers(2, 5, 200_000)
    lines = [",".join([str(number), "x", "y", ""][:cells]) for number, cells in enumerate(width)]
    (tmp_path / "log.csv").write_text("\n".join(["number,a,b", *lines]))
    frame = read_table(tmp_path / "log.csv", TableFormat())
    assert frame["number"].tolist() == [str(number) for number in range(200_000)]
    assert frame["b"].notna().tolist() == (width > 2).tolist()
