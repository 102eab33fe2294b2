"""Funnel steps, each of which requires the one before: labels, probabilities and losses.

entire_space: a step's probability is the product of the conditionals up to it, and every product is learned on all
pairs (ESMM, Ma et al., SIGIR 2018); conditional: the same product, but each conditional is learned where the
previous step was reached; independent: each step's probability is learned by itself.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from tierrec_core.base.contracts import IntArray
from tierrec_core.data.interactions import Interactions

Composition = Literal["entire_space", "conditional", "independent"]
Weighting = Literal["equal", "uncertainty"]
TARGET, COUPON = "target", "coupon"


def pairs_by_step(history: Interactions, steps: Sequence[str], target: tuple[str, ...]) -> list[IntArray]:
    """The user-item pairs that reached each step or a later one, as sorted user * I + item, T arrays.

    target: names of the events that count as success
    """
    codes = []
    for step in steps:
        events = history.filter_events(*(target if step in (TARGET, COUPON) else (step,)))
        events = events.where(events.coupon) if step == COUPON else events
        codes.append(np.asarray(events.user * np.int64(history.num_items) + events.item))
    return [np.unique(np.concatenate(codes[first:])) for first in range(len(codes))]


def probabilities(logits: torch.Tensor, composition: Composition) -> torch.Tensor:
    """The probability of each step, [N, T] -> [N, T]; it never rises along the steps unless independent."""
    probability = logits.sigmoid()
    return probability if composition == "independent" else probability.cumprod(dim=1)


def step_losses(
    logits: torch.Tensor, labels: torch.Tensor, log_rate: torch.Tensor, composition: Composition
) -> list[torch.Tensor]:
    """Mean cross-entropy of each step over the sample, T scalars.

    labels: 1 where the step was reached, which implies all before it, [N, T]
    log_rate: log of the rate at which pairs like this were sampled if they did not reach the first step, [N];
    pairs that did are all sampled, so that their odds in the sample are 1 / rate times higher
    """
    first = logits[:, 0] - log_rate
    losses = [functional.binary_cross_entropy_with_logits(first, labels[:, 0])]
    log_taken = functional.logsigmoid(first)
    for step in range(1, logits.shape[1]):
        logit, label = logits[:, step], labels[:, step]
        if composition == "entire_space":
            log_taken = log_taken + functional.logsigmoid(logit)
            log_not = torch.log(-torch.expm1(log_taken.clamp(max=-1e-6)))
            losses.append(-(label * log_taken + (1 - label) * log_not).mean())
        else:
            loss = functional.binary_cross_entropy_with_logits(logit, label, reduction="none")
            inverse_rate = torch.where(labels[:, 0] > 0, 1.0, torch.exp(-log_rate))
            weight = inverse_rate if composition == "independent" else labels[:, step - 1]
            losses.append((weight * loss).mean())
    return losses


class UncertaintyWeights(nn.Module):  # type: ignore[misc]
    """Learned weights of the losses by each task's noise log_variance [T] (Kendall et al., CVPR 2018)."""

    def __init__(self, tasks: int) -> None:
        super().__init__()
        self.log_variance = nn.Parameter(torch.zeros(tasks))

    def forward(self, losses: torch.Tensor) -> torch.Tensor:
        """The sum of loss / variance + log(variance) / 2, [T] -> scalar; minimal at variance = 2 * loss."""
        return (losses * torch.exp(-self.log_variance) + self.log_variance / 2).sum()
