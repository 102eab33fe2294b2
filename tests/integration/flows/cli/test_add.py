"""`tierrec add` takes deliveries: checked as the run checks them, counted once, and none of them half."""

import gzip
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from tests.support.commands import tierrec
from tests.support.drifting_shop import configure
from tests.support.projects import ENV, ROOT
from tierrec_core.base.errors import (
    ArtifactError,
    DataError,
    GateError,
    MissingColumnError,
    SettingsError,
    TierRecError,
)
from tierrec_core.base.paths import Layout
from tierrec_core.settings import read_settings
from tierrec_core.sources import read_source
from tierrec_core.sources.input_files.manifest import is_manifest_current, source_manifest

HEADER = "user_id,item_id,timestamp,kind"
SOURCE = {
    "kind": "files",
    "paths": ["logs/*.csv"],
    "columns": {"event": "kind"},
    "events": {"seen": "view", "noise": "ignore"},
    "timezone": "Europe/Berlin",
}


def rows(day: int, users: range = range(20), kind: str = "seen") -> list[str]:
    """An event of each user on a day of March 2024, in the format that a day above 12 makes clear."""
    return [f"u{user},i{user % 5},03/{day:02}/2024 {user:02}:30,{kind}" for user in users]


def written(path: Path, lines: list[str], header: str = HEADER) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """A project with a log until the 13th of March, in which the commands run."""
    folder = tmp_path / "shop"
    folder.mkdir()
    shutil.copy(ROOT / "params.yaml", folder)
    configure(folder, source=SOURCE)
    written(folder / "logs/log.csv", [*rows(12), *rows(13)])
    monkeypatch.chdir(folder)
    return Layout(folder)


add = partial(tierrec, "add")


def days(shop: Layout) -> dict[int, int]:
    """The number of events of each day of March, in the source's timezone, as ingest reads them."""
    settings = read_settings(shop.params)
    stamps = read_source(settings.source, shop.root, 0).events["timestamp"].dt.tz_convert("Europe/Berlin")
    return {int(day): int(count) for day, count in stamps.dt.day.value_counts().sort_index().items()}


def stored(shop: Layout) -> list[str]:
    return sorted(path.name for path in shop.deliveries.glob("*/**/*") if path.is_file())


def test_a_delivery_is_read_with_the_log_and_makes_the_source_stale(shop: Layout, tmp_path: Path) -> None:
    source = read_settings(shop.params).source
    shop.source_manifest.parent.mkdir(exist_ok=True)
    shop.source_manifest.write_text(pd.io.json.ujson_dumps(source_manifest(source, shop)))
    assert is_manifest_current(source, shop)
    file = written(tmp_path / "day one ü.csv", [*rows(5), *rows(5, range(20, 24), "noise")])
    assert f"{file}: added 20 events of 2024-03-05\n" in add(file)
    assert not is_manifest_current(source, shop)
    file.unlink()
    assert days(shop) == {5: 20, 12: 20, 13: 20}  # the format of times is that of the whole log


def test_the_same_content_counts_once(shop: Layout, tmp_path: Path) -> None:
    file = written(tmp_path / "a.csv", rows(14))
    add(file, shutil.copy(file, tmp_path / "b.csv"))
    assert "is a part of the source already, as data/deliveries/" in add(file)
    assert "is a part of the source already, as logs/log.csv" in add("logs/log.csv")
    assert days(shop) == {12: 20, 13: 20, 14: 20}
    assert stored(shop) == ["a.csv"]


def test_a_line_that_was_cut_gets_in_once_the_file_is_whole(shop: Layout, tmp_path: Path) -> None:
    file = written(tmp_path / "day.csv", rows(14))
    whole = file.read_text()
    file.write_text(whole.removesuffix(":30,seen\n"))
    assert "added 20 events of 2024-03-14, 1 of them invalid" in add(file)
    file.write_text(whole)
    assert "added 20 events of 2024-03-14, in place of the earlier file of this name" in add(file)
    assert days(shop) == {12: 20, 13: 20, 14: 20}


def test_a_corrected_file_of_the_same_name_takes_the_place_of_the_first(shop: Layout, tmp_path: Path) -> None:
    add(written(tmp_path / "a.csv", rows(14)))
    said = add(written(tmp_path / "a.csv", rows(14, range(15))))
    assert "added 15 events of 2024-03-14, in place of the earlier file of this name" in said
    assert days(shop) == {12: 20, 13: 20, 14: 15}
    assert stored(shop) == ["a.csv"]


def test_a_delivery_may_have_guests(shop: Layout, tmp_path: Path) -> None:
    configure(shop.root, source=SOURCE | {"guests": [""]})
    guests = [row.replace(row.partition(",")[0], "", 1) for row in rows(14)[:10]]
    add(written(tmp_path / "day.csv", [*rows(14)[10:], *guests]))
    assert days(shop) == {12: 20, 13: 20, 14: 20}


def test_a_file_of_another_shop_is_pointed_out(shop: Layout, tmp_path: Path) -> None:
    strange = [line.replace("u", "k", 1).replace(",i", ",p") for line in rows(14)]
    said = [add(written(tmp_path / f"{n}.csv", lines)) for n, lines in enumerate((strange, rows(15)))]
    assert ["none of its users and items is in the earlier files" in one for one in said] == [True, False]


def test_the_last_line_of_a_whole_utf_16_file_is_not_cut(shop: Layout, tmp_path: Path) -> None:
    day = written(tmp_path / "day.csv", rows(14))
    day.write_text(day.read_text(), encoding="utf-16")
    assert "invalid" not in add(day)
    assert days(shop)[14] == 20


def test_files_of_one_name_and_other_days_are_both_kept(shop: Layout, tmp_path: Path) -> None:
    for day in (14, 15):
        add(written(tmp_path / "export.csv", rows(day)))
    assert days(shop) == {12: 20, 13: 20, 14: 20, 15: 20}


def test_other_rows_of_a_delivered_day_need_a_decision(shop: Layout, tmp_path: Path) -> None:
    add(written(tmp_path / "a.csv", [*rows(14), *rows(15)]))
    late = written(tmp_path / "late.csv", rows(14, range(17, 23)))
    wanted = r"late\.csv: .* 2024-03-14: 20 rows delivered, 6 here, 3 of them the same\n--replace .*--append"
    with pytest.raises(DataError, match=wanted):
        add(late)
    assert days(shop) == {12: 20, 13: 20, 14: 20, 15: 20}
    assert stored(shop) == ["a.csv"]
    add("--append", late)
    assert days(shop) == {12: 20, 13: 20, 14: 26, 15: 20}
    said = add("--replace", written(tmp_path / "right.csv", rows(14, range(9))))
    assert "; they replace those of 2024-03-14: 26 rows delivered, 9 here, 9 of them the same\n" in said
    assert days(shop) == {12: 20, 13: 20, 14: 9, 15: 20}
    add("--replace", written(tmp_path / "log again.csv", rows(13, range(4))))
    assert days(shop) == {12: 20, 13: 4, 14: 9, 15: 20}
    with pytest.raises(SettingsError, match="exclude one another"):
        add("--append", "--replace", late)


INVALID = [f",i1,03/14/2024 10:0{minute},seen" for minute in range(2)]
BAD = {
    "too many bad rows": ([*rows(14), *INVALID], HEADER, GateError, ["bad_share is 0.09", "user_id_not_null 2"]),
    "all bad": (INVALID, HEADER, GateError, ["bad_share is 1"]),
    "repeated rows": (rows(14) * 2, HEADER, GateError, ["duplicate_share is 0.5"]),
    "another column": (
        rows(14),
        HEADER.replace("item_id", "sku"),
        MissingColumnError,
        ["'item_id' is missing", "found user_id, sku"],
    ),
    "no kind of event": (
        [row.removesuffix(",seen") for row in rows(14)],
        HEADER.removesuffix(",kind"),
        MissingColumnError,
        ["'kind' is missing", "found user_id, item_id, timestamp"],
    ),
    "another separator": (
        [row.replace(",", ";") for row in rows(14)],
        HEADER.replace(",", ";"),
        MissingColumnError,
        ["'user_id' is missing", "found user_id;item_id", "source.separator"],
    ),
    "an unknown event": (rows(14, kind="danced"), HEADER, DataError, ["'danced'", "source.events"]),
    "no rows": ([], HEADER, DataError, ["no rows"]),
    "nothing of use": (rows(14, kind="noise"), HEADER, DataError, ["no event is left"]),
    "no times": ([row.replace("03/14", "99/99") for row in rows(14)], HEADER, DataError, ["'timestamp'", "99/99/2024"]),
}


@pytest.mark.parametrize(("lines", "header", "error", "words"), BAD.values(), ids=BAD)
def test_a_bad_delivery_is_refused_and_a_good_one_beside_it(
    shop: Layout, tmp_path: Path, lines: list[str], header: str, error: type[TierRecError], words: list[str]
) -> None:
    bad = written(tmp_path / "bad.csv", lines, header)
    with pytest.raises(error) as caught:
        add(written(tmp_path / "good.csv", rows(15)), bad)
    message = str(caught.value)
    assert [word for word in (str(bad), "nothing was added", *words) if word not in message] == [], message
    assert str(shop.deliveries) not in message
    assert days(shop) == {12: 20, 13: 20}
    assert stored(shop) == []


def test_few_bad_rows_are_said_and_left_to_the_gate(shop: Layout, tmp_path: Path) -> None:
    file = written(tmp_path / "a.csv", [*rows(14), *rows(15), ",i1,03/15/2024 23:00,seen"])
    assert "added 41 events of 2024-03-14 to 2024-03-15, 1 of them invalid" in add(file)


def test_compressed_and_linked_files(shop: Layout, tmp_path: Path) -> None:
    packed, plain = tmp_path / "a.csv.gz", written(tmp_path / "plain.csv", rows(14))
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    (tmp_path / "link.csv").symlink_to(written(tmp_path / "b.csv", rows(15)))
    add(packed, tmp_path / "link.csv")
    assert days(shop) == {12: 20, 13: 20, 14: 20, 15: 20}


def test_replaced_content_counts_again_if_it_replaces(shop: Layout, tmp_path: Path) -> None:
    first, second = written(tmp_path / "a.csv", rows(14)), written(tmp_path / "b.csv", rows(14, range(5)))
    for file in (first, second, first, second):
        add("--replace", file)
    assert days(shop) == {12: 20, 13: 20, 14: 5}
    add("--replace", first, first)
    assert days(shop) == {12: 20, 13: 20, 14: 20}


def test_globs_of_the_source_pass_over_deliveries(shop: Layout, tmp_path: Path) -> None:
    """Else files that no longer count would, and the order would be that of the names."""
    configure(shop.root, source=SOURCE | {"paths": ["**/*.csv"]})
    written(shop.root / "later.csv", rows(15))
    for file in (written(tmp_path / "a.csv", rows(14)), written(tmp_path / "b.csv", rows(14, range(5)))):
        add("--replace", file)
    shop.delivery_list.write_text("[]")
    assert days(shop) == {12: 20, 13: 20, 15: 20}


def test_a_lost_list_is_an_error_and_loses_no_file(shop: Layout, tmp_path: Path) -> None:
    add(written(tmp_path / "a.csv", rows(14)))
    shop.delivery_list.unlink()
    stored = sorted(shop.deliveries.rglob("*.csv"))
    for attempt in (lambda: days(shop), lambda: add(written(tmp_path / "b.csv", rows(15)))):
        with pytest.raises(ArtifactError, match=r"deliveries\.json: is missing; restore it"):
            attempt()
    assert sorted(shop.deliveries.rglob("*.csv")) == stored != []


def test_what_cannot_be_stored_is_said(shop: Layout, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="File name too long"):
        add(written(tmp_path / f"{'x' * 250}.csv", rows(14)))
    (shop.deliveries / "link").symlink_to(tmp_path)
    add(written(tmp_path / "a.csv", rows(14)))
    shop.delivery_list.write_text("null")
    with pytest.raises(ArtifactError, match=r"deliveries\.json: has no list"):
        days(shop)
    shutil.rmtree(shop.data)
    shop.data.touch()
    with pytest.raises(ArtifactError, match="deliveries: cannot be written"):
        add(tmp_path / "a.csv")


def test_what_is_no_file_is_refused(shop: Layout, tmp_path: Path) -> None:
    for name, reason in (("none.csv", "No such file"), ("", "Is a directory")):
        with pytest.raises(DataError, match=f"{reason}.*nothing was added"):
            add(tmp_path / name)
    configure(shop.root, source={"kind": "synthetic"})
    with pytest.raises(SettingsError, match=r"source\.kind is synthetic, wanted files"):
        add(written(tmp_path / "a.csv", rows(14)))


def test_a_delivery_that_went_missing_is_named(shop: Layout, tmp_path: Path) -> None:
    add(written(tmp_path / "a.csv", rows(14)))
    next(shop.deliveries.glob("*/a.csv")).unlink()
    assert not is_manifest_current(read_settings(shop.params).source, shop)
    with pytest.raises(DataError, match=r"a\.csv: was added and is missing; put it back, or delete it from .*json"):
        days(shop)


def test_a_killed_call_adds_nothing(shop: Layout, tmp_path: Path) -> None:
    """It is killed as soon as its copy lies in the project; the next call deletes that."""
    file = written(tmp_path / "a.csv", rows(14))
    program = f"from flows.cli.data import app; app(['add', {str(file)!r}])"
    process = subprocess.Popen([sys.executable, "-c", program], cwd=shop.root, env=ENV | {"PYTHONPATH": str(ROOT)})
    while not list(shop.deliveries.glob("*/a.csv")):
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert days(shop) == {12: 20, 13: 20}
    assert stored(shop) == ["a.csv"]
    add(written(tmp_path / "b.csv", rows(15)))
    assert stored(shop) == ["b.csv"]
    add(file)
    assert days(shop) == {12: 20, 13: 20, 14: 20, 15: 20}


def test_a_file_that_is_called_after_another_event_is_refused_until_it_is_said(shop: Layout, tmp_path: Path) -> None:
    source = {name: value for name, value in SOURCE.items() if name not in ("columns", "events")}
    configure(shop.root, source=source | {"default_event": "view"})
    file = written(tmp_path / "orders_14.csv", rows(14))
    with pytest.raises(DataError, match=r"'orders' is in its name, but its rows would be of the event view"):
        add(file)
    configure(shop.root, source=source | {"default_event": "view", "file_events": {"*orders*": "purchase"}})
    add(file)
    events = read_source(read_settings(shop.params).source, shop.root, 0).events
    assert events["event"].value_counts().to_dict() == {"view": 40, "purchase": 20}


def test_a_file_of_a_partition_keeps_its_cells(shop: Layout, tmp_path: Path) -> None:
    """They are the day and the channel here; the rows of another partition are others, also of the same day."""
    header, lines = "user_id,item_id,kind", [f"u{user},i{user % 5},seen" for user in range(20)]
    columns = {"event": "kind", "timestamp": "day", "channel": "via"}
    configure(shop.root, source=SOURCE | {"paths": ["events/**/*.csv"], "columns": columns, "timezone": "UTC"})

    def delivered(folder: Path, day: int, channel: str, num_rows: int = 20) -> Path:
        folder = folder / f"day=2024-03-{day}/via={channel}"
        folder.mkdir(parents=True, exist_ok=True)
        return written(folder / "part-0.csv", lines[:num_rows], header)

    delivered(shop.root / "events", 12, "web")
    files = [delivered(tmp_path, 12, "app"), delivered(tmp_path, 13, "web")]
    assert f"{files[1]}: added 20 events of 2024-03-13\n" in add(*files)
    assert "is a part of the source already" in add(files[0])
    assert "is a part of the source already, as events/day=2024-03-12" in add(delivered(tmp_path, 12, "web"))
    assert "added 15 events of 2024-03-13, in place of" in add(delivered(tmp_path / "again", 13, "web", 15))
    add("--replace", delivered(tmp_path / "new", 12, "app", 10))
    events = read_source(read_settings(shop.params).source, shop.root, 0).events
    counts = events.groupby([events["timestamp"].dt.day, "channel"]).size()
    assert counts.to_dict() == {(12, "app"): 10, (12, "web"): 20, (13, "web"): 15}
    assert stored(shop) == ["part-0.csv"] * 2


def test_a_folder_that_says_what_rows_are_says_it_of_deliveries(shop: Layout, tmp_path: Path) -> None:
    source = {name: value for name, value in SOURCE.items() if name not in ("columns", "events")}
    configure(shop.root, source=source | {"file_events": {"clicks/*": "click"}})
    add(written(tmp_path / "clicks/14.csv", rows(14)))
    events = read_source(read_settings(shop.params).source, shop.root, 0).events
    assert events["event"].value_counts().to_dict() == {"purchase": 40, "click": 20}


def test_returned_pieces_of_a_later_file_lower_its_purchases(shop: Layout) -> None:
    header = "user_id,item_id,timestamp,qty,qty_refunded"
    lines = [f"u{row % 20},i{row % 5},2024-03-{12 + row // 40}T10:{row % 40}:00,3,{row % 4}" for row in range(80)]
    written(shop.root / "logs/log.csv", lines[:40], header)
    columns = {"quantity": "qty"}
    source = {"kind": "files", "paths": ["logs/*.csv"], "columns": columns, "returned": ["qty_refunded"]}
    configure(shop.root, source=source)
    add(str(written(shop.root / "day.csv", lines[40:], header)))
    events = read_source(read_settings(shop.params).source, shop.root, 0).events
    assert events.groupby(events["timestamp"].dt.day)["quantity"].sum().to_dict() == {12: 60.0, 13: 60.0}
    without = written(shop.root / "next.csv", ["u1,i1,2024-03-15T10:00:00,3"], "user_id,item_id,timestamp,qty")
    with pytest.raises(MissingColumnError, match=r"next\.csv: column 'qty_refunded' is missing"):
        add(str(without))
