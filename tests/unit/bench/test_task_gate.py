"""No task may lose more than the margin, whatever the others gain."""

import numpy as np
import pytest

from benchmarks.families.multitask.task_gate import gate_tasks
from tierrec_core.base.errors import EmptyDataError

SINGLE = {"purchase": np.array([0.85, 0.852]), "coupon": np.array([0.93, 0.94])}


def moved(**by):
    return {task: auc + by.get(task, 0.0) for task, auc in SINGLE.items()}


def test_equal_passes():
    assert gate_tasks(SINGLE, SINGLE).passed


@pytest.mark.parametrize(("loss", "passed"), [(0.0019, True), (0.002, True), (0.0021, False)])
def test_a_loss_passes_up_to_the_margin(loss, passed):
    assert gate_tasks(moved(purchase=-loss, coupon=0.05), SINGLE).passed is passed


def test_the_reason_names_the_task_that_fails():
    verdict = gate_tasks(moved(purchase=-0.01, coupon=0.05), SINGLE)
    assert "purchase -0.0100" in verdict.reason
    assert "coupon" not in verdict.reason
    assert verdict.report()["tasks"]["coupon"]["passed"]


def test_means_over_seeds_are_compared():
    single = {"a": np.array([0.5, 0.7])}
    verdict = gate_tasks({"a": np.array([0.7, 0.62, 0.6])}, single)
    assert verdict.tasks["a"].gain == pytest.approx(0.04)


@pytest.mark.parametrize("single", [{}, {"a": np.array([])}, {"a": np.array([np.nan])}])
def test_nothing_to_compare_with_is_said(single):
    with pytest.raises(EmptyDataError, match="task gate: a wants"):
        gate_tasks({"a": np.array([0.7])}, single)
