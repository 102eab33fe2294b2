"""Commands work from any folder of a project, and what they read is JSON for programs."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner, Result

from flows.cli.main import app
from services.releases.pointer import Pointer
from tests.support.drifting_shop import copy_shop


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("folders") / "shop"
    copy_shop(folder)
    return folder


def tierrec(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result


def told(*arguments: str) -> Any:
    return json.loads(tierrec(*arguments, "--json").stdout)


def test_the_status_is_that_of_the_pointer_and_the_data(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shop / "data" / "package")
    found = told("status")
    pointer = Pointer.read(shop / "data/serving/pointer.json")
    assert (found["champion"], found["challenger"], found["share"]) == (pointer.champion.bento, None, 0.0)
    assert pd.Timestamp(found["champion_since"]) == pointer.history[0].at
    events = pd.read_parquet(shop / "data/prepared/events.parquet")
    assert pd.Timestamp(found["data_until"]) == events["timestamp"].max()
    assert found["stale"] == []
    assert found["last_run"]["seconds"] > 0
    shown = tierrec("status").stdout
    assert f"champion: {pointer.champion.bento}, since {pointer.history[0].at:%Y-%m-%d %H:%M}" in shown
    assert f"data until: {events['timestamp'].max():%Y-%m-%d %H:%M}" in shown


def test_a_folder_is_named_from_elsewhere(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert told("-C", str(shop / "data"), "status")["champion"]
    tierrec("-C", str(tmp_path / "none"), "status", code=2)


def test_readers_answer_in_json(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shop)
    champion = told("status")["champion"]
    assert {one["tag"]: one["role"] for one in told("releases")}[champion] == "champion 100%"
    assert told("decisions") == []
    assert told("experiments") == {}
    tierrec("keys", "add", "till", "--scope", "read")
    (key,) = told("keys", "list")
    assert (key["label"], key["scopes"], key["expires"]) == ("till", ["read"], None)
    assert "hash" not in key
    user = pd.read_parquet(shop / "data/prepared/events.parquet")["user_id"].iloc[0]
    listed = told("recommend", str(user), "-k", "3", "--explain")
    assert len(listed) == 3
    assert all(row["item_id"] and row["reasons"] for row in listed)
    assert [line.split()[1] for line in tierrec("recommend", str(user), "-k", "3").stdout.splitlines()] == [
        row["item_id"] for row in listed
    ]


@pytest.mark.parametrize(("given", "wanted"), [("day.csv", "data/inbox/day.csv"), ("../*.csv", "data/*.csv")])
def test_given_files_are_those_of_the_callers_folder(
    shop: Path, monkeypatch: pytest.MonkeyPatch, given: str, wanted: str
) -> None:
    inbox = shop / "data" / "inbox"
    inbox.mkdir(exist_ok=True)
    times = pd.date_range("2024-01-01", periods=200, freq="7h")
    rows = pd.DataFrame(
        {"user_id": [f"u{row % 20}" for row in range(200)], "item_id": [f"i{row % 9}" for row in range(200)]}
    )
    rows.assign(event="purchase", timestamp=times).to_csv(inbox / "day.csv", index=False)
    rows.assign(event="purchase", timestamp=times).to_csv(shop / "data" / "log.csv", index=False)
    monkeypatch.chdir(inbox)
    before = (shop / "params.yaml").read_text()
    tierrec("init", given, "--yes")
    assert YAML(typ="safe").load((shop / "params.yaml").read_text())["source"]["paths"] == [wanted]
    (shop / "params.yaml").write_text(before)


def test_the_version_is_that_of_the_package() -> None:
    assert tierrec("--version").stdout == f"tierrec {version('tierrec')}\n"


def test_every_command_is_in_a_panel() -> None:
    shown = tierrec("--help").stdout
    for panel in ("Start", "Models", "Serve", "Loop", "Operate"):
        assert f" {panel} " in shown
    assert " Commands " not in shown
