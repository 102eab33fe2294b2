"""`tierrec forget`: a user of the log, deliveries, the store and the quarantine is erased, and proved to be gone."""

import gzip
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from flows.graph.dvc_graph import find_stale_stages
from flows.project.snapshots import record_snapshot
from services.store import Impression, NewEvent, PostedUser, Store
from services.store.export import export_for_ingest
from tests.support.commands import tierrec
from tests.support.drifting_shop import configure
from tests.support.once import once
from tests.support.postgres import new_schema
from tests.support.projects import ENV, ROOT, command, toy_project
from tierrec_core.base.errors import DataError, SettingsError
from tierrec_core.base.paths import Layout
from tierrec_core.sources.input_files.forgotten import ForgottenUsers

pytest_plugins = ["tests.support.stores"]

ANN, BOB = "ann@example.org", "customer-2"
STAGE = f"cmd: PYTHONPATH='{ROOT}' python -m"
FORGOTTEN = f"""
stages:
  source: {{{STAGE} tierrec_core source, always_changed: true, params: [source], outs: [data/source.json]}}
  ingest: {{{STAGE} tierrec_core ingest, params: [source], deps: [data/source.json, data/feedback],
           outs: [data/raw]}}
  validate: {{{STAGE} monitoring validate, params: [validate], deps: [data/raw],
             outs: [data/validation/report.json, data/validation/events.parquet, data/quarantine]}}
  prepare: {{{STAGE} tierrec_core prepare, params: [prepare], deps: [data/validation/events.parquet],
            outs: [data/prepared]}}
"""
HEADER = "user_id,item_id,timestamp,event,value"
SOURCE = {
    "kind": "files",
    "paths": ["log.csv"],
    "columns": {"event": "event", "value": "value"},
    "users_path": "users.csv",
    "feedback": True,
}


def rows(day: int, users: tuple[str, ...]) -> list[str]:
    return [f"{user},i{number % 5},2024-03-{day:02}T10:{number:02}:00,view,1.5" for number, user in enumerate(users)]


OTHERS = tuple(f"customer-{number}" for number in range(20))


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join([HEADER, *lines]) + "\n")
    return path


def event(user: str) -> NewEvent:
    at = datetime(2024, 3, 4, 12, tzinfo=UTC)
    return NewEvent(key=f"{user} posted", user_id=user, item_id="i1", event="purchase", timestamp=at)


def impression(user: str) -> Impression:
    shown = {"surface": "products", "items": ("i1",), "path": "blend", "model_version": "m"}
    return Impression(request_id=f"r {user}", user_id=user, at=datetime(2024, 3, 4, 12, tzinfo=UTC), **shown)


def post(store: Store, *users: str) -> None:
    store.add_events([event(user) for user in users])
    store.add_impressions([impression(user) for user in users])
    store.put_users([PostedUser(user, {"plan": "gold"}) for user in users])


def make_shop(folder: Path) -> None:
    """Ann is in the log, its table of users, two deliveries, the store, its export, a backup and the quarantine."""
    toy_project(folder, FORGOTTEN)
    (folder / ".gitignore").write_text("/data/**\n/users.csv\n")
    configure(folder, source=SOURCE, validate={"max_bad_share": 0.2})
    broken = f"{ANN},i4,2024-03-01T11:00:00,view,-5"  # a negative value goes to quarantine
    write(folder / "log.csv", [*rows(1, (*OTHERS, ANN)), broken])
    (folder / "users.csv").write_text(f"user_id,plan\n{ANN},gold\n{BOB},free\n")
    layout = Layout(folder)
    given = folder.parent / "given"
    given.mkdir()
    (given / "day.csv.gz").write_bytes(gzip.compress(write(given / "day.csv", rows(2, (ANN, *OTHERS))).read_bytes()))
    pd.read_csv(write(given / "day.csv", rows(3, (*OTHERS, ANN)))).to_parquet(given / "day.parquet")
    write(given / "hers.csv", rows(5, (ANN,)))
    tierrec("add", *(given / name for name in ("day.csv.gz", "day.parquet", "hers.csv")), folder=folder)
    layout.serving.mkdir(parents=True)
    store = Store.open(f"sqlite:///{layout.serving / 'feedback.db'}")
    post(store, ANN, BOB)
    export_for_ingest(store, layout.feedback)
    store.close()
    shutil.copytree(layout.feedback, layout.loop / "retrains" / "asked-before" / "data" / "feedback")
    command(folder, "dvc", "repro").check_returncode()
    record_snapshot(folder, "release", "refs/tierrec/releases/first", also=["dvc.lock", "log.csv"])  # as 0.1 did
    page = layout.loop / "windows" / "2024-03-04-a" / "index.html"
    page.parent.mkdir(parents=True)
    page.write_text(f"<td>{ANN}</td>")


@pytest.fixture
def shop(tmp_path: Path) -> Layout:
    shutil.copytree(once(tmp_path, "forget", lambda place: make_shop(place / "shop")), tmp_path, dirs_exist_ok=True)
    return Layout(tmp_path / "shop")


def repro(shop: Layout, *stages: str) -> None:
    command(shop.root, "dvc", "repro", *stages).check_returncode()


def frames(shop: Layout) -> dict[str, pd.DataFrame]:
    paths = (shop.raw_events, shop.raw_users, shop.raw_items, shop.prepared_events, shop.quarantine)
    return {str(path.relative_to(shop.root)): pd.read_parquet(path) for path in paths}


def remove_from_own_files(shop: Layout) -> None:
    """What the shop owes: its log and its table of users, which tierrec does not touch."""
    for name in ("log.csv", "users.csv"):
        path = shop.root / name
        path.write_text("".join(line for line in path.read_text().splitlines(True) if not line.startswith(ANN)))


def test_verify_names_every_place_before_the_user_is_forgotten(shop: Layout) -> None:
    said = tierrec("forget", ANN, "--verify", folder=shop.root, code=1)
    for place in (
        "  log.csv:",
        "  users.csv:",
        "/day.csv.gz: gzip:",
        "/day.parquet: column user_id",
        "/hers.csv:",
        "data/serving/feedback.db",
        "data/feedback/events.parquet: column user_id",
        "data/feedback/users.parquet",
        "asked-before/data/feedback/events.parquet",
        "data/raw/events.parquet",
        "data/raw/users.parquet",
        "data/quarantine/events.parquet",
        "data/validation/events.parquet",
        "data/prepared/events.parquet",
        ".dvc/cache/files/md5/",
        "data/loop/windows/2024-03-04-a/index.html",
        "(log.csv): text",
    ):
        assert place in said, place
    assert "data/raw/items.parquet" not in said


def test_a_forgotten_user_is_gone_after_a_run_and_the_others_are_unchanged(shop: Layout) -> None:
    before = frames(shop)
    assert any((frame["user_id"] == ANN).any() for name, frame in before.items() if "quarantine" in name)
    said = tierrec("forget", "Ann@Example.org ", folder=shop.root)
    assert "1 events, 1 impressions and 1 users erased" in said
    assert "hers.csv: 1 rows erased; none was left" in said
    assert said.count("day.csv.gz: 1 rows erased") == 1
    assert find_stale_stages(shop.root) >= {"source"}
    with pytest.raises(SettingsError, match="run `tierrec run` first"):
        tierrec("forget", ANN, "--clean", folder=shop.root)
    repro(shop)
    assert find_stale_stages(shop.root) == set()
    for name, frame in frames(shop).items():
        others = before[name]
        others = others[others["user_id"] != ANN] if "user_id" in others else others
        pd.testing.assert_frame_equal(frame, others.reset_index(drop=True))
    remove_from_own_files(shop)
    repro(shop)
    left = tierrec("forget", ANN, "--clean", folder=shop.root, code=1)
    assert "refs/tierrec/releases/first: deleted" in left
    assert "git gc --prune=now:" in left
    subprocess.run(["git", "gc", "-q", "--prune=now"], cwd=shop.root, check=True)
    assert "no trace in" in tierrec("forget", ANN, "--verify", folder=shop.root)


def test_a_user_who_is_delivered_again_does_not_come_back(shop: Layout, tmp_path: Path) -> None:
    tierrec("forget", ANN, folder=shop.root)
    tierrec("add", write(tmp_path / "late.csv", rows(6, (ANN, *OTHERS))), folder=shop.root)
    repro(shop, "ingest")
    for frame in map(pd.read_parquet, (shop.raw_events, shop.raw_users)):
        assert not frame.astype("string").eq(ANN).any(axis=None)
    assert "late.csv" in tierrec("forget", ANN, "--verify", folder=shop.root, code=1)
    assert "late.csv: 1 rows erased" in tierrec("forget", ANN, folder=shop.root)


def test_an_unknown_user_is_told_so_and_nothing_changes(shop: Layout) -> None:
    """A file that cannot be read makes nobody known."""
    (shop.data / "notes.gz").write_bytes(b"\x1f\x8b damaged")
    with pytest.raises(DataError, match=r"'nobody@example\.org' is nowhere in"):
        tierrec("forget", "nobody@example.org", folder=shop.root)
    assert not shop.forgotten_list.parent.exists()
    assert find_stale_stages(shop.root) == set()


def test_a_guest_is_no_user(shop: Layout) -> None:
    configure(shop.root, source=SOURCE | {"guests": [BOB]})
    with pytest.raises(DataError, match="stands for many people"):
        tierrec("forget", BOB, folder=shop.root)


STEPS = """
import sys, os
from flows.privacy.erasure import forget_user
from tierrec_core.base.paths import Layout
from tierrec_core.settings import read_settings
from pathlib import Path
layout = Layout(Path.cwd())
for number, line in enumerate(forget_user(layout, read_settings(layout.params), sys.argv[1])):
    if number == int(sys.argv[2]):
        os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("step", [pytest.param(0, marks=pytest.mark.slow), 3])
def test_a_call_that_was_killed_between_steps_is_called_again(shop: Layout, step: int) -> None:
    arguments = [sys.executable, "-c", STEPS, ANN, str(step)]
    killed = subprocess.run(arguments, cwd=shop.root, env=ENV | {"PYTHONPATH": str(ROOT)}, capture_output=True)
    assert killed.returncode == -9, killed.stderr
    assert ANN in ForgottenUsers.read(shop)
    left = tierrec("forget", ANN, folder=shop.root)
    assert not any(line.startswith(f"tierrec forget {ANN}:") for line in left.splitlines()), left


def test_lines_that_cannot_be_taken_out_safely_are_named(shop: Layout, tmp_path: Path) -> None:
    """A cell with a line end: the lines of the file are not its rows."""
    path = tmp_path / "notes.csv"
    path.write_text(
        f'{HEADER},note\n{ANN},i2,2024-03-07T11:00:00,view,1,c\n{BOB},i1,2024-03-07T10:00:00,view,1,"a\nb"\n'
    )
    tierrec("add", path, folder=shop.root)
    said = tierrec("forget", ANN, folder=shop.root)
    assert "notes.csv: NOT changed, since its rows are not lines of their own" in said
    assert next(shop.deliveries.glob("*/notes.csv")).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("form", ["utf-16.csv", "rows.jsonl", "day.csv.zst"])
def test_deliveries_of_other_formats_are_rewritten(shop: Layout, tmp_path: Path, form: str) -> None:
    lines, path = rows(8, (*OTHERS, ANN, BOB)), tmp_path / form
    text = "\n".join([HEADER, *lines]) + "\n"
    if form == "rows.jsonl":
        names = HEADER.split(",")
        text = "".join(
            "{" + ", ".join(f'"{n}": "{c}"' for n, c in zip(names, line.split(","), strict=True)) + "}\n"
            for line in lines
        )
    encoded = text.encode("utf-16" if form == "utf-16.csv" else "utf-8")
    path.write_bytes(pa.compress(encoded, codec="zstd", asbytes=True) if form.endswith("zst") else encoded)
    tierrec("add", path, folder=shop.root)
    assert f"{form}: 1 rows erased" in tierrec("forget", ANN, folder=shop.root)
    assert f"/{form}" not in tierrec("forget", ANN, "--verify", folder=shop.root, code=1)


def test_a_store_on_postgresql_is_searched_and_erased(
    shop: Layout, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = new_schema(postgres)
    monkeypatch.setenv("TIERREC_STORE", url)
    store = Store.open(url)
    post(store, ANN, BOB)
    assert "feedback store: table events, column user_id" in tierrec(
        "forget", ANN, "--verify", folder=shop.root, code=1
    )
    tierrec("forget", ANN, folder=shop.root)
    assert "feedback store" not in tierrec("forget", ANN, "--verify", folder=shop.root, code=1)
    assert [row.user_id for row in store.events_after(0, 9)] == [BOB]
    store.close()


def test_a_short_id_is_looked_for_where_users_are(shop: Layout) -> None:
    """Items and numbers that equal it are none of the user's."""
    configure(shop.root, source=SOURCE | {"feedback": False})
    with (shop.root / "log.csv").open("a") as log:
        log.write("i4,7,2024-03-01T12:00:00,view,7\n7,i4,2024-03-01T12:30:00,view,7\n")
    repro(shop, "ingest")
    said = tierrec("forget", "7", "--verify", folder=shop.root, code=1)
    assert "data/raw/events.parquet: column user_id" in said
    assert "data/raw/items.parquet" not in said
    tierrec("forget", "7", folder=shop.root)
    repro(shop, "ingest")
    said = tierrec("forget", "7", "--verify", folder=shop.root, code=1)
    assert "data/raw" not in said
    assert "columns and keys of users" in said
    assert "params.yaml" in said.partition("not decided:")[2]
