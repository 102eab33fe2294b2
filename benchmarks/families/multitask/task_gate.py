"""The gate of a multi-task model: no task pays for what another gains (negative transfer; Wang et al., CVPR 2019)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tierrec_core.base.contracts import FloatArray
from tierrec_core.base.errors import EmptyDataError

MARGIN = 0.002


@dataclass(frozen=True)
class TaskVerdict:
    """One task: the mean AUC over seeds of both sides, and whether the multi-task model may go on."""

    multi: float
    single: float
    passed: bool

    @property
    def gain(self) -> float:
        """Multi-task minus single-task."""
        return self.multi - self.single


@dataclass(frozen=True)
class TasksVerdict:
    """What the gate says of each task; margin is what a task may lose."""

    tasks: Mapping[str, TaskVerdict]
    margin: float

    @property
    def passed(self) -> bool:
        """Whether no task loses more than the margin."""
        return all(one.passed for one in self.tasks.values())

    @property
    def reason(self) -> str:
        """The tasks that refuse, or the one that comes nearest to it, in words."""
        worst = sorted(self.tasks, key=lambda task: self.tasks[task].gain)
        named = [task for task in worst if not self.tasks[task].passed] or worst[:1]
        told = ", ".join(f"{task} {self.tasks[task].gain:+.4f}" for task in named)
        return f"{told} against single-task; a loss of at most {self.margin:g} passes"

    def report(self) -> dict[str, Any]:
        """Everything as JSON."""
        return {
            "passed": self.passed,
            "reason": self.reason,
            "tasks": {
                task: {"multi": one.multi, "single": one.single, "gain": one.gain, "passed": one.passed}
                for task, one in self.tasks.items()
            },
        }


def judge_tasks(
    multi: Mapping[str, FloatArray], single: Mapping[str, FloatArray], margin: float = MARGIN
) -> TasksVerdict:
    """Compare a multi-task model with single-task ones, by task.

    multi, single: AUC of each seed, by task, [S]; the seeds of the two sides need not be the same
    margin: what the mean of a task may lose
    Raises EmptyDataError where a task has no seed on one side, or AUCs that are no numbers.
    """
    tasks = {}
    for task, found in multi.items():
        sides = np.asarray(found, float), np.asarray(single.get(task, ()), float)
        if any(len(side) == 0 or not np.isfinite(side).all() for side in sides):
            raise EmptyDataError(
                f"task gate: {task} wants an AUC of at least one seed on both sides, all finite"
            )
        ours, theirs = (float(side.mean()) for side in sides)
        tasks[task] = TaskVerdict(ours, theirs, passed=bool(theirs - ours <= margin + 1e-12))
    return TasksVerdict(tasks, margin)
