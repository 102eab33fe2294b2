"""The code dependencies of dvc.yaml, a folder a line: python -m flows.deps [--write] compares or rewrites them.

A stage depends on the package of every module that its own module imports, directly or not, with three exceptions:
- of the settings it depends on the folders of the sections that its `params` name, since it reads no others;
- a `train` stage depends on its own kind of model alone, by the folder `tierrec_core/models/${item.kind}`; a stage that
  loads all models depends on the folder of them all;
- `__init__.py` and `__main__.py` of a top-level package, and the table of kinds, only import other dependencies.
"""

import io
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import grimp
from ruamel.yaml import YAML

from monitoring.__main__ import STAGES as MONITORING_STAGES
from services.__main__ import STAGES as SERVICE_STAGES
from tierrec_core.__main__ import STAGES as CORE_STAGES
from tierrec_core.base import artifacts
from tierrec_core.base.errors import SettingsError, TierRecError
from tierrec_core.settings import Settings

ROOMS = ("tierrec_core", "monitoring", "services", "flows")
ENTRIES: Mapping[str, str] = {
    **{f"tierrec_core {stage}": module for stage, module in CORE_STAGES.items()},
    **{f"monitoring {stage}": module for stage, module in MONITORING_STAGES.items()},
    **{f"services {stage}": module for stage, module in SERVICE_STAGES.items()},
}
SETTINGS, MODELS, STAGES = "tierrec_core.settings", "tierrec_core.models", "tierrec_core.stages"
REGISTRY = f"{MODELS}.registry"
KIND_FOLDER = "tierrec_core/models/${item.kind}"


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


def rewrite(text: str) -> str:
    """dvc.yaml with the code dependencies that follow from the imports; comments and all other lines are kept."""
    yaml = YAML()
    yaml.preserve_quotes, yaml.width = True, 200
    yaml.indent(mapping=2, sequence=4, offset=2)
    document: dict[str, Any] = yaml.load(text)
    graph = grimp.build_graph(*ROOMS)
    for stage, block in document["stages"].items():
        body = block.get("do", block)
        data = [path for path in body["deps"] if str(path).partition("/")[0] not in ROOMS]
        expected = data + code_dependencies(graph, stage, body["cmd"], body.get("params", ()))
        if list(body["deps"]) != expected:
            body["deps"][:] = expected
            body["deps"].fa.set_block_style()
    stream = io.StringIO()
    yaml.dump(document, stream)
    return stream.getvalue()


def main(arguments: list[str]) -> int:
    """0 when dvc.yaml is right or has been rewritten, 1 when it is not."""
    path = Path("dvc.yaml")
    try:
        old = path.read_text()
        new = rewrite(old)
    except TierRecError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    if new == old:
        return 0
    if "--write" not in arguments:
        sys.stderr.write(
            "dvc.yaml: code dependencies differ from what the stages import; run `python -m flows.deps --write`\n"
        )
        return 1
    with artifacts.replacing_file(path) as fresh:
        fresh.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
