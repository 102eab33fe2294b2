"""The code that each stage of dvc.yaml runs, by folder: python -m flows.deps [--write] compares or rewrites it.

A stage depends on the package of every module that its own module imports, directly or not, with three exceptions:
- of the settings it depends on the folders of the sections that its `params` name, since it reads no others;
- a `train` stage depends on its own kind of model alone, by the folder `tierrec_core/models/${item.kind}`; a stage that
  loads all models depends on the folder of them all;
- `__init__.py` and `__main__.py` of a top-level package, and the table of kinds, only import other dependencies.
"""

import json
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import grimp
from ruamel.yaml import YAML

from monitoring.__main__ import STAGES as MONITORING_STAGES
from services.__main__ import STAGES as SERVICE_STAGES
from tierrec_core.__main__ import STAGES as CORE_STAGES
from tierrec_core.base import artifacts
from tierrec_core.base.errors import SettingsError, TierRecError
from tierrec_core.settings import Settings
from tierrec_core.stage_code import FOLDERS, KIND

ROOMS = ("tierrec_core", "monitoring", "services", "flows")
ENTRIES: Mapping[str, str] = {
    **{f"tierrec_core {stage}": module for stage, module in CORE_STAGES.items()},
    **{f"monitoring {stage}": module for stage, module in MONITORING_STAGES.items()},
    **{f"services {stage}": module for stage, module in SERVICE_STAGES.items()},
}
SETTINGS, MODELS, STAGES = "tierrec_core.settings", "tierrec_core.models", "tierrec_core.stages"
REGISTRY = f"{MODELS}.registry"
KIND_FOLDER = f"tierrec_core/models/{KIND}"


def code_dependencies(graph: grimp.ImportGraph, stage: str, command: str, params: Iterable[str]) -> list[str]:
    """The folders and files that a stage depends on, sorted, none inside another.

    command: the stage's `cmd`; params: the keys of params.yaml that it reads
    Raises SettingsError when the command runs no stage.
    """
    match = re.search(r"-m (\w+ \w+)", command)
    entry = ENTRIES.get(match[1]) if match else None
    if entry is None or entry not in graph.modules:
        raise SettingsError(f"dvc.yaml: {stage}: {command!r} runs no stage; wanted one of {', '.join(ENTRIES)}")
    modules = graph.find_upstream_modules(entry) | {entry}
    paths = {_section(name) for name in params}
    if REGISTRY in modules:
        for kind in graph.find_children(MODELS) - {REGISTRY}:
            modules |= graph.find_upstream_modules(kind)
        modules = {module for module in modules if not module.startswith(MODELS)}
        paths.add(KIND_FOLDER if stage == "train" else _path(MODELS))
    paths |= {_path(module) for module in modules if not _only_imports(module)}
    folders = {path for path in paths if not path.endswith(".py")}
    return sorted(path for path in paths if not any(path.startswith(f"{folder}/") for folder in folders))


def _only_imports(module: str) -> bool:
    """Whether a module only imports others: a top-level package, its __main__, the settings as a whole."""
    return "." not in module or module.endswith(".__main__") or module.startswith(SETTINGS)


def _path(module: str) -> str:
    """The folder of a module; a stage's module is a file of its own, since all stages lie in one folder."""
    if module.rpartition(".")[0] == STAGES and not Path(module.replace(".", "/")).is_dir():
        return f"{module.replace('.', '/')}.py"
    folder = Path(module.replace(".", "/"))
    return str(folder if folder.is_dir() else folder.parent)


def _section(key: str) -> str:
    """The folder of the settings that describe a key of params.yaml."""
    name = key.partition(".")[0]
    field = Settings.model_fields["validate_" if name == "validate" else name]
    modules = re.findall(rf"{re.escape(SETTINGS)}\.(?:\w+)", repr(field.annotation))
    return _path(modules[0] if modules else "tierrec_core.base.params")


def stage_folders(dvc_yaml: str) -> str:
    """The folders of each stage of dvc.yaml that follow from the imports, as folders.json has them."""
    graph = grimp.build_graph(*ROOMS)
    folders = {
        stage: code_dependencies(graph, stage, body["cmd"], [key for key in body["params"] if isinstance(key, str)])
        for stage, block in YAML(typ="safe").load(dvc_yaml)["stages"].items()
        for body in [block.get("do", block)]
    }
    return json.dumps(folders, indent=2) + "\n"


def main(arguments: list[str]) -> int:
    """0 when the folders are right or have been rewritten, 1 when they are not."""
    try:
        folders = stage_folders(Path("dvc.yaml").read_text())
    except TierRecError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    path = Path(FOLDERS)
    if path.exists() and path.read_text() == folders:
        return 0
    if "--write" not in arguments:
        sys.stderr.write(f"{FOLDERS}: differs from what the stages import; run `python -m flows.deps --write`\n")
        return 1
    with artifacts.replacing_file(path) as fresh:
        fresh.write_text(folders)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
