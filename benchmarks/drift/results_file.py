"""drift.json, into which several commands merge their figures."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "drift.json"


def read_figures() -> dict[str, Any]:
    """All recorded figures."""
    return dict(json.loads(RESULTS.read_text())) if RESULTS.exists() else {}


def merge_figures(figures: Mapping[str, Any]) -> None:
    """Add these figures to the recorded ones, replacing those of the same name."""
    RESULTS.write_text(json.dumps(read_figures() | figures, indent=1, sort_keys=True) + "\n")
