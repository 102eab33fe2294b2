"""How deep models are trained: one loop, one local seed, one thread; two fits on a CPU give equal bytes."""

import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from tierrec_core.contracts import IntArray

Weights = dict[str, np.ndarray[Any, Any]]
Batch = TypeVar("Batch")
Net = TypeVar("Net", bound=nn.Module)

log = logging.getLogger(__name__)


def best_device() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def tensor(array: np.ndarray[Any, Any]) -> torch.Tensor:
    """The array on the best device: integers as int64, floats as float32, booleans as they are."""
    kinds = {"i": np.int64, "u": np.int64, "f": np.float32, "b": np.bool_}
    return torch.from_numpy(array.astype(kinds[array.dtype.kind])).to(best_device())


@contextlib.contextmanager
def reproducible(seed: int) -> Iterator[None]:
    """Inside, torch draws from `seed` and adds up in one thread; outside, nothing of torch is changed.

    The number of threads decides the order of a sum, and so the last bits of every weight.
    """
    threads = torch.get_num_threads()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def minimise(
    network: nn.Module,
    loss: Callable[[Batch], torch.Tensor],
    batches: Callable[[], Iterable[Batch]],
    *,
    epochs: int,
    learning_rate: float,
    weight_decay: float = 0.0,
    name: str,
) -> list[float]:
    """Train in place with AdamW and a cosine decay; returns the mean loss of each epoch, [epochs].

    `batches` is called once an epoch. On a GPU the loss is computed in bfloat16 where torch deems it safe.
    """
    optimiser = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs, eta_min=learning_rate / 10)
    device = next(network.parameters()).device
    curve = []
    network.train()
    for epoch in range(epochs):
        began, losses = time.perf_counter(), []
        for batch in batches():
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                value = loss(batch)
            optimiser.zero_grad(set_to_none=True)
            value.backward()
            optimiser.step()
            losses.append(value.detach())
        schedule.step()
        curve.append(float(torch.stack(losses).mean()))
        seconds = time.perf_counter() - began
        log.info("%s: epoch %d of %d, loss %.5f, %.1f s", name, epoch + 1, epochs, curve[-1], seconds)
    network.eval()
    return curve


def weights_of(network: nn.Module) -> Weights:
    """The network's parameters and buffers as float arrays by their dotted names."""
    return {name: value.detach().cpu().numpy().copy() for name, value in network.state_dict().items()}


def with_weights(network: Net, weights: Weights) -> Net:
    """The network with these weights, ready to score on the best device."""
    network.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in weights.items()})
    return network.requires_grad_(False).eval().to(best_device())  # type: ignore[no-any-return]


def shuffled_batches(count: int, size: int, rng: np.random.Generator) -> Iterator[IntArray]:
    """The numbers 0..count-1 in a random order, `size` at a time."""
    order = rng.permutation(count)
    for start in range(0, count, size):
        yield order[start : start + size]
