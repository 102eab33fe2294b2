"""Interface of a family of benchmarks: measurement, record and section of the page."""

import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, cast

from tierrec_core.base import artifacts

NAMES = ("demo_shop", "tiers", "multitask", "cold_users", "cold_items", "policy")
_FOLDER = Path(__file__).parent


class Family(Protocol):
    """Functions of a module of this package."""

    TITLE: str

    def measure(self, seed: int) -> dict[str, Any]:
        """Measure on the finished run in the working directory; the record."""
        ...

    def lines(self, record: Mapping[str, Any]) -> Iterator[str]:
        """The section as Markdown, without its heading."""
        ...


def family(name: str) -> Family:
    """Import the family's module. Raises ValueError for an unknown name."""
    if name not in NAMES:
        raise ValueError(f"families: {name!r} is unknown; known are {', '.join(NAMES)}")
    return cast("Family", importlib.import_module(f"{__package__}.{name}"))


def record_path(name: str) -> Path:
    """Path of a family's record."""
    return _FOLDER / f"{name}.json"


def sections() -> Iterator[str]:
    """Markdown sections of all measured families, with their attempts."""
    for name in NAMES:
        if record_path(name).exists():
            record, attempts = artifacts.read_json(record_path(name)), _FOLDER / f"{name}.md"
            yield f"\n## {family(name).TITLE}\n"
            made_by = f"`python -m benchmarks.families {name} --seed {record['seed']}`"
            yield f"{made_by}, revision {record['revision'][:9]}.\n"
            yield from family(name).lines(record)
            if attempts.exists():
                yield "\n" + attempts.read_text()
