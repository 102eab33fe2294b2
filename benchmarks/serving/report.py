"""Figures against targets as a table, and merged into serving.json."""

import importlib.metadata
import os
import platform
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Column, Table

from tierrec_core.base import artifacts

_PACKAGES = ("bentoml", "fastapi", "starlette", "uvicorn", "pydantic", "numpy", "lightgbm", "sqlalchemy")
_GIB = 1 << 30
FIGURES = "benchmarks/serving.json"


@dataclass(frozen=True)
class Target:
    """A target of a figure. is_floor: the bound is a minimum, otherwise a maximum."""

    key: str
    meaning: str
    bound: float
    is_floor: bool = False

    def is_met(self, figure: float) -> bool:
        """Whether the figure reaches the target."""
        return figure >= self.bound if self.is_floor else figure <= self.bound


TARGETS = (
    Target("ratio_known_user", "requests per server CPU second, relative to the bare service", 3, True),
    Target("ratio_fresh_events", "the same with lists re-ranked by fresh events", 0.60, True),
    Target("rerank_p50_ms", "re-ranking 100 items sequentially, p50 in ms", 4),
    Target("rerank_p99_ms", "the same, p99 in ms", 8),
    Target("p99_ratio_c16", "p99 at concurrency 16, relative to the bare service", 2),
    Target("swap_requests", "requests during ten swaps of two releases", 20_000, True),
    Target("swap_failed_requests", "of them failed", 0),
    Target("swap_workers", "worker processes that responded", 2, True),
    Target("events_kills", "SIGKILLs while posting events", 40, True),
    Target("events_acknowledged", "events acknowledged, both databases", 100_000, True),
    Target("events_lost", "of them lost", 0),
    Target("events_doubled", "of them duplicated", 0),
    Target("soak_slope_mib_per_10k", "growth of resident size in MiB per 10,000 requests", 0.2),
    Target("million_user_rss_gib", "1,000,000 users x 100,000 items: resident GiB", 2),
    Target("million_user_ready_s", "the same: seconds until ready", 20),
    Target("million_user_p50_ms", "the same: exact top 10, p50 in ms", 10),
    Target("int8_ndcg_loss", "relative NDCG loss of int8 vectors", 0.01),
    Target("batch_ratio_implicit", "users per second in batch, relative to implicit", 1, True),
)


def paired(key: str, ours: Sequence[float], theirs: Sequence[float]) -> dict[str, Any]:
    """Median, minimum and maximum over rounds of the ratio of ours to theirs."""
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    return {key: round(statistics.median(ratios), 3), f"{key}_spread": [round(min(ratios), 3), round(max(ratios), 3)]}


def merge(path: Path, figures: dict[str, Any]) -> dict[str, Any]:
    """Merge the figures into the file atomically; returns all figures."""
    recorded = artifacts.read_json(path) if path.exists() else {}
    merged: dict[str, Any] = recorded | figures
    artifacts.write_json(merged, path)
    return merged


def measurement_info(root: Path, bento: str, part: str, seconds: float) -> dict[str, Any]:
    """Time, revision, hardware and versions of a measurement."""
    return {
        f"{part}_measured": {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "git": revision(root),
            "bento": bento,
            "seconds": round(seconds, 1),
            "load_average": round(psutil.getloadavg()[0], 1),
        },
        "hardware": {
            "cpu": _cpu(),
            "cores": os.cpu_count(),
            "memory_gib": round(psutil.virtual_memory().total / _GIB, 1),
            "system": f"{platform.system()} {platform.release()}",
        },
        "versions": {"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in _PACKAGES},
    }


def show(figures: dict[str, Any], console: Console) -> None:
    """Print the targets with their figures, then the concurrency curves."""
    table = Table(Column("figure", no_wrap=True), "meaning", "target", "measured", "", title="serving")
    for target in TARGETS:
        sign = ">=" if target.is_floor else "<="
        figure = figures.get(target.key)
        verdict = "" if figure is None else "met" if target.is_met(figure) else "missed"
        measured = "-" if figure is None else f"{figure:,}"
        table.add_row(target.key, target.meaning, f"{sign} {target.bound:,}", measured, verdict)
    console.print(table)
    for name, points in figures.get("curve", {}).items():
        curve = Table(*points[0], title=f"{name} by concurrency")
        for point in points:
            curve.add_row(*(str(value) for value in point.values()))
        console.print(curve)


def revision(root: Path) -> str:
    """The measured commit, with a + where files other than the figures differ from it; none outside of git."""
    commit = _git(root, "rev-parse", "HEAD")
    differing = _git(root, "status", "--porcelain", "--untracked-files=no", "--", ".", f":!{FIGURES}")
    return f"{commit}{'+' if differing else ''}" or "none"


def _git(root: Path, *arguments: str) -> str:
    """Output of git, empty on failure. Takes no lock, so that other git commands are not blocked."""
    result = subprocess.run(
        ["git", "--no-optional-locks", *arguments], cwd=root, capture_output=True, text=True, check=False
    )
    return "" if result.returncode else result.stdout.strip()


def _cpu() -> str:
    """The processor's name, or else its architecture."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
