"""Projects that tests make in a folder of their own: a toy graph of shell stages, and a small synthetic world."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from ruamel.yaml import YAML

from tests.support.once import once
from tierrec_core.base.artifacts import write_frame
from tierrec_core.base.paths import Layout
from tierrec_core.settings import Settings
from tierrec_core.stage_code import write_code_versions
from tierrec_core.stages import split, tier

ROOT = Path(__file__).parents[2]
BIN = Path(sys.prefix) / "bin"
ENV = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1", "DVC_NO_ANALYTICS": "1"}
MODELS = ("popularity", "tifu_knn", "ease")


def command(
    folder: Path, *arguments: str, timeout: float = 300, env: Mapping[str, str] = ENV
) -> subprocess.CompletedProcess[str]:
    """Run a program of this environment in the folder and hand back what it said."""
    program = [str(BIN / arguments[0]), *arguments[1:]]
    return subprocess.run(program, cwd=folder, env=dict(env), capture_output=True, text=True, timeout=timeout)


def migrate_prefect(home: Path) -> None:
    """Make the folder a PREFECT_HOME with an empty database, whose slow migrations ran once in this test run."""
    if not (home / "prefect.db").exists():
        shutil.copytree(once(home, "prefect", _migrate), home, dirs_exist_ok=True)


def _migrate(home: Path) -> None:
    upgrade = ("prefect", "server", "database", "upgrade", "--yes")
    command(home, *upgrade, env=ENV | {"PREFECT_HOME": str(home)}).check_returncode()


def _init(folder: Path) -> Path:
    """Make the folder a repository of git and DVC, a copy of the one that was made in this test run."""
    shutil.copytree(once(folder, "repository", _init_repository), folder, dirs_exist_ok=True)
    return folder


def _init_repository(folder: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    command(folder, "dvc", "init", "-q").check_returncode()
    shutil.copy(ROOT / ".dvcignore", folder)


def toy_project(folder: Path, dvc_yaml: str) -> Path:
    """A project whose stages are shell commands, with a valid params.yaml."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "params.yaml", folder)
    (folder / "dvc.yaml").write_text(dvc_yaml)
    return _init(folder)


def synthetic_project(folder: Path) -> Path:
    """Our own graph on 150 made users and three fast models."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("dvc.yaml", "params.yaml", "constraints.txt", "prefect.yaml"):
        shutil.copy(ROOT / name, folder)
    # With the compiled modules, but not the half-written ones of other processes.
    for room in ("tierrec_core", "monitoring", "services", "flows"):
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("*.pyc.*"))
    (folder / "data" / "feedback").mkdir(parents=True)
    (folder / "data" / "feedback" / ".gitkeep").touch()
    yaml = YAML()
    params = yaml.load((folder / "params.yaml").read_text())
    params["source"] = {"kind": "synthetic", "num_users": 150, "num_items": 80}
    params["split"] = {"by": {"kind": "time", "cut": 0.8}, "min_users_per_item": 2, "target": ["purchase"]}
    window = {"horizon_days": 14, "windows": 2, "step_days": 14}
    params["tasks"] = {"next": window | {"repeats": True}, "discovery": window | {"repeats": False}}
    params["tiers"] = {"num_layers": 4, "bootstraps": 3}
    params["models"] = {name: {"kind": name} for name in MODELS}
    params["blend"] = {task: {"num_trees": 20, "num_threads": 1} for task in ("next", "discovery")}
    params["evaluate"] = {"bootstraps": 50}
    params["retrieve"] = {}
    with (folder / "params.yaml").open("w") as stream:
        yaml.dump(params, stream)
    migrate_prefect(folder / ".prefect")
    return _init(folder)


def pretend_run(project: Path) -> None:
    """Make dvc.lock say that every stage of our graph has run on today's code, without running any."""
    yaml = YAML(typ="safe")
    models = yaml.load((project / "params.yaml").read_text())["models"]
    for block in yaml.load((project / "dvc.yaml").read_text())["stages"].values():
        body = block.get("do", block)
        results = [*body["outs"], *map(next, map(iter, body.get("metrics", ()))), *body.get("plots", ())]
        for path in (*results, *(dep for dep in body.get("deps", ()) if dep.startswith("data/"))):
            for model in models if "${key}" in path else ("",):
                file = project / path.replace("${key}", model)
                file = file if file.suffix else file / "part.json"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text("{}")
    write_code_versions(project)
    command(project, "dvc", "commit", "--force", "-q").check_returncode()


def write_prepared(layout: Layout, events: pd.DataFrame) -> None:
    """What the stage prepare writes for a log without guests."""
    write_frame(events, layout.prepared_events)
    write_frame(events[:0], layout.prepared_guests)


def tiered_project(folder: Path, events: pd.DataFrame, items: pd.DataFrame, settings: Settings) -> Layout:
    """Only data: prepared EVENTS and ITEMS, split and tiered as the settings say."""
    layout = Layout(folder)
    write_prepared(layout, events)
    write_frame(items, layout.raw_items)
    split.run(layout, settings)
    tier.run(layout, settings)
    return layout
