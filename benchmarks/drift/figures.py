"""drift.json: the figures of the loop, which several commands bring."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "drift.json"


def known() -> dict[str, Any]:
    """All figures that were kept."""
    return dict(json.loads(RESULTS.read_text())) if RESULTS.exists() else {}


def keep(figures: Mapping[str, Any]) -> None:
    """Write these figures beside, or over, those that were kept."""
    RESULTS.write_text(json.dumps(known() | figures, indent=1, sort_keys=True) + "\n")
