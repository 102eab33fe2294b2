"""Compares the challenger of a retrain with the champion on the newest window, which neither was trained on.

What is served is fitted to the whole log. The gate compares the fits of the same settings to the log before each
one's test, so that both are judged on events that they have not seen.
"""

from pathlib import Path

import numpy as np

from flows.project.champion import Champion
from tierrec_core.base import artifacts
from tierrec_core.base.contracts import EVENTS
from tierrec_core.base.paths import Layout
from tierrec_core.bundle import precomputed
from tierrec_core.bundle.bundle import load_evaluated
from tierrec_core.bundle.model_comparison import compare_models
from tierrec_core.data.interactions import from_days
from tierrec_core.evaluation.promotion_gate import GateReport
from tierrec_core.settings import Settings
from tierrec_core.stages.inputs.bundle_assembly import assemble


def gate_path(layout: Layout, key: str) -> Path:
    """The file of the gate's report on a retrain."""
    return layout.loop / "gates" / f"{key}.json"


def run_gate(layout: Layout, settings: Settings, champion: Champion, key: str) -> GateReport:
    """Compare the models of the last stage runs with the champion, and write data/loop/gates/KEY.json.

    Both rank from the histories as of the challenger's cut; events in the main task's horizon after it are the labels.
    Raises GateError when the champion was trained on a part of that window.
    """
    challenger, main = assemble(layout, settings), settings.default_task
    start = challenger.history.now
    until = start + settings.tasks[main].horizon_days
    item_tables = artifacts.load(precomputed.ItemTables, champion.bundle / precomputed.FOLDER / "item_tables")
    churn_test = artifacts.read_json(layout.churn_report).get("test", {}).get("all", {}).get("model", {})
    comparison = compare_models(
        load_evaluated(champion.bundle),
        challenger,
        artifacts.read_frame(layout.prepared_events, EVENTS),
        start,
        until,
        settings.gate,
        main=main,
        seed=settings.seed,
        cutoff=settings.evaluate.cutoffs[0],
        calibration=(item_tables.churn_calibration_error, churn_test.get("ece")),
    )
    report = comparison.check(settings.gate, np.random.default_rng(settings.seed))
    window = {"start": f"{from_days(start):%Y-%m-%d}", "end": f"{from_days(until):%Y-%m-%d}"}
    header = {"champion": champion.bento, "challenger": key, "window": window, "tiers": list(settings.tiers.names)}
    artifacts.write_json(header | report.report(), gate_path(layout, key))
    return report
