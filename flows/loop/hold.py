"""A user's hold on the loop: windows are still judged, and no retrain starts until the hold ends."""

from datetime import datetime
from pathlib import Path

from tierrec_core.base import artifacts
from tierrec_core.base.paths import Layout
from tierrec_core.settings import Params, parse


class Hold(Params):
    """Since when (UTC, ISO 8601), and why."""

    at: str
    reason: str

    def __str__(self) -> str:
        return f"since {self.at}" + (f": {self.reason}" if self.reason else "")


def hold_loop(layout: Layout, reason: str, now: datetime) -> Hold:
    """Hold the loop from now on. An existing hold keeps its start and takes the new reason, if there is one."""
    before = read_hold(layout)
    at = before.at if before else now.isoformat(timespec="seconds")
    hold = Hold(at=at, reason=reason or (before.reason if before else ""))
    artifacts.write_json(hold.model_dump(), _path(layout))
    return hold


def release_hold(layout: Layout) -> Hold | None:
    """End the hold; returns it, or None when there was none."""
    before = read_hold(layout)
    _path(layout).unlink(missing_ok=True)
    return before


def read_hold(layout: Layout) -> Hold | None:
    """The hold, if there is one. Raises ArtifactError or SettingsError for an invalid file."""
    path = _path(layout)
    return parse(Hold, artifacts.read_json(path), str(path)) if path.exists() else None


def _path(layout: Layout) -> Path:
    return layout.loop / "hold.json"
