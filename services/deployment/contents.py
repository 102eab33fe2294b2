"""The contents of a Bento, and the version and labels that follow from them."""

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from ruamel.yaml import YAML

from services.releases.manifest import ReleaseManifest, fingerprint, version_of
from tierrec_core.base import artifacts
from tierrec_core.base.errors import ArtifactError, SettingsError
from tierrec_core.base.paths import Layout
from tierrec_core.evaluation.leaderboard import BLEND, main_metric
from tierrec_core.settings import Settings
from tierrec_core.stage_code import code_folders, code_root

STAGE = "package"
_SETTINGS = Path("tierrec_core/settings")
RUNTIME = (  # requirements of a Bento; BentoML adds itself
    "alembic",
    "duckdb",
    "fastapi",
    "filelock",
    "implicit",
    "lightgbm",
    "numpy",
    "orjson",
    "pandas",
    "prometheus-client",
    "psutil",
    "psycopg",
    "psycopg-binary",
    "pyarrow",
    "pydantic",
    "rapidfuzz",
    "ruamel.yaml",
    "ruamel.yaml.clib",
    "safetensors",
    "scikit-learn",
    "scipy",
    "SQLAlchemy",
    "sqlglot",
    "threadpoolctl",
    "torch",
)
_NAME = re.compile(r"[a-z0-9]([-._a-z0-9]*[a-z0-9])?")


@dataclass(frozen=True)
class BentoContents:
    """The contents of a Bento; equal contents have the same version.

    root: of the code; code: the carried files, relative to the root; requirements: pinned
    bundle: fingerprint of the model; labels: follow from the pipeline's inputs alone
    """

    root: Path
    name: str
    default_task: str
    code: tuple[str, ...]
    requirements: tuple[str, ...]
    bundle: str
    labels: Mapping[str, str]

    @classmethod
    def gather(cls, layout: Layout, settings: Settings) -> Self:
        """Collect the contents from the project and the outputs of earlier stages.

        Raises SettingsError for an invalid name of the Bento, ArtifactError when an input is missing.
        """
        name, stage = settings.package.name, _package_stage(layout)
        if not _NAME.fullmatch(name):
            raise SettingsError(
                f"params.yaml: package.name: {name!r} is not a valid name of a Bento; "
                "wanted lower-case letters, digits and '-', '.' or '_' between them"
            )
        root = code_root(layout.root)
        return cls(
            root=root,
            name=name,
            default_task=settings.default_task,
            code=_carried_code(root),
            requirements=pin_requirements(RUNTIME, layout.root / "constraints.txt"),
            bundle=fingerprint(layout.bundle),
            labels={"params": _params_hash(settings, stage.get("params", []))} | _headline(layout, settings),
        )

    @cached_property
    def version(self) -> str:
        """Hash of the contents, without their origin (commit and dvc.lock)."""
        code = [f"{path} {artifacts.sha256(self.root / path)}" for path in self.code]
        labels = json.dumps(dict(self.labels), sort_keys=True)
        return version_of(self.name, self.default_task, *code, *self.requirements, self.bundle, labels)

    @property
    def release(self) -> ReleaseManifest:
        """The manifest that the Bento carries."""
        return ReleaseManifest(
            bento=f"{self.name}:{self.version}",
            model=f"{self.name}-bundle:{self.bundle}",
            default_task=self.default_task,
            labels=dict(self.labels),
        )


def provenance(layout: Layout) -> dict[str, str]:
    """Labels of a Bento's origin: the commit, and the hash of the dvc.lock entries that the package depends on."""
    lock = layout.dvc_lock
    stages = YAML(typ="safe").load(lock.read_text())["stages"] if lock.exists() else {}
    entries = upstream_entries(stages, _package_stage(layout)["deps"])
    return {
        "git_revision": _revision(layout.root),
        "dvc_lock": version_of(json.dumps(entries, sort_keys=True)) if entries else "none",
    }


def upstream_entries(stages: Mapping[str, Any], paths: Sequence[str]) -> dict[str, Any]:
    """Entries of dvc.lock that the paths depend on, directly or not."""
    entries: dict[str, Any] = {}
    pending = list(paths)
    while pending:
        path = Path(pending.pop())
        for name, entry in stages.items():
            outs = [Path(out["path"]) for out in entry.get("outs", [])]
            if name not in entries and any(out.is_relative_to(path) or path.is_relative_to(out) for out in outs):
                entries[name] = entry
                pending += [dep["path"] for dep in entry.get("deps", [])]
    return entries


def pin_requirements(names: Sequence[str], constraints: Path) -> tuple[str, ...]:
    """name==version for each name. Raises ArtifactError when the constraints lack one."""
    try:
        lines = constraints.read_text().splitlines()
    except OSError as error:
        raise ArtifactError(f"{constraints}: cannot be read ({error}); it pins the Bento's requirements") from error
    pinned = {_normalized(line.partition("==")[0]): line.strip() for line in lines if "==" in line}
    missing = [name for name in names if _normalized(name) not in pinned]
    if missing:
        raise ArtifactError(f"{constraints}: has no version of {', '.join(missing)}; add one per line, name==version")
    return tuple(pinned[_normalized(name)] for name in names)


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def _package_stage(layout: Layout) -> dict[str, Any]:
    try:
        stage: dict[str, Any] = YAML(typ="safe").load(layout.dvc_yaml.read_text())["stages"][STAGE]
    except (OSError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"{layout.dvc_yaml}: has no stage {STAGE!r} ({error!r}), wanted it with the inputs and params of a Bento"
        ) from error
    return stage


def _carried_code(root: Path) -> tuple[str, ...]:
    """The Python files below the packages that the stage runs, and all settings."""
    folders = [*map(Path, code_folders(root)[STAGE]), _SETTINGS]
    files = {file for folder in folders for file in (root / folder).rglob("*.py")}
    files |= {root / parent / "__init__.py" for folder in folders for parent in folder.parents if parent.name}
    return tuple(sorted(str(file.relative_to(root)) for file in files))


def _params_hash(settings: Settings, blocks: Sequence[str]) -> str:
    """Hash of the params.yaml sections that the stage reads; the others affect its inputs."""
    values = settings.model_dump(mode="json", by_alias=True)
    return version_of(json.dumps({block: value for block, value in values.items() if block in blocks}, sort_keys=True))


def _headline(layout: Layout, settings: Settings) -> dict[str, str]:
    metric = main_metric(settings.evaluate)
    board = artifacts.read_json(layout.metrics)
    try:
        return {f"{task}.{metric}": f"{board[task][BLEND][metric]:.4f}" for task in settings.tasks}
    except (KeyError, TypeError) as error:
        raise ArtifactError(f"{layout.metrics}: lacks {error}; run the evaluate stage again") from error


def _revision(root: Path) -> str:
    try:
        git = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "none"
    return git.stdout.strip()
