"""Stage blend: fit each task's ranker on past windows, after validating it on the newest of them."""

from dataclasses import replace
from typing import Any

from tierrec_core.base import artifacts
from tierrec_core.base.paths import Layout
from tierrec_core.data.splits import SplitLog
from tierrec_core.evaluation.bootstrap import round_figures
from tierrec_core.ranking import BlendRanker
from tierrec_core.ranking.blend import RankingContext
from tierrec_core.settings import Settings
from tierrec_core.stages.inputs.snapshot_windows import read_snapshot_windows, training_examples
from tierrec_core.stages.inputs.split_log import read_split
from tierrec_core.stages.inputs.training import read_training


def run(layout: Layout, settings: Settings) -> None:
    """Write one blend per task, also with the state as of the end of the log, and the report of all."""
    log = read_split(layout)
    report = {task: _fit(layout, settings, log, task) for task in log.tasks}
    artifacts.write_json(report, layout.blend_report)


def _fit(layout: Layout, settings: Settings, log: SplitLog, task: str) -> dict[str, Any]:
    """Validate on the newest window a blend of the windows that end before it, then fit on all windows and save."""
    options = settings.blend_of(task)
    windows = read_snapshot_windows(layout, settings, log, task)
    cold = [users for window in windows if (users := window.cold_users(layout, settings, log)) is not None]
    examples, cold_examples = (
        training_examples(group, options.negative_share, settings.seed) for group in (windows, cold)
    )
    report: dict[str, Any] = {
        "windows": len(windows),
        "examples": sum(len(dataset.label) for dataset in examples + cold_examples),
    }
    newest = windows[-1]
    earlier = [
        dataset
        for dataset, window in zip(examples, windows, strict=True)
        if log.ends_before(window.window, newest.window)
    ]
    if earlier:
        report["valid"] = newest.evaluate(BlendRanker.fit(newest.context, earlier, options, settings.seed))
        print(f"blend {task}: {report['valid']}", flush=True)
    context = _context(layout, settings, task)
    blend = BlendRanker.fit(context, examples, options, settings.seed, cold_examples)
    artifacts.save(blend, layout.blend(task))
    in_production = replace(blend, context=_context(layout.production, settings, task))
    artifacts.save(in_production, layout.production.blend(task))
    return report | {"importance": round_figures(blend.importance)}


def _context(layout: Layout, settings: Settings, task: str) -> RankingContext:
    """The state as of the final snapshot."""
    log = read_split(layout)
    training = read_training(layout, settings, log, log.final.name)
    return RankingContext.fit(training, settings.blend_of(task).attributes)
