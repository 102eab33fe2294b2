"""Few-shot learners over tasks: what is learned before a task, and the few steps taken on its support.

Reptile (Nichol et al., 2018), MAML and ANIL (Finn et al., ICML 2017; Raghu et al., ICLR 2020). Parameters are tensors
by name and a loss is a function of them, so that a step on a task changes nothing that another task sees.
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
    """How a task is adapted to: which parameters move, how often and how far, and what pulls them back.

    anchor: weight of the squared distance from where they began
    """

    moved: tuple[str, ...]
    count: int
    rate: float
    anchor: float = 0.0


def adapted(
    start: Parameters, loss: Loss[Data], support: Data, steps: Steps, *, differentiable: bool = False
) -> Parameters:
    """The parameters after gradient steps on the support; `differentiable` keeps the way back to the start."""
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
    """Move the start towards where tasks end, a batch of tasks at a time; steps on a task see all its data."""
    now = {name: value.detach().clone() for name, value in start.items()}
    for batch in tasks:
        ends = [adapted(now, loss, data, steps) for data in batch]
        for name in steps.moved:
            now[name] = now[name] + meta_rate * (torch.stack([end[name] for end in ends]).mean(0) - now[name])
    return now


def maml(
    start: Parameters,
    loss: Loss[Data],
    tasks: Iterable[tuple[Data, Data]],
    steps: Steps,
    learning_rate: float,
    copied: Callable[[Parameters, Data], Parameters] = lambda parameters, _: parameters,
) -> Parameters:
    """Learn a start from which steps on a support do well on its query; ANIL where only a head moves.

    tasks: supports and queries; where one Data holds several tasks, whose losses add up, `copied` gives each of them
    what moves for itself
    """
    now = {name: value.detach().clone().requires_grad_() for name, value in start.items()}
    optimiser = torch.optim.Adam(list(now.values()), lr=learning_rate)
    for support, query in tasks:
        end = adapted(copied(now, support), loss, support, steps, differentiable=True)
        optimiser.zero_grad()
        loss(end, query).backward()
        optimiser.step()
    return {name: value.detach() for name, value in now.items()}
