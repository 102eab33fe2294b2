"""What goes into a Bento, and the version and labels that follow from it."""

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

STAGE = "package"
_ROOMS = ("services", "tierrec_core")
_SETTINGS = Path("tierrec_core/settings")
RUNTIME = (  # BentoML adds itself
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
    """Everything that a Bento is made of, so that the same contents have the same version.

    root: the project; code: files of ours that it carries, relative to the root
    requirements: what pip must install; bundle: the fingerprint of the model
    labels: facts that follow from the pipeline's inputs alone
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
        """Look at what the earlier stages and the bundle have left.

        Raises SettingsError when the Bento's name is none, ArtifactError when something is missing.
        """
        name = settings.package.name
        if not _NAME.fullmatch(name):
            raise SettingsError(
                f"params.yaml: package.name: {name!r} names no Bento; "
                "wanted small letters, digits and '-', '.' or '_' between them"
            )
        params = _stage(layout).get("params", [])
        return cls(
            root=layout.root,
            name=name,
            default_task=settings.default_task,
            code=_carried_code(layout),
            requirements=pin(RUNTIME, layout.root / "constraints.txt"),
            bundle=fingerprint(layout.bundle),
            labels={"params": _params_hash(settings, params)} | _headline(layout, settings),
        )

    @cached_property
    def version(self) -> str:
        """The version of these contents; revision and lock are left out, since they change nothing in it."""
        code = [f"{path} {artifacts.sha256(self.root / path)}" for path in self.code]
        labels = json.dumps(dict(self.labels), sort_keys=True)
        return version_of(self.name, self.default_task, *code, *self.requirements, self.bundle, labels)

    @property
    def release(self) -> ReleaseManifest:
        """What the Bento will know of itself."""
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
    held = lineage(stages, _deps(layout))
    return {
        "git_revision": _revision(layout.root),
        "dvc_lock": version_of(json.dumps(held, sort_keys=True)) if held else "none",
    }


def lineage(stages: Mapping[str, Any], wanted: Sequence[str]) -> dict[str, Any]:
    """Entries of dvc.lock that the wanted paths depend on, directly or not."""
    found: dict[str, Any] = {}
    todo = list(wanted)
    while todo:
        path = Path(todo.pop())
        for name, entry in stages.items():
            outs = [Path(out["path"]) for out in entry.get("outs", [])]
            if name not in found and any(out.is_relative_to(path) or path.is_relative_to(out) for out in outs):
                found[name] = entry
                todo += [dep["path"] for dep in entry.get("deps", [])]
    return found


def pin(names: Sequence[str], constraints: Path) -> tuple[str, ...]:
    """name==version for each name. Raises ArtifactError when the constraints do not have it."""
    try:
        lines = constraints.read_text().splitlines()
    except OSError as error:
        raise ArtifactError(f"{constraints}: cannot be read ({error}); a Bento pins what it needs by it") from error
    pinned = {_normal(line.partition("==")[0]): line.strip() for line in lines if "==" in line}
    missing = [name for name in names if _normal(name) not in pinned]
    if missing:
        raise ArtifactError(f"{constraints}: has no version of {', '.join(missing)}; add one a line, name==version")
    return tuple(pinned[_normal(name)] for name in names)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def _stage(layout: Layout) -> dict[str, Any]:
    """The package stage as dvc.yaml has it."""
    path = layout.dvc_yaml
    try:
        stage: dict[str, Any] = YAML(typ="safe").load(path.read_text())["stages"][STAGE]
    except (OSError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"{path}: has no stage {STAGE!r} ({error!r}); its deps say which code a Bento carries"
        ) from error
    return stage


def _deps(layout: Layout) -> list[str]:
    return [str(path) for path in _stage(layout)["deps"]]


def _carried_code(layout: Layout) -> tuple[str, ...]:
    """The Python files that a Bento carries: the folders that the package stage depends on, and all settings."""
    folders = [Path(path) for path in _deps(layout) if path.partition("/")[0] in _ROOMS] + [_SETTINGS]
    files = {file for folder in folders for file in (layout.root / folder).rglob("*.py")}
    around = {parent for folder in folders for parent in folder.parents if parent.name}
    files |= {layout.root / parent / "__init__.py" for parent in around}
    return tuple(sorted(str(file.relative_to(layout.root)) for file in files))


def _params_hash(settings: Settings, blocks: Sequence[str]) -> str:
    """Hash of the params.yaml sections that the stage reads; others reach it through its inputs."""
    values = settings.model_dump(mode="json", by_alias=True)
    return version_of(json.dumps({block: value for block, value in values.items() if block in blocks}, sort_keys=True))


def _headline(layout: Layout, settings: Settings) -> dict[str, str]:
    """The blend's main metric by task."""
    metric = main_metric(settings.evaluate)
    board = artifacts.read_json(layout.metrics)
    try:
        return {f"{task}.{metric}": f"{board[task][BLEND][metric]:.4f}" for task in settings.tasks}
    except (KeyError, TypeError) as error:
        raise ArtifactError(f"{layout.metrics}: lacks {error}; run the evaluate stage again") from error


def _revision(root: Path) -> str:
    try:
        asked = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "none"
    return asked.stdout.strip()
