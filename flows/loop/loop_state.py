"""What the loop remembers between runs: what was decided on which window, and how each retrain went."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from monitoring.drift import DriftDecision, DriftVerdict
from tierrec_core.base import artifacts
from tierrec_core.base.paths import Layout
from tierrec_core.data.interactions import from_days
from tierrec_core.settings import Params, parse

State = Literal["training", "packaged", "deployed", "rejected", "vetoed", "unchanged", "failed"]
FINAL: tuple[State, ...] = ("deployed", "rejected", "vetoed", "unchanged")
MAX_ATTEMPTS = 3


class RetrainRecord(Params):
    """How one retrain went. key: of the decision that asked for it, or of the request of a person.

    champion, challenger: tags of Bentos; gate: path of the gate's report below the project
    asked: since when a person's word is waited for; empty where nobody was asked
    """

    key: str
    reason: str
    state: State = "training"
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


@dataclass(frozen=True)
class LoopState:
    """The files below data/loop. One writer at a time: the flows that write hold the project's lock or run singly."""

    layout: Layout

    @property
    def decisions(self) -> list[dict[str, Any]]:
        """All decisions as they were written, oldest first."""
        found = [artifacts.read_json(path) for path in (self.layout.loop / "decisions").glob("*.json")]
        return sorted(found, key=lambda one: (one["window_end"], one["at"], one["key"]))

    def past(self) -> list[DriftDecision]:
        """All decisions, oldest first, as the next one wants them."""
        return [
            DriftDecision(
                at=one["at"],
                window_end=float(one["window_end"]),
                act=one["act"],
                reasons=tuple(one["reasons"]),
                model=one["model"],
                key=one["key"],
            )
            for one in self.decisions
        ]

    def keep(self, decision: DriftDecision, verdict: DriftVerdict, page: Path | None) -> dict[str, Any]:
        """Write a decision with all that led to it; the text that a person reads later."""
        day = f"{from_days(decision.window_end):%Y-%m-%d}"
        record = (
            verdict.report()
            | verdict.payload()
            | {
                "at": decision.at,
                "window_end": decision.window_end,
                "act": decision.act,
                "reasons": list(decision.reasons),
                "model": decision.model,
                "key": decision.key,
                "page": str(page.relative_to(self.layout.loop)) if page else None,
            }
        )
        artifacts.write_json(record, self.layout.loop / "decisions" / f"{day}-{decision.key}.json")
        return record

    def retrain(self, key: str) -> RetrainRecord | None:
        """How the retrain with a key went; None when it never began."""
        path = self._retrain(key)
        return parse(RetrainRecord, artifacts.read_json(path), str(path)) if path.exists() else None

    def retrains(self) -> list[RetrainRecord]:
        """All retrains, in order of their beginning."""
        paths = (self.layout.loop / "retrains").glob("*.json")
        return sorted(
            (parse(RetrainRecord, artifacts.read_json(path), str(path)) for path in paths), key=lambda one: one.began
        )

    def note(self, retrain: RetrainRecord, **changes: Any) -> RetrainRecord:
        """Write how a retrain goes on, and hand it back."""
        after = retrain.model_copy(update=changes)
        if after.state in FINAL or after.state == "failed":
            after = after.model_copy(update={"ended": utc_now()})
        artifacts.write_json(after.model_dump(), self._retrain(after.key))
        return after

    def unanswered(self, *, person_asked: bool = False) -> Mapping[str, Any] | None:
        """The newest decision to retrain that no retrain has brought to an end, if there is one.

        person_asked: a challenger that is packaged waits for a person's word, and is not to be asked about again
        """
        asked = [one for one in self.decisions if one["act"] == "retrain"]
        if not asked:
            return None
        done = self.retrain(asked[-1]["key"])
        waits = person_asked and done is not None and done.state == "packaged"
        return None if waits or (done is not None and done.is_over) else asked[-1]

    def _retrain(self, key: str) -> Path:
        return self.layout.loop / "retrains" / f"{key}.json"


def utc_now() -> str:
    """This moment in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
