"""Meta-learning of an initialization from which a few gradient steps adapt to a task.

Reptile (Nichol et al., 2018), MAML and ANIL (Finn et al., ICML 2017; Raghu et al., ICLR 2020). Parameters are
tensors by name and a loss is a function of them, so that tasks do not share state.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

Parameters = dict[str, torch.Tensor]
Data = TypeVar("Data")
Loss = Callable[[Parameters, Data], torch.Tensor]


@dataclass(frozen=True)
class Steps:
    """Adaptation to a task: parameters to move, number of steps and step size.

    anchor: weight of the squared distance to the initialization
    """

    moved: tuple[str, ...]
    count: int
    rate: float
    anchor: float = 0.0


def adapt(
    start: Parameters, loss: Loss[Data], support: Data, steps: Steps, *, differentiable: bool = False
) -> Parameters:
    """Parameters after gradient steps on the support; `differentiable` keeps the graph to the initialization."""
    now = dict(start) if differentiable else {name: value.detach() for name, value in start.items()}
    first = dict(now)
    for _ in range(steps.count):
        for name in steps.moved:
            if not now[name].requires_grad:
                now[name] = now[name].detach().requires_grad_()
        value = loss(now, support)
        for name in steps.moved if steps.anchor else ():
            value = value + steps.anchor * (now[name] - first[name]).square().sum()
        slopes = torch.autograd.grad(value, [now[name] for name in steps.moved], create_graph=differentiable)
        for name, slope in zip(steps.moved, slopes, strict=True):
            moved = now[name] - steps.rate * slope
            now[name] = moved if differentiable else moved.detach()
    return now


def reptile(
    start: Parameters, loss: Loss[Data], tasks: Iterable[Sequence[Data]], steps: Steps, meta_rate: float
) -> Parameters:
    """Move the initialization towards the adapted parameters, averaged over a batch of tasks."""
    now = {name: value.detach().clone() for name, value in start.items()}
    for batch in tasks:
        ends = [adapt(now, loss, data, steps) for data in batch]
        for name in steps.moved:
            now[name] = now[name] + meta_rate * (torch.stack([end[name] for end in ends]).mean(0) - now[name])
    return now


def maml(
    start: Parameters,
    loss: Loss[Data],
    tasks: Iterable[tuple[Data, Data]],
    steps: Steps,
    learning_rate: float,
    expand: Callable[[Parameters, Data], Parameters] = lambda parameters, _: parameters,
) -> Parameters:
    """Learn an initialization that, adapted to a support, minimizes the query's loss; ANIL where only a head moves.

    tasks: supports and queries; where one Data holds several tasks, whose losses are summed, `expand` gives each of
    them its own copy of the moved parameters
    """
    now = {name: value.detach().clone().requires_grad_() for name, value in start.items()}
    optimiser = torch.optim.Adam(list(now.values()), lr=learning_rate)
    for support, query in tasks:
        end = adapt(expand(now, support), loss, support, steps, differentiable=True)
        optimiser.zero_grad()
        loss(end, query).backward()
        optimiser.step()
    return {name: value.detach() for name, value in now.items()}
