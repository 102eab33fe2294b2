"""The tiny world of conftest.py as a project whose stages have run up to evaluate, so that it can be packaged."""

import hashlib
import importlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
from ruamel.yaml import YAML

from services.deployment.package import write_bundle
from tests.conftest import make_events
from tests.support.once import once
from tests.support.projects import ENV, ROOT, write_prepared
from tierrec_core.base import artifacts
from tierrec_core.base.contracts import EXPOSURES, USERS
from tierrec_core.base.paths import Layout
from tierrec_core.bundle.bundle import Bundle
from tierrec_core.settings import Settings, read_settings

MODELS = ("popularity", "tifu_knn", "ease", "als")
PROMOTED = ("i03", "i13", "i23")
BEFORE = ("split", "tier", "churn", "campaigns")
AFTER = ("retrieve", "blend", "evaluate")
_WINDOWS = {"horizon_days": 14, "windows": 2, "step_days": 14}
PARAMS: dict[str, Any] = {
    "split": {"by": {"kind": "time", "cut": 0.8}, "min_users_per_item": 2},
    "tasks": {"next": _WINDOWS | {"repeats": True}, "discovery": _WINDOWS | {"repeats": False}},
    "tiers": {"num_layers": 4, "bootstraps": 3},
    "models": {name: {"kind": name} for name in MODELS},
    "blend": {task: {"num_trees": 20, "num_threads": 1} for task in ("next", "discovery")},
    "evaluate": {"bootstraps": 20, "min_group_users": 1},
    "package": {"smoke_users": 20},
}


def judged_project(folder: Path, items: pd.DataFrame, **params: Any) -> tuple[Layout, Settings]:
    """Run split to evaluate in the folder; params replace sections of params.yaml.

    A project of the same params is trained once in a test run and copied afterwards.
    """
    key = hashlib.sha256(repr((sorted(params.items()), len(items))).encode()).hexdigest()[:16]
    trained = once(folder, f"judged-{key}", lambda place: _train(place, items, params))
    shutil.copytree(trained, folder, dirs_exist_ok=True)
    layout = Layout(folder)
    return layout, read_settings(layout.params)


def _train(folder: Path, items: pd.DataFrame, params: dict[str, Any]) -> None:
    layout = Layout(folder)
    with layout.params.open("w") as stream:
        YAML().dump(PARAMS | params, stream)
    settings = read_settings(layout.params)
    events = make_events()
    users = pd.DataFrame({"user_id": events["user_id"].unique()})
    write_prepared(layout, events)
    artifacts.write_frame(items, layout.raw_items)
    artifacts.write_frame(USERS.conform(users, "tests"), layout.raw_users)
    artifacts.write_frame(_promotions(events), layout.raw_exposures)
    for stage in (*BEFORE, *(f"train {name}" for name in MODELS), *AFTER):
        module, *names = stage.split()
        importlib.import_module(f"tierrec_core.stages.{module}").run(layout, settings, *names)


def _promotions(events: pd.DataFrame) -> pd.DataFrame:
    """Three items are on display every week."""
    weeks = pd.date_range(events["timestamp"].min().floor("D"), events["timestamp"].max(), freq="7D")
    rows = [(item, week, 0.5, 0.0) for item in PROMOTED for week in weeks]
    return EXPOSURES.conform(pd.DataFrame(rows, columns=["item_id", "week", "display", "mailer"]), "tests")


def ranked_lists(folder: Path, task: str, k: int = 20) -> dict[str, list[str]]:
    """Ids of the first k items that a saved bundle ranks for each known user."""
    bundle = Bundle.load(folder)
    ids, lists = bundle.history.items.to_numpy(), bundle.recommend(task, bundle.history, k).items
    return {user: ids[items[items >= 0]].tolist() for user, items in zip(bundle.history.users, lists, strict=True)}


def packed_bundle(folder: Path, items: pd.DataFrame, **params: Any) -> Path:
    """The bundle of a judged project, with its pack: what a Bento carries as its model."""
    layout, settings = judged_project(folder, items, **params)
    write_bundle(layout, settings)
    return layout.bundle


def packaged_project(folder: Path, items: pd.DataFrame) -> Layout:
    """A judged project in git, with the code and a packaged Bento; made once in a test run and copied afterwards."""
    shutil.copytree(once(folder, "packaged", lambda place: _package(place, items)), folder, dirs_exist_ok=True)
    return Layout(folder)


def _package(folder: Path, items: pd.DataFrame) -> None:
    judged_project(folder, items)
    add_code(folder)
    for words in ("init -q", "add params.yaml", "-c user.name=a -c user.email=a@b commit -qm first"):
        subprocess.run(["git", *words.split()], cwd=folder, check=True)
    command = [sys.executable, "-m", "services", "package"]
    done = subprocess.run(command, cwd=folder, env=ENV, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def add_code(folder: Path) -> None:
    """Put our own rooms, graph and constraints into a project, as a clone would have them."""
    for room in ("tierrec_core", "services"):
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("*.pyc.*"))
    for name in ("dvc.yaml", "constraints.txt"):
        shutil.copy(ROOT / name, folder)
