"""Bad input ends a stage with exit code 2 and one to three lines that name the place and the remedy."""

import contextlib
import importlib
import io
import resource
import subprocess
import sys
import warnings
from functools import partial

import pandas as pd
import pytest
from ruamel.yaml import YAML

from tests.support.projects import ENV, ROOT, write_prepared
from tierrec_core.base.artifacts import read_json, write_frame
from tierrec_core.base.contracts import EVENTS, ITEMS
from tierrec_core.base.paths import Layout

START = 1_700_000_000
GOOD = [f"u{n % 7},i{n % 5},{START + n * 9_000},view,1" for n in range(300)]
HEADER = "user_id,item_id,timestamp,kind,paid"
TASK = {"horizon_days": 2, "repeats": True, "windows": 1, "step_days": 2}
FULL = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (2000, 2000))


def project(folder, rows=GOOD, header=HEADER, **params):
    (folder / "log.csv").write_text("\n".join([header, *rows]) + "\n")
    source = {"kind": "files", "paths": ["log.csv"], "columns": {"event": "kind", "value": "paid"}}
    split = {"min_users_per_item": 2, "target": ["view"]}
    models = {"popularity": {"kind": "popularity"}}
    base = {"source": source, "tasks": {"next": TASK}, "split": split, "models": models}
    with (folder / "params.yaml").open("w") as stream:
        YAML().dump(base | params, stream)
    return Layout(folder)


def stage(folder, package, *arguments):
    """Run a stage as `python -m` does, but in this process; a warning, which would be a line more, is an error."""
    said = io.StringIO()
    program = importlib.import_module(f"{package}.__main__")
    with contextlib.chdir(folder), contextlib.redirect_stderr(said), warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", DeprecationWarning)
        code = program.main(list(arguments))
    return subprocess.CompletedProcess(arguments, code, stderr=said.getvalue())


def stage_on_a_full_disk(folder, *arguments):
    """Run a stage as a process; the packages come from the checkout, the project is the folder."""
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        env=ENV | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=FULL,
    )


def assert_well(done):
    assert done.returncode == 0, done.stderr


def assert_refused(done, *words):
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert 1 <= len(done.stderr.strip().splitlines()) <= 3, done.stderr
    assert [word for word in words if word not in done.stderr] == [], done.stderr


def files_in(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


BAD_FILES = {
    "missing column": (["i,1,view,1"], "item_id,timestamp,kind,paid", ["'user_id'", "source.columns.user"]),
    "unknown event": (["u,i,1,dance,1"], HEADER, ["'dance'", "source.events"]),
    "no time": (["u,i,nope,view,1"], HEADER, ["'timestamp', row 1", "'nope'", "source.columns.timestamp"]),
    "mixed timezones": (
        ["u,i,2024-01-01,view,1", "u,i,2024-01-01T00:00:00Z,view,1"],
        HEADER,
        ["'timestamp'", "2024-01-01T00:00:00Z", "source.timezone"],
    ),
    "no number": (["u,i,1,view,dear"], HEADER, ["'paid', row 1", "'dear'", "source.columns.value"]),
    "no rows": ([], HEADER, ["no rows", "source.paths"]),
}


@pytest.mark.parametrize(("rows", "header", "words"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_file_is_refused(tmp_path, rows, header, words):
    layout = project(tmp_path, rows, header)
    assert_refused(stage(tmp_path, "tierrec_core", "ingest"), "log.csv", *words)
    assert not files_in(layout.data)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [("log.csv", b"", ["is empty"]), ("log.parquet", b"PAR1 torn PAR1", ["cannot be read"])],
)
def test_an_unreadable_file_is_refused(tmp_path, name, content, words):
    layout = project(tmp_path, source={"kind": "files", "paths": [name]})
    (tmp_path / name).write_bytes(content)
    assert_refused(stage(tmp_path, "tierrec_core", "ingest"), name, "source.paths", *words)
    assert not files_in(layout.data)


BAD_PARAMS = {
    "unknown key": ({"prepare": {"session_gap": 3}}, ["prepare.session_gap:", "'session_gap_minutes'"]),
    "out of range": (
        {"prepare": {"session_gap_minutes": -1}},
        ["prepare.session_gap_minutes:", "greater than 0", "-1"],
    ),
    "unknown kind of source": ({"source": {"kind": "fils"}}, ["source:", "'files'"]),
}


@pytest.mark.parametrize(("params", "words"), BAD_PARAMS.values(), ids=BAD_PARAMS)
def test_bad_params_are_refused(tmp_path, params, words):
    project(tmp_path, **params)
    assert_refused(stage(tmp_path, "tierrec_core", "ingest"), "params.yaml", *words)


def test_an_unknown_kind_of_model_is_refused(tmp_path):
    project(tmp_path, models={"mine": {"kind": "populariti"}})
    done = stage(tmp_path, "tierrec_core", "train", "mine")
    assert_refused(done, "params.yaml", "'populariti'", "did you mean 'popularity'?")


LONG = "x" * 300
ODD_IDS = ["ü", "../x", "=cmd", "007", "12", "1.5"]
BAD_ROWS = {
    f"{LONG},i0,{START},view,1": "user_id_length",
    f"u0,{LONG},{START},view,1": "item_id_length",
    f",i0,{START},view,1": "user_id_not_null",
    f"u0,i0,{START},view,NAN": "value_finite",
    f"u1,i0,{START},view,inf": "value_finite",
    f"u2,i0,{START},view,-3": "value_not_negative",
    "u3,i0,5,view,1": "timestamp_in_range",
    "u4,i0,0000-00-00 00:00:00,view,1": "timestamp_not_null",
}


def test_odd_rows_go_on_or_into_quarantine_and_duplicates_and_bots_are_dropped(tmp_path):
    odd = [f"{name},{name},{START + 77},view,1" for name in ODD_IDS]
    bot = [f"bot,i{n % 5},{START + n},view,1" for n in range(10_000)]
    layout = project(tmp_path, [*GOOD, *GOOD, *odd, *bot, *BAD_ROWS])
    assert_well(stage(tmp_path, "tierrec_core", "ingest"))
    assert_well(stage(tmp_path, "monitoring", "validate"))
    assert_well(stage(tmp_path, "tierrec_core", "prepare"))
    quarantine = pd.read_parquet(layout.quarantine)
    assert sorted(quarantine["reason"]) == sorted(BAD_ROWS.values())
    prepared = pd.read_parquet(layout.prepared_events)
    users = {f"u{n}" for n in range(7)}
    assert set(prepared["user_id"]) == users | set(ODD_IDS)
    assert len(prepared) == len(GOOD) + len(ODD_IDS)
    report = read_json(layout.preparation)
    assert (report["duplicates"], report["bot_users"], report["bot_events"]) == (len(GOOD), 1, 10_000)


def test_the_gate_refuses_a_log_of_bad_rows(tmp_path):
    layout = project(tmp_path, [*GOOD, *(row.replace(",1", ",-1") for row in GOOD[:50])])
    assert_well(stage(tmp_path, "tierrec_core", "ingest"))
    words = ["bad_share", "value_not_negative", "validate.max_bad_share", str(layout.quarantine)]
    assert_refused(stage(tmp_path, "monitoring", "validate"), *words)
    assert not layout.valid_events.exists()


def events(users=7, items=5, kind="view"):
    rows = range(300)
    frame = pd.DataFrame(
        {
            "user_id": [f"u{n % users}" for n in rows],
            "item_id": [f"i{n % items}" for n in rows],
            "event": kind,
            "timestamp": [pd.Timestamp(START + n * 9_000, unit="s", tz="UTC") for n in rows],
        }
    )
    return EVENTS.conform(frame, "tests")


def handed_over(layout, log):
    """What the stages before prepare and split would have written."""
    items = pd.DataFrame({"item_id": log["item_id"].unique()})
    write_frame(ITEMS.conform(items, "tests"), layout.raw_items)
    write_frame(log, layout.valid_events)
    write_prepared(layout, log)


def test_no_user_is_left(tmp_path):
    layout = project(tmp_path, prepare={"min_events_per_user": 1000})
    handed_over(layout, events())
    before = files_in(layout.data)
    assert_refused(stage(tmp_path, "tierrec_core", "prepare"), "none of 300", "prepare.min_events_per_user")
    assert files_in(layout.data) == before


WORLDS = {
    "no event in the test window": (
        pd.concat([events()[:270], events(kind="click")[270:]]),
        ["'next'", "split.by.cut", "tasks.next.horizon_days", "split.target"],
    ),
    "one user": (events(users=1), ["split.min_users_per_item"]),
    "one item": (events(items=1), ["1 of 1 items", "wanted at least 2"]),
}


@pytest.mark.parametrize(("log", "words"), WORLDS.values(), ids=WORLDS)
def test_a_world_too_small_to_judge_is_refused(tmp_path, log, words):
    layout = project(tmp_path, split={"by": {"cut": 0.95, "kind": "time"}, "min_users_per_item": 2, "target": ["view"]})
    handed_over(layout, log)
    assert_refused(stage(tmp_path, "tierrec_core", "split"), "split", *words)
    assert not layout.split.exists()


@pytest.mark.slow
def test_a_full_disk_leaves_the_old_artefacts(tmp_path):
    layout = project(tmp_path)
    handed_over(layout, events())
    for name in ("ingest", "split"):
        assert_well(stage(tmp_path, "tierrec_core", name))
    old = {path: path.read_bytes() for path in files_in(layout.data)}
    project(tmp_path, [*GOOD, *(f"new{n},i,{START},view,1" for n in range(500))])
    for name, place in (("ingest", layout.raw_events), ("split", layout.split)):
        done = stage_on_a_full_disk(tmp_path, "tierrec_core", name)
        assert_refused(done, str(place), "cannot be written", "free disk space")
    assert {path: path.read_bytes() for path in files_in(layout.data)} == old
    assert not list(layout.data.rglob(".*"))


def test_a_torn_artefact_is_refused(tmp_path):
    layout = project(tmp_path)
    handed_over(layout, events())
    torn = layout.prepared_events.read_bytes()[:-100]
    layout.prepared_events.write_bytes(torn)
    assert_refused(stage(tmp_path, "tierrec_core", "split"), str(layout.prepared_events), "run the stage")
