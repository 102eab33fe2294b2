"""The layout of the packages: how many modules lie in each, how deep imports go, and that names are unique."""

import ast
from collections import Counter, defaultdict
from pathlib import Path

import networkx as nx
import pytest

from tests.support.projects import ROOT

ROOMS = ("tierrec_core", "services", "flows", "monitoring")
LOOSE, PACKAGE, LEVELS = 6, 12, 10
# Names that an interface asks for, so that each of its implementations has one.
INTERFACES = {"main", "run", "upgrade", "downgrade"}


def modules(room: str) -> dict[str, Path]:
    """Every module of a room by its dotted name; a package by the name of its folder."""
    found = {}
    for path in sorted((ROOT / room).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, known: set[str]) -> set[str]:
    """The modules of `known` that a file imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found & known


def packages(room: str) -> nx.DiGraph:
    """Which of a room's packages imports which: a package is what lies directly below the room."""
    known = modules(room)
    graph = nx.DiGraph()
    for module, path in known.items():
        for imported in imports(path, set(known)):
            ends = [".".join(name.split(".")[:2]) for name in (module, imported)]
            if ends[0] != ends[1] and room not in ends and not ends[0].endswith("__main__"):
                graph.add_edge(*ends)
    return graph


@pytest.mark.parametrize("room", [*ROOMS, "benchmarks", "tests"])
def test_few_modules_lie_loose_in_a_room(room: str) -> None:
    loose = [path.name for path in (ROOT / room).glob("*.py") if not path.name.startswith("__")]
    assert len(loose) <= LOOSE, loose


@pytest.mark.parametrize("room", [*ROOMS, "benchmarks"])
def test_a_package_holds_few_modules(room: str) -> None:
    sizes = Counter(path.parent for path in modules(room).values() if not path.name.startswith("__"))
    assert {str(folder): size for folder, size in sizes.items() if size > PACKAGE} == {}


@pytest.mark.parametrize("room", ROOMS)
def test_packages_import_one_another_in_few_levels_and_without_a_cycle(room: str) -> None:
    graph = packages(room)
    assert list(nx.simple_cycles(graph)) == []
    assert len(nx.dag_longest_path(graph)) <= LEVELS


@pytest.mark.parametrize("room", ROOMS)
def test_modules_import_one_another_without_a_cycle(room: str) -> None:
    known = modules(room)
    graph = nx.DiGraph((name, other) for name, path in known.items() for other in imports(path, set(known)) - {name})
    packages_of_members = {name for name, path in known.items() if path.name == "__init__.py"}
    graph.remove_nodes_from([name for name in packages_of_members if name in graph])
    assert list(nx.simple_cycles(graph)) == []


def test_a_public_class_or_function_is_defined_once() -> None:
    places = defaultdict(list)
    for room in ROOMS:
        for path in modules(room).values():
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                    places[node.name].append(str(path.relative_to(ROOT)))
    twice = {
        name: paths
        for name, paths in places.items()
        if len(paths) > 1 and not name.startswith("_") and name not in INTERFACES
    }
    assert twice == {}
