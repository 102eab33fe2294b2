"""A family's benchmark: how it is measured, where its record lies, and what the page says of it."""

import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, cast

from tierrec_core.base import artifacts

NAMES = ("demo_shop", "tiers", "multitask", "cold_users", "cold_items", "policy")
_FOLDER = Path(__file__).parent


class Family(Protocol):
    """What a module of this folder offers."""

    TITLE: str

    def measure(self, seed: int) -> dict[str, Any]:
        """Everything that is told of the family, from the finished run in the working directory."""
        ...

    def lines(self, record: Mapping[str, Any]) -> Iterator[str]:
        """The family's section as Markdown, without its heading."""
        ...


def family(name: str) -> Family:
    """The module of this name. Raises ValueError naming those that exist."""
    if name not in NAMES:
        raise ValueError(f"families: {name!r} is unknown; known are {', '.join(NAMES)}")
    return cast("Family", importlib.import_module(f"{__package__}.{name}"))


def place(name: str) -> Path:
    """Where the record of a family lies."""
    return _FOLDER / f"{name}.json"


def sections() -> Iterator[str]:
    """Markdown of every family that was measured, with what was tried on the way."""
    for name in NAMES:
        if place(name).exists():
            record, attempts = artifacts.read_json(place(name)), _FOLDER / f"{name}.md"
            yield f"\n## {family(name).TITLE}\n"
            made_by = f"`python -m benchmarks.families {name} --seed {record['seed']}`"
            yield f"{made_by}, revision {record['revision'][:9]}.\n"
            yield from family(name).lines(record)
            if attempts.exists():
                yield "\n" + attempts.read_text()
