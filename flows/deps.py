"""The `.py` deps of dvc.yaml: python -m flows.deps [--write] compares or rewrites them.

A stage hangs on its own module and on all that this imports, directly or not. The registry imports a model
by its name, which no reader of import statements sees: a train stage hangs on the module of its own kind, and a
stage that reads all models hangs on the modules of all kinds.
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
from tierrec_core.models.registry import KINDS

ROOMS = ("tierrec_core", "monitoring", "services", "flows")
MODELS = "tierrec_core.models"
ENTRIES: Mapping[str, str] = {
    **{f"tierrec_core {stage}": f"tierrec_core.stages.{stage}" for stage in CORE_STAGES},
    **{f"monitoring {stage}": module for stage, module in MONITORING_STAGES.items()},
    **{f"services {stage}": module for stage, module in SERVICE_STAGES.items()},
}
KIND_FILE = "tierrec_core/models/${item.kind}/__init__.py"


def closure(graph: grimp.ImportGraph, modules: Iterable[str]) -> set[str]:
    """The modules, all that they import, and the packages around each."""
    found: set[str] = set()
    todo = list(modules)
    while todo:
        module = todo.pop()
        if module not in found:
            found.add(module)
            todo += graph.find_modules_directly_imported_by(module)
            todo += [module.rpartition(".")[0]] if "." in module else []
    return found


def code_of(graph: grimp.ImportGraph, stage: str, command: str) -> list[str]:
    """Paths of the files that a stage hangs on, in order. Raises SettingsError when its module is not there."""
    match = re.search(r"-m (\w+ \w+)", command)
    entry = ENTRIES.get(match[1]) if match else None
    if entry is None or match is None or entry not in graph.modules:
        raise SettingsError(
            f"dvc.yaml: {stage}: {command!r} runs no stage; wanted one of {', '.join(ENTRIES)}"
        )
    modules = closure(graph, [entry, f"{match[1].split()[0]}.__main__"])
    kinds = {place.partition(":")[0] for place in KINDS.values()} & graph.modules
    if "tierrec_core.models.registry" in modules:
        modules |= closure(graph, kinds)
    files = {_path(graph, module) for module in modules}
    if stage == "train":
        files = files - {_path(graph, kind) for kind in kinds} | {KIND_FILE}
    return sorted(files)


def _path(graph: grimp.ImportGraph, module: str) -> str:
    """Where a module lies; a package is its __init__.py."""
    path = module.replace(".", "/")
    return f"{path}/__init__.py" if graph.find_children(module) or module in ROOMS else f"{path}.py"


def rewrite(text: str) -> str:
    """dvc.yaml with the `.py` deps that the code asks for. Comments and all other lines stay."""
    yaml = YAML()
    yaml.preserve_quotes, yaml.width = True, 200
    yaml.indent(mapping=2, sequence=4, offset=2)
    document: dict[str, Any] = yaml.load(text)
    graph = grimp.build_graph(*ROOMS)
    for stage, block in document["stages"].items():
        body = block.get("do", block)
        data = [path for path in body["deps"] if not str(path).endswith(".py")]
        wanted = data + code_of(graph, stage, body["cmd"])
        if list(body["deps"]) != wanted:
            body["deps"][:] = wanted
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
            "dvc.yaml: deps are not what the stages import; run `python -m flows.deps --write`\n"
        )
        return 1
    with artifacts.replacing_file(path) as fresh:
        fresh.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
