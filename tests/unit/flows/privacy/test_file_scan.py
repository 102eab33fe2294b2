"""A user is found in files of every format, and in no file that only holds something alike."""

import bz2
import gzip
import html
import io
import json
import lzma
import sqlite3
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.privacy.file_scan import FileScanner
from flows.privacy.user_pattern import UserPattern
from tierrec_core.base.memmap import save_arrays
from tierrec_core.bundle.user_tables import UserIndex

EMAIL, NAME, SHORT, NUMBER = "zoë+shop@example.org", "customer-000123", "u7", "1053"
DISTINCTIVE = (EMAIL, NAME, "80012345")
IDS = (*DISTINCTIVE, SHORT, NUMBER)
COLUMNS = frozenset({"user_id", "user", "household"})
FRAME = pd.DataFrame({"user_id": ["other-0001", "?"], "item_id": ["7", "105"], "value": [1.5, 7.0]})


def scanner(user: str) -> FileScanner:
    return FileScanner(UserPattern(user, COLUMNS))


def frame(user: str) -> pd.DataFrame:
    return FRAME.replace("?", user)


def csv_file(path: Path, user: str) -> None:
    frame(user).to_csv(path, index=False)


def windows_csv(path: Path, user: str) -> None:
    path.write_text(f"day;Household\r\n1;x\r\n2;{user}\r\n", encoding="utf-16")


def json_file(path: Path, user: str) -> None:
    path.write_text(json.dumps({"type": "SplitLog", "fields": {"log": {"users": ["a", user]}, "items": ["7"]}}))


def json_lines(path: Path, user: str) -> None:
    path.write_text("".join(json.dumps({"user_id": name, "n": 1}) + "\n" for name in ("a", user)))


def parquet(path: Path, user: str) -> None:
    frame(user).to_parquet(path, compression="zstd")


def parquet_dictionary(path: Path, user: str) -> None:
    frame(user).astype({"user_id": "category"}).to_parquet(path, compression="gzip")


def parquet_nested(path: Path, user: str) -> None:
    pq.write_table(pa.table({"at": [1, 2], "properties": [{"who": [{"user": "a"}]}, {"who": [{"user": user}]}]}), path)


def parquet_session(path: Path, user: str) -> None:
    pd.DataFrame({"item_id": ["a"], "session_id": [f"{user}-visit-0"]}).to_parquet(path)


def compressed_csv(path: Path, user: str) -> None:
    path.write_bytes(gzip.compress(frame(user).to_csv(index=False).encode()))


def zstd_csv(path: Path, user: str) -> None:
    path.write_bytes(pa.compress(frame(user).to_csv(index=False).encode(), codec="zstd", asbytes=True))


def xz_of_bzip2(path: Path, user: str) -> None:
    path.write_bytes(lzma.compress(bz2.compress(frame(user).to_csv(index=False).encode())))


def zip_of_parquet(path: Path, user: str) -> None:
    inner = io.BytesIO()
    frame(user).to_parquet(inner)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("readme.txt", "nothing")
        archive.writestr("events.parquet", inner.getvalue())


def sqlite(path: Path, user: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("create table events (id integer, user_id text, item_id text)")
        connection.execute("insert into events values (1, ?, 'i')", (user,))


def index_of_users(path: Path, user: str) -> None:
    """Ids without anything between them; the scanned file is the one with their text."""
    save_arrays(UserIndex.of(["first", user, "8last"]), path.parent)


STRUCTURED: tuple[Callable[[Path, str], None], ...] = (
    csv_file,
    windows_csv,
    json_file,
    json_lines,
    parquet,
    parquet_dictionary,
    parquet_nested,
    parquet_session,
    compressed_csv,
    zstd_csv,
    xz_of_bzip2,
    zip_of_parquet,
    sqlite,
    index_of_users,
)


@pytest.mark.parametrize("write", STRUCTURED, ids=lambda write: write.__name__)
@pytest.mark.parametrize("user", IDS)
def test_a_user_is_found_in_every_format(tmp_path: Path, write: Callable[[Path, str], None], user: str) -> None:
    path = tmp_path / ("text.npy" if write is index_of_users else "file")
    write(path, user)
    found = scanner(user).scan(path)
    assert found is not None
    assert found.is_certain


@pytest.mark.parametrize("write", STRUCTURED, ids=lambda write: write.__name__)
@pytest.mark.parametrize("user", IDS)
def test_others_are_not_taken_for_the_user(tmp_path: Path, write: Callable[[Path, str], None], user: str) -> None:
    """Ids that contain the user's, and items and numbers that equal a short one, mean somebody or something else."""
    path = tmp_path / ("text.npy" if write is index_of_users else "file")
    for other in (f"{user}8", f"1{user}", f"a{user}b"):
        write(path, other)
        if user not in DISTINCTIVE or write not in (sqlite, index_of_users):  # whose bytes have no bounds
            assert scanner(user).scan(path) is None, other
        for file in tmp_path.iterdir():
            file.unlink()


@pytest.mark.parametrize("user", DISTINCTIVE)
def test_a_distinctive_id_is_found_in_texts_and_bytes_of_any_kind(tmp_path: Path, user: str) -> None:
    path = tmp_path / "file"
    texts = [
        f"served {user}.",
        f"<td>{html.escape(user)}</td>",
        f"GET /users/{quote(user, safe='')}/tier",
        json.dumps(f"the user {user}, who"),
        f"{user},{user}",
        f"of {user.upper() if '@' in user else user}",
    ]
    contents = [text.encode() for text in texts]
    contents += [f"a{user}b".encode(encoding) for encoding in ("utf-16-le", "utf-16-be")]
    contents += [b"\x00" + f"a{user}b".encode()]
    for content in contents:
        path.write_bytes(content)
        assert scanner(user).scan(path) is not None, content
    np.save(path.with_suffix(".npy"), np.array(["a", user]))
    assert scanner(user).scan(path.with_suffix(".npy")) is not None


@pytest.mark.parametrize("offset", range(-20, 20))
def test_a_user_is_found_where_chunks_meet(offset: int) -> None:
    """The scan reads 4 MiB at a time; a word that a chunk cuts off is judged with what follows."""
    start = (1 << 22) + offset
    for text, is_found in ((NAME, True), (f"{NAME}4", False), (f"x{NAME}", False)):
        stream = io.BytesIO(b" " * start + text.encode() + b" " * 100)
        assert UserPattern(NAME, COLUMNS).is_word_of(stream) is is_found


def test_deleted_rows_of_a_database_and_of_its_log_are_found(tmp_path: Path) -> None:
    path = tmp_path / "feedback.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("pragma journal_mode = wal")
        connection.execute("create table events (user_id text, item_id text)")
        connection.execute("insert into events values (?, 'i')", (NAME,))
        connection.commit()
        assert scanner(NAME).scan(path.with_name("feedback.db-wal")) is not None
        connection.execute("pragma secure_delete = off")
        connection.execute("delete from events")
        connection.commit()
        connection.execute("pragma wal_checkpoint(truncate)")
        assert scanner(NAME).scan(path) is not None
        connection.execute("vacuum")
        connection.execute("pragma wal_checkpoint(truncate)")
        assert scanner(NAME).scan(path) is None


@pytest.mark.parametrize("content", [b"PAR1 is no Parquet", b"\x1f\x8b is no gzip", b"PK\x03\x04 is no zip"])
def test_a_file_that_cannot_be_read_is_no_proof(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    found = scanner(NAME).scan(tmp_path / "file")
    assert found is not None
    assert "cannot be read" in found.where


def test_a_short_id_in_other_texts_is_left_to_a_person(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("seed: 1053\n")
    found = scanner(NUMBER).scan(path)
    assert found is not None
    assert not found.is_certain
    assert scanner("105").scan(path) is None


def test_numbers_of_users_are_read_as_ingest_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    pd.DataFrame({"household": [1.0, 1053.0, None], "quantity": [7.0, 2.0, 3.0]}).to_parquet(path)
    assert scanner(NUMBER).scan(path) is not None
    assert scanner("7").scan(path) is None
