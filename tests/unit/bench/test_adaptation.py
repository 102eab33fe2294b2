"""Few-shot learners on lines through one point: what all tasks share is learned, and what differs is adapt to."""

import numpy as np
import pytest
import torch

from benchmarks.families.adaptation import Steps, adapt, maml, reptile

pytestmark = pytest.mark.slow

SLOPE, SPREAD, SHARED = 2.0, 0.3, 5.0
BOTH = Steps(("slope", "level"), count=3, rate=0.1)
HEAD = Steps(("slope",), count=1, rate=0.1)
ZERO = {"slope": torch.zeros(1), "level": torch.zeros(1)}


def loss(line, data):
    x, y = data
    return (line["slope"] * x + line["level"] - y).square().mean()


def points(slope, count, rng):
    x = torch.from_numpy(rng.uniform(-2, 2, count))
    return x, slope * x + SHARED


def slopes(count, rng):
    return rng.normal(SLOPE, SPREAD, count)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def after(start, steps, rng):
    """Mean loss on fresh points of new tasks after three points of support."""
    losses = []
    for slope in slopes(50, rng):
        end = adapt(start, loss, points(slope, 3, rng), steps)
        losses.append(float(loss(end, points(slope, 50, rng))))
    return np.mean(losses)


def test_a_step_is_a_step_of_gradient_descent_and_leaves_the_start_alone():
    data = torch.tensor([1.0]), torch.tensor([3.0])
    end = adapt(ZERO, loss, data, Steps(("slope",), count=1, rate=0.25))
    assert float(end["slope"]) == pytest.approx(0.25 * 6.0)
    assert float(end["level"]) == float(ZERO["slope"]) == 0.0


def test_an_anchor_holds_what_moves_near_the_start():
    data = torch.tensor([1.0]), torch.tensor([3.0])
    end = adapt(ZERO, loss, data, Steps(("slope",), count=500, rate=0.05, anchor=1.0))
    assert float(end["slope"]) == pytest.approx(1.5, abs=1e-3)  # where 2 (3 - s) = 2 s


def test_reptile_finds_the_tasks_shared_optimum(rng):
    tasks = ([points(slope, 20, rng) for slope in slopes(5, rng)] for _ in range(200))
    start = reptile(ZERO, loss, tasks, BOTH, meta_rate=0.2)
    assert float(start["slope"]) == pytest.approx(SLOPE, abs=0.15)
    assert float(start["level"]) == pytest.approx(SHARED, abs=0.15)
    assert after(start, BOTH, rng) < 0.1 * after(ZERO, BOTH, rng)


@pytest.mark.parametrize("steps", [BOTH, HEAD], ids=["maml", "anil"])
def test_an_initialization_is_learned_through_the_steps(steps, rng):
    tasks = ((points(one, 3, rng), points(one, 20, rng)) for one in slopes(600, rng))
    start = maml(ZERO, loss, tasks, steps, learning_rate=0.03)
    learned = after(start, steps, rng)
    assert learned < 0.1 * after(ZERO, steps, rng)
    assert learned < after(start, Steps((), count=0, rate=0.0), rng)


def test_the_gradient_through_the_steps_is_the_derivative(rng):
    support, query = points(1.0, 3, rng), points(1.0, 5, rng)

    def outer(slope):
        start = {"slope": slope, "level": torch.zeros(1, dtype=torch.float64)}
        return loss(adapt(start, loss, support, HEAD, differentiable=True), query)

    at = torch.tensor([0.5], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(outer, at)
