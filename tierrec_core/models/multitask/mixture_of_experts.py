"""Multi-task networks: layers of shared and task-specific experts.

Shared bottom (Caruana, Machine Learning 1997), a mixture of experts with a gate for each task (MMoE, Ma et al., KDD
2018), progressive layers of both kinds of experts (PLE, Tang et al., RecSys 2020), and one network for each task.
All are layers of experts and gates that differ in the numbers of shared and of task-specific experts.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field, PositiveInt
from torch import nn

from tierrec_core.settings import Params

Structure = Literal["shared_bottom", "mmoe", "ple", "single"]


class TaskNetworkConfig(Params):
    """Size of a task network; hidden_size is the width of both layers of every expert.

    experts: number shared by the tasks in mmoe and ple; shared_bottom has one, single none
    own_experts, levels: in ple, the number of experts of each task and of layers of experts
    """

    structure: Structure = "mmoe"
    experts: PositiveInt = 4
    own_experts: PositiveInt = 1
    levels: PositiveInt = 3
    hidden_size: PositiveInt = 32
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1

    @property
    def counts(self) -> tuple[int, int, int]:
        """Shared experts, experts of each task, and layers."""
        return {
            "shared_bottom": (1, 0, 1),
            "mmoe": (self.experts, 0, 1),
            "ple": (self.experts, self.own_experts, self.levels),
            "single": (0, 1, 1),
        }[self.structure]


class ExtractionLayer(nn.Module):  # type: ignore[misc]
    """One layer: experts that all tasks share, experts of each task, and each task's gate over both kinds.

    A layer that another follows also has a gate over all experts, whose output goes to the next layer's shared experts.
    Tasks with a single expert need no gate.
    """

    def __init__(
        self,
        width: int,
        hidden: int,
        tasks: int,
        *,
        shared: int,
        own: int = 0,
        dropout: float = 0.0,
        followed: bool = False,
    ) -> None:
        super().__init__()
        self.experts = nn.ModuleList(_expert(width, hidden, dropout) for _ in range(shared))
        self.own = nn.ModuleList(
            nn.ModuleList(_expert(width, hidden, dropout) for _ in range(own)) for _ in range(tasks if own else 0)
        )
        mixing = tasks if shared + own > 1 else 0
        self.gates = nn.ModuleList(nn.Linear(width, shared + own) for _ in range(mixing))
        self.shared_gate = nn.Linear(width, shared + own * tasks) if followed else None
        self.tasks = tasks

    def extract(self, inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """The mixture of each task, and of all experts if a layer follows: T (+ 1) times [N, W] -> [N, H].

        inputs: one for each task, and the last for the shared experts
        """
        shared = [expert(inputs[-1]) for expert in self.experts]
        specific = [[expert(x) for expert in group] for x, group in zip(inputs, self.own, strict=False)]
        mixed = [shared + part for part in specific] if specific else [shared] * self.tasks
        if not len(self.gates):
            parts = [part[0] for part in mixed]
        else:
            parts = [mix(gate, x, part) for gate, x, part in zip(self.gates, inputs, mixed, strict=False)]
        if self.shared_gate is not None:
            outputs = shared + [output for part in specific for output in part]
            parts.append(mix(self.shared_gate, inputs[-1], outputs))
        return parts


class TaskNetwork(ExtractionLayer):
    """Layers of experts, and for each task a tower that gives a logit."""

    def __init__(self, width: int, tasks: int, config: TaskNetworkConfig) -> None:
        shared, own, levels = config.counts
        hidden, dropout = config.hidden_size, config.dropout
        super().__init__(width, hidden, tasks, shared=shared, own=own, dropout=dropout, followed=levels > 1)
        self.deeper = nn.ModuleList(
            ExtractionLayer(hidden, hidden, tasks, shared=shared, own=own, dropout=dropout, followed=level < levels)
            for level in range(2, levels + 1)
        )
        self.towers = nn.ModuleList(nn.Linear(hidden, 1) for _ in range(tasks))

    def logits(self, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
        """A logit for each task, [N, T]; inputs as in ExtractionLayer.extract."""
        parts = self.extract(inputs)
        for layer in self.deeper:
            parts = layer.extract(parts)
        return torch.cat([tower(part) for tower, part in zip(self.towers, parts, strict=True)], dim=1)


def mix(gate: nn.Linear, x: torch.Tensor, experts: Sequence[torch.Tensor]) -> torch.Tensor:
    """Mean of the experts' outputs, weighted by the gate's softmax for x, E times [N, H] -> [N, H]."""
    return (gate(x).softmax(-1).unsqueeze(-1) * torch.stack(list(experts), dim=1)).sum(1)


def _expert(width: int, hidden: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, hidden), nn.ReLU())
