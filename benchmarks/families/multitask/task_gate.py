"""Gate against negative transfer: no task may lose for another's gain (Wang et al., CVPR 2019)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tierrec_core.base.contracts import FloatArray
from tierrec_core.base.errors import EmptyDataError

MARGIN = 0.002


@dataclass(frozen=True)
class TaskVerdict:
    """Mean AUC over seeds of both models for one task, and whether the multi-task model passes."""

    multi: float
    single: float
    passed: bool

    @property
    def gain(self) -> float:
        """Multi-task minus single-task."""
        return self.multi - self.single


@dataclass(frozen=True)
class TasksVerdict:
    """Verdict by task; margin is the largest accepted loss."""

    tasks: Mapping[str, TaskVerdict]
    margin: float

    @property
    def passed(self) -> bool:
        """Whether no task loses more than the margin."""
        return all(one.passed for one in self.tasks.values())

    @property
    def reason(self) -> str:
        """Sentence on the failed tasks, or the one with the smallest gain."""
        worst = sorted(self.tasks, key=lambda task: self.tasks[task].gain)
        named = [task for task in worst if not self.tasks[task].passed] or worst[:1]
        gains = ", ".join(f"{task} {self.tasks[task].gain:+.4f}" for task in named)
        return f"{gains} against single-task; a loss of at most {self.margin:g} passes"

    def report(self) -> dict[str, Any]:
        """All figures, ready for JSON."""
        return {
            "passed": self.passed,
            "reason": self.reason,
            "tasks": {
                task: {"multi": one.multi, "single": one.single, "gain": one.gain, "passed": one.passed}
                for task, one in self.tasks.items()
            },
        }


def gate_tasks(
    multi: Mapping[str, FloatArray], single: Mapping[str, FloatArray], margin: float = MARGIN
) -> TasksVerdict:
    """Compare a multi-task model with single-task ones, by task.

    multi, single: AUC of each seed by task, [S]; the seeds may differ
    margin: largest accepted loss of a task's mean
    Raises EmptyDataError where a task has no seed on one side, or a non-finite AUC.
    """
    tasks = {}
    for task, found in multi.items():
        sides = np.asarray(found, float), np.asarray(single.get(task, ()), float)
        if any(len(side) == 0 or not np.isfinite(side).all() for side in sides):
            raise EmptyDataError(f"task gate: {task} wants an AUC of at least one seed on both sides, all finite")
        multi_mean, single_mean = (float(side.mean()) for side in sides)
        tasks[task] = TaskVerdict(multi_mean, single_mean, bool(single_mean - multi_mean <= margin + 1e-12))
    return TasksVerdict(tasks, margin)
