"""How deep models are trained: one loop, one local seed, one thread; two fits on a CPU give equal bytes.

The loop tells tierrec_core.neural.tracking the figures of each epoch.
"""

import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import nn

from tierrec_core.base.contracts import BoolArray, IntArray
from tierrec_core.neural.tracking import record

Weights = dict[str, np.ndarray[Any, Any]]
Batch = TypeVar("Batch")
Net = TypeVar("Net", bound=nn.Module)

_STEPS_WORTH_COMPILING = 10_000  # of a few milliseconds each; a compilation takes about half a minute

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


def kept_back(num_users: int, share: float, patience: int, rng: np.random.Generator) -> BoolArray:
    """The share of the users who teach nothing but tell when to stop, [U]; nobody where patience is 0."""
    order = rng.permutation(num_users)
    kept: BoolArray = order < (int(share * num_users) if patience else 0)
    return kept


@dataclass(frozen=True)
class EarlyStopping(Generic[Batch]):
    """What is kept back of the training to tell when to stop: training ends `patience` epochs after its best loss."""

    batches: Sequence[Batch]
    patience: int


def minimise(
    network: nn.Module,
    loss: Callable[[Batch], torch.Tensor],
    batches: Callable[[], Iterable[Batch]],
    *,
    epochs: int,
    learning_rate: float,
    weight_decay: float = 0.0,
    name: str,
    held: EarlyStopping[Batch] | None = None,
) -> list[float]:
    """Train in place with AdamW and a cosine decay; returns the mean loss of each epoch, [epochs that were run].

    `batches` is called once an epoch. With `held`, the network ends with the weights of the epoch whose loss on the
    held batches was lowest. On a GPU the loss is computed in bfloat16 where torch deems it safe, and compiled where
    many steps are ahead.
    """
    optimiser = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs, eta_min=learning_rate / 10)
    device, best = next(network.parameters()).device, _Best(network)
    curve: list[float] = []
    for epoch in range(1, epochs + 1):
        began, rate = time.perf_counter(), schedule.get_last_lr()[0]
        losses = _epoch(network, loss, batches(), optimiser, device)
        schedule.step()
        curve.append(float(torch.stack(losses).mean()))
        figures = {"loss/train": curve[-1], "learning_rate": rate}
        if held:
            figures["loss/held"] = best.see(_mean_loss(network, loss, held.batches, device), epoch)
        figures["seconds"] = time.perf_counter() - began
        record(epoch, figures)
        told = ", ".join(f"{what} {value:.5g}" for what, value in figures.items())
        log.info("%s: epoch %d of %d, %s", name, epoch, epochs, told)
        if held and epoch - best.epoch >= held.patience:
            break
        if epoch == 1 and device.type == "cuda" and len(losses) * (epochs - 1) >= _STEPS_WORTH_COMPILING:
            loss = torch.compile(loss, dynamic=True)
    best.restore()
    network.eval()
    return curve


def _epoch(
    network: nn.Module,
    loss: Callable[[Batch], torch.Tensor],
    batches: Iterable[Batch],
    optimiser: torch.optim.Optimizer,
    device: torch.device,
) -> list[torch.Tensor]:
    """One step a batch; the loss of each."""
    network.train()
    losses = []
    for batch in batches:
        with _precision(device):
            value = loss(batch)
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        optimiser.step()
        losses.append(value.detach())
    return losses


def _mean_loss(
    network: nn.Module,
    loss: Callable[[Batch], torch.Tensor],
    batches: Iterable[Batch],
    device: torch.device,
) -> float:
    """The mean loss without dropout and without learning from it."""
    network.eval()
    with torch.no_grad(), _precision(device):
        return float(torch.stack([loss(batch) for batch in batches]).mean())


def _precision(device: torch.device) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


class _Best:
    """The weights of the epoch with the lowest loss so far; without any loss seen, the newest."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._weights: dict[str, torch.Tensor] | None = None
        self._loss, self.epoch = float("inf"), 0

    def see(self, loss: float, epoch: int) -> float:
        if loss < self._loss:
            self._loss, self.epoch = loss, epoch
            self._weights = {name: value.clone() for name, value in self._network.state_dict().items()}
        return loss

    def restore(self) -> None:
        if self._weights is not None:
            self._network.load_state_dict(self._weights)


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
