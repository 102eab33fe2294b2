"""blend: learn from earlier windows how to order candidates, one blend a task."""

from typing import Any

import numpy as np

from tierrec_core import artifacts
from tierrec_core.blend import Blend, Candidates
from tierrec_core.blend.blend import Context, Examples
from tierrec_core.contracts import FloatArray
from tierrec_core.evaluation.metrics import Truth, per_user
from tierrec_core.layout import Layout
from tierrec_core.ranking import rank_candidates
from tierrec_core.settings import Blend as BlendSettings
from tierrec_core.settings import Settings
from tierrec_core.splits import SplitLog, Window
from tierrec_core.stages.inputs import read_split, read_training

_CUTOFF = 10


def run(layout: Layout, settings: Settings) -> None:
    """Fit on the windows that end before the newest begins, judge on that one, then fit on all and save."""
    log = read_split(layout)
    report: dict[str, dict[str, Any]] = {}
    for task in log.tasks:
        options = settings.blend_of(task)
        windows = log.of(task, "train", "valid")
        examples = [_examples(layout, settings, log, window, options) for window in windows]
        context = Context.fit(read_training(layout, settings, log, log.final.name), options.attributes)
        report[task] = {"windows": len(windows), "examples": sum(len(one.label) for one in examples)}
        earlier = [
            one for one, window in zip(examples, windows, strict=True) if log.is_over(window, windows[-1])
        ]
        if earlier:
            trial = Blend.fit(context, earlier, options, settings.seed)
            report[task]["valid"] = _judge(layout, log, windows[-1], trial, examples[-1])
        blend = Blend.fit(context, examples, options, settings.seed)
        artifacts.save(blend, layout.blend(task))
        report[task]["importance"] = {name: round(share, 6) for name, share in blend.importance.items()}
        print(f"blend {task}: {report[task].get('valid')}")
    artifacts.write_json(report, layout.blend_report)


def _examples(
    layout: Layout, settings: Settings, log: SplitLog, window: Window, options: BlendSettings
) -> Examples:
    training = read_training(layout, settings, log, window.snapshot)
    context = Context.fit(training, options.attributes)
    candidates = artifacts.load(Candidates, layout.candidates(window.name))
    return Examples.of(context, training.history, candidates, log.truth(window))


def _judge(
    layout: Layout, log: SplitLog, window: Window, blend: Blend, example: Examples
) -> dict[str, float]:
    """NDCG of the blend and of each model's order of the same candidates, on a window it did not see."""
    candidates = artifacts.load(Candidates, layout.candidates(window.name))
    table = candidates.padded(log.log.num_users)
    truth = Truth.of(*log.truth(window), log.log.num_items)

    def ndcg(scores: FloatArray) -> float:
        padded = np.full(table.shape, -np.inf)
        padded[table >= 0] = scores
        return round(
            float(per_user(rank_candidates(padded, table, _CUTOFF).items, truth, _CUTOFF)["ndcg"].mean()), 6
        )

    return {"blend": ndcg(blend.score_table(example.table))} | {
        name: ndcg(score) for name, score in candidates.scores.items()
    }
