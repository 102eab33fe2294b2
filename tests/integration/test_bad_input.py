"""Bad input ends a stage with exit code 2 and one to three lines that name the place and the remedy."""

import resource
import subprocess
import sys

import pandas as pd
import pytest
from ruamel.yaml import YAML

from tests.project import ENV, ROOT

GOOD = [f"u{n % 7},i{n % 5},{1_700_000_000 + n * 9_000},view" for n in range(300)]
TASK = {"horizon_days": 2, "repeats": True, "windows": 1, "step_days": 2}
HEADER = "user_id,item_id,timestamp,kind"


def project(folder, rows=GOOD, header=HEADER, **params):
    (folder / "log.csv").write_text("\n".join([header, *rows]) + "\n")
    source = {"kind": "files", "paths": ["log.csv"], "columns": {"event": "kind"}}
    base = {"source": source, "tasks": {"next": TASK}, "models": {"popularity": {"kind": "popularity"}}}
    with (folder / "params.yaml").open("w") as stream:
        YAML().dump(base | params, stream)


def stage(folder, *arguments, **knobs):
    """Run a stage as a process; the packages come from the checkout, the project is the folder."""
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        env=ENV | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        **knobs,
    )


def assert_refused(done, *words):
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert 1 <= len(done.stderr.strip().splitlines()) <= 3
    assert all(word in done.stderr for word in words), done.stderr


@pytest.mark.parametrize(
    ("rows", "header", "words"),
    [
        (["i,1,view"], "item_id,timestamp,kind", ["log.csv", "user_id", "source.columns.user"]),
        (["u,i,1,dance"], HEADER, ["log.csv", "dance", "source.events"]),
        (["u,i,nope,view"], HEADER, ["log.csv", "nope", "source.columns.timestamp"]),
        (["u,i,2024-01-01,view", "u,i,2024-01-01T00:00:00Z,view"], HEADER, ["log.csv", "source.timezone"]),
        ([], HEADER, ["log.csv", "source.paths"]),
    ],
)
def test_a_bad_file_is_refused(tmp_path, rows, header, words):
    project(tmp_path, rows, header)
    assert_refused(stage(tmp_path, "tierrec_core", "ingest"), *words)
    assert not [path for path in (tmp_path / "data").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"prepare": {"session_gap_minute": 3}}, ["prepare.session_gap_minute:", "'session_gap_minutes'"]),
        ({"prepare": {"session_gap_minutes": -1}}, ["session_gap_minutes"]),
        ({"models": {"x": {"kind": "nonesuch"}}}, ["nonesuch"]),
    ],
)
def test_bad_params_are_refused(tmp_path, params, words):
    project(tmp_path, **params)
    assert_refused(stage(tmp_path, "tierrec_core", "ingest"), "params.yaml", *words)


def test_no_user_is_left(tmp_path):
    project(tmp_path, prepare={"min_events_per_user": 1000})
    for name in (("tierrec_core", "ingest"), ("monitoring", "validate")):
        done = stage(tmp_path, *name)
        assert done.returncode == 0, done.stderr
    assert_refused(stage(tmp_path, "tierrec_core", "prepare"), "prepare.min_events_per_user")


def test_odd_ids_come_through(tmp_path):
    ids = ["ü", "../x", "=cmd", "007", "x" * 200]
    project(tmp_path, [*GOOD, *(f"{name},{name},1700000000,view" for name in ids)])
    assert stage(tmp_path, "tierrec_core", "ingest").returncode == 0
    assert set(ids) <= set(pd.read_parquet(tmp_path / "data/raw/events.parquet")["user_id"])


def test_a_full_disk_leaves_the_old_file(tmp_path):
    project(tmp_path)
    assert stage(tmp_path, "tierrec_core", "ingest").returncode == 0
    old = (tmp_path / "data/raw/events.parquet").read_bytes()
    project(tmp_path, [*GOOD, *(f"new{n},i,1700000000,view" for n in range(5000))])
    full = stage(
        tmp_path,
        "tierrec_core",
        "ingest",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)),
    )
    assert full.returncode != 0
    assert (tmp_path / "data/raw/events.parquet").read_bytes() == old
