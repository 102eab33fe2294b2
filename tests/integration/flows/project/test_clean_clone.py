"""A run of the demo leaves a clone of the repository clean: git ignores the results and DVC still accepts its lock."""

import subprocess
from pathlib import Path

from ruamel.yaml import YAML

from tests.support.projects import ROOT, command
from tierrec_core.stage_code import write_code_versions


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


def test_results_of_a_run_leave_git_status_clean(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(ROOT), str(clone))
    stages = YAML(typ="safe").load((clone / "dvc.yaml").read_text())["stages"]
    for block in stages.values():
        body = block.get("do", block)
        for out in (*body["outs"], *map(next, map(iter, body.get("metrics", ()))), *body.get("plots", ())):
            path = clone / out.replace("${key}", "ease")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("a result")
    write_code_versions(clone)
    command(clone, "dvc", "commit", "--force", "data/raw/events.parquet").check_returncode()
    assert (clone / "dvc.lock").is_file()
    assert git(clone, "status", "--porcelain") == ""
