"""The records of the loop: the decision on each window, the progress of each retrain, and a hold by a user."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from flows.project.release_log import utc_now
from monitoring.drift import DriftDecision, DriftVerdict
from tierrec_core.base import artifacts
from tierrec_core.base.paths import Layout
from tierrec_core.data.interactions import from_days
from tierrec_core.settings import Params, parse

RetrainStatus = Literal["training", "packaged", "deployed", "rejected", "vetoed", "unchanged", "failed"]
FINAL: tuple[RetrainStatus, ...] = ("deployed", "rejected", "vetoed", "unchanged")
MAX_ATTEMPTS = 3


class RetrainRecord(Params):
    """The progress of one retrain. key: of the decision that triggered it, or of a user's request

    champion, challenger: tags of Bentos; gate: path of the gate's report below the project
    asked: when an approval was requested, empty if none was; began, asked, ended: UTC, ISO 8601
    """

    key: str
    reason: str
    state: RetrainStatus = "training"
    attempts: int = 0
    began: str = ""
    asked: str = ""
    ended: str = ""
    champion: str = ""
    challenger: str = ""
    gate: str = ""
    error: str = ""

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to do."""
        return self.state in FINAL or (self.state == "failed" and self.attempts >= MAX_ATTEMPTS)


class Hold(Params):
    """A user's hold: windows are still evaluated, but no retrain starts. at: since when (UTC, ISO 8601)"""

    at: str
    reason: str

    def __str__(self) -> str:
        return f"since {self.at}" + (f": {self.reason}" if self.reason else "")


@dataclass(frozen=True)
class LoopState:
    """The files below data/loop. One writer at a time: flows that write hold the project's lock or run singly."""

    layout: Layout

    @property
    def decisions(self) -> list[dict[str, Any]]:
        """The records of all decisions, oldest first."""
        records = [artifacts.read_json(path) for path in (self.layout.loop / "decisions").glob("*.json")]
        return sorted(records, key=lambda record: (record["window_end"], record["at"], record["key"]))

    def drift_decisions(self) -> list[DriftDecision]:
        """All decisions, oldest first, without the evidence for them."""
        return TypeAdapter(list[DriftDecision]).validate_python(self.decisions)

    def record_decision(self, decision: DriftDecision, verdict: DriftVerdict, page: Path | None) -> dict[str, Any]:
        """Write a decision with its evidence; returns the record. page: of the window's charts"""
        path = self.layout.loop / "decisions" / f"{from_days(decision.window_end):%Y-%m-%d}-{decision.key}.json"
        record = verdict.report() | verdict.payload() | asdict(decision)
        record["reasons"] = list(decision.reasons)
        record["page"] = str(page.relative_to(self.layout.loop)) if page else None
        artifacts.write_json(record, path)
        return record

    def find_retrain(self, key: str) -> RetrainRecord | None:
        """The record of the retrain with a key; None when it never started."""
        path = self._retrain_path(key)
        return parse(RetrainRecord, artifacts.read_json(path), str(path)) if path.exists() else None

    def retrains(self) -> list[RetrainRecord]:
        """All retrains, in order of their start."""
        paths = (self.layout.loop / "retrains").glob("*.json")
        records = [parse(RetrainRecord, artifacts.read_json(path), str(path)) for path in paths]
        return sorted(records, key=lambda record: record.began)

    def update_retrain(self, retrain: RetrainRecord, **changes: Any) -> RetrainRecord:
        """Write a retrain's record with these changes; returns it."""
        after = retrain.model_copy(update=changes)
        if after.state in FINAL or after.state == "failed":
            after = after.model_copy(update={"ended": utc_now()})
        artifacts.write_json(after.model_dump(), self._retrain_path(after.key))
        return after

    def pending_decision(self, *, approval_required: bool = False) -> Mapping[str, Any] | None:
        """The newest decision to retrain if its retrain is not over.

        approval_required: a packaged challenger waits for an approval, so its decision is not pending
        """
        requested = [decision for decision in self.decisions if decision["act"] == "retrain"]
        if not requested:
            return None
        retrain = self.find_retrain(requested[-1]["key"])
        is_waiting = approval_required and retrain is not None and retrain.state == "packaged"
        return None if is_waiting or (retrain is not None and retrain.is_over) else requested[-1]

    def read_hold(self) -> Hold | None:
        """The hold, if there is one. Raises ArtifactError or SettingsError for an invalid file."""
        path = self._hold_path
        return parse(Hold, artifacts.read_json(path), str(path)) if path.exists() else None

    def hold(self, reason: str, now: datetime) -> Hold:
        """Hold the loop. An existing hold keeps its start and takes the new reason, if there is one."""
        before = self.read_hold() or Hold(at=now.isoformat(timespec="seconds"), reason="")
        after = Hold(at=before.at, reason=reason or before.reason)
        artifacts.write_json(after.model_dump(), self._hold_path)
        return after

    def release_hold(self) -> Hold | None:
        """End the hold; returns it, or None when there was none."""
        before = self.read_hold()
        self._hold_path.unlink(missing_ok=True)
        return before

    @property
    def _hold_path(self) -> Path:
        return self.layout.loop / "hold.json"

    def _retrain_path(self, key: str) -> Path:
        return self.layout.loop / "retrains" / f"{key}.json"
