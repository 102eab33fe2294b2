"""A person's hold on the loop: while it is there, windows are still judged and nothing is retrained."""

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
    """Hold the loop from now on. A hold that is there already stays, with its own moment and the new reason."""
    before = read_hold(layout)
    at = before.at if before else now.isoformat(timespec="seconds")
    fresh = Hold(at=at, reason=reason or (before.reason if before else ""))
    artifacts.write_json(fresh.model_dump(), _path(layout))
    return fresh


def release_hold(layout: Layout) -> Hold | None:
    """Let the loop go on; the hold that there was."""
    before = read_hold(layout)
    _path(layout).unlink(missing_ok=True)
    return before


def read_hold(layout: Layout) -> Hold | None:
    """The hold, if there is one. Raises ArtifactError or SettingsError for a file that is no such thing."""
    path = _path(layout)
    return parse(Hold, artifacts.read_json(path), str(path)) if path.exists() else None


def _path(layout: Layout) -> Path:
    return layout.loop / "hold.json"
