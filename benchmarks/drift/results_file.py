"""drift.json, into which several commands merge their figures, and drift.md, which shows them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.drift.page import drift_page

RESULTS, PAGE = (Path(__file__).parent / name for name in ("drift.json", "drift.md"))


def read_figures() -> dict[str, Any]:
    """All recorded figures."""
    return dict(json.loads(RESULTS.read_text())) if RESULTS.exists() else {}


def merge_figures(figures: Mapping[str, Any]) -> None:
    """Add these figures to the recorded ones, replacing those of the same name."""
    RESULTS.write_text(json.dumps(read_figures() | figures, indent=1, sort_keys=True) + "\n")


def report(figures: Mapping[str, Any], *, record: bool) -> None:
    """Print the figures of a command, and record them in both files."""
    print("\n".join(f"{name}: {value}" for name, value in figures.items()))
    if record:
        merge_figures(figures)
        PAGE.write_text(drift_page(read_figures()))
