"""The gate of a retrain: champion and challenger on the newest window that neither saw, written down for people."""

from dataclasses import dataclass

import numpy as np

from flows.project.champion import Champion
from tierrec_core.base import artifacts
from tierrec_core.base.contracts import EVENTS
from tierrec_core.base.paths import Layout
from tierrec_core.bundle import precomputed
from tierrec_core.bundle.bundle import Bundle
from tierrec_core.bundle.model_comparison import compare_models
from tierrec_core.data.interactions import from_days
from tierrec_core.evaluation.promotion_gate import GateReport
from tierrec_core.settings import Settings
from tierrec_core.stages.inputs.bundle_assembly import assemble


@dataclass(frozen=True)
class GateOutcome:
    """What the gate said; path: of its report, below the project."""

    report: GateReport
    path: str

    @property
    def complaint(self) -> str:
        """The checks that failed, in words; empty where all passed."""
        failed = [one for one in self.report.checks if not one.passed]
        return "; ".join(f"{one.name}: {one.found}, wanted {one.wanted}" for one in failed)


def run_gate(layout: Layout, settings: Settings, champion: Champion, key: str) -> GateOutcome:
    """Hold what the stages have just made against the champion, and write data/loop/gates/KEY.json.

    Both rank from the same histories as of the challenger's cut, and what users did in the main task's horizon after
    it is the truth. Raises GateError when the champion has seen a part of that window.
    """
    challenger, main = assemble(layout, settings), settings.default_task
    start = challenger.history.now
    until = start + settings.tasks[main].horizon_days
    comparison = compare_models(
        Bundle.load(champion.bundle),
        challenger,
        artifacts.read_frame(layout.prepared_events, EVENTS),
        start,
        until,
        settings.gate,
        main=main,
        seed=settings.seed,
        cutoff=settings.evaluate.cutoffs[0],
        calibration=(_champions_error(champion), _challengers_error(layout)),
    )
    report = comparison.check(settings.gate, np.random.default_rng(settings.seed))
    path = layout.loop / "gates" / f"{key}.json"
    window = {"start": f"{from_days(start):%Y-%m-%d}", "end": f"{from_days(until):%Y-%m-%d}"}
    artifacts.write_json({"champion": champion.bento, "challenger": key, "window": window} | report.report(), path)
    return GateOutcome(report, str(path.relative_to(layout.root)))


def _champions_error(champion: Champion) -> float | None:
    folder = champion.bundle / precomputed.FOLDER / "item_tables"
    return artifacts.load(precomputed.ItemTables, folder).churn_calibration_error


def _challengers_error(layout: Layout) -> float | None:
    found: float | None = (
        artifacts.read_json(layout.churn_report).get("test", {}).get("all", {}).get("model", {}).get("ece")
    )
    return found
