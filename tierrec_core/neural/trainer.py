"""Training loop of the neural models; with a local seed and one thread, two fits on a CPU are bit-identical."""

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
from tierrec_core.neural.tracking import record_metrics

Weights = dict[str, np.ndarray[Any, Any]]
Batch = TypeVar("Batch")
Network = TypeVar("Network", bound=nn.Module)

_STEPS_WORTH_COMPILING = 10_000  # of a few milliseconds each; a compilation takes about half a minute

log = logging.getLogger(__name__)


def best_device() -> torch.device:
    """The GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def to_tensor(array: np.ndarray[Any, Any]) -> torch.Tensor:
    """Copy to the best device: integers as int64, floats as float32, booleans unchanged."""
    dtypes = {"i": np.int64, "u": np.int64, "f": np.float32, "b": np.bool_}
    return torch.from_numpy(array.astype(dtypes[array.dtype.kind])).to(best_device())


@contextlib.contextmanager
def reproducible(seed: int) -> Iterator[None]:
    """Seed torch and limit it to one thread within the context; its global state is restored afterwards.

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


def holdout_mask(num_users: int, share: float, patience: int, rng: np.random.Generator) -> BoolArray:
    """Mark the random share of users held out for early stopping, [U]; none where patience is 0."""
    order = rng.permutation(num_users)
    mask: BoolArray = order < (int(share * num_users) if patience else 0)
    return mask


@dataclass(frozen=True)
class EarlyStopping(Generic[Batch]):
    """Stops training `patience` epochs after the lowest loss on the held-out batches."""

    batches: Sequence[Batch]
    patience: int


def train_network(
    network: nn.Module,
    loss: Callable[[Batch], torch.Tensor],
    batches: Callable[[], Iterable[Batch]],
    *,
    epochs: int,
    learning_rate: float,
    weight_decay: float = 0.0,
    name: str,
    early_stopping: EarlyStopping[Batch] | None = None,
) -> list[float]:
    """Train in place with AdamW and a cosine decay; return the mean training loss of each epoch that ran.

    `batches` is called once an epoch. With `early_stopping`, the network ends with the weights of the epoch with the
    lowest held-out loss. On a GPU the loss is computed in bfloat16 where torch considers it safe, and compiled where
    there are enough steps to pay for it.
    """
    optimizer = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs, eta_min=learning_rate / 10)
    device, best = next(network.parameters()).device, _BestWeights(network)
    curve: list[float] = []
    for epoch in range(1, epochs + 1):
        began, rate = time.perf_counter(), schedule.get_last_lr()[0]
        losses = _train_epoch(network, loss, batches(), optimizer, device)
        schedule.step()
        curve.append(float(torch.stack(losses).mean()))
        metrics = {"loss/train": curve[-1], "learning_rate": rate}
        if early_stopping:
            held_out_loss = _mean_loss(network, loss, early_stopping.batches, device)
            metrics["loss/held"] = held_out_loss
            best.update(held_out_loss, epoch)
        metrics["seconds"] = time.perf_counter() - began
        record_metrics(epoch, metrics)
        values = ", ".join(f"{metric} {value:.5g}" for metric, value in metrics.items())
        log.info("%s: epoch %d of %d, %s", name, epoch, epochs, values)
        if early_stopping and epoch - best.epoch >= early_stopping.patience:
            break
        if epoch == 1 and device.type == "cuda" and len(losses) * (epochs - 1) >= _STEPS_WORTH_COMPILING:
            loss = torch.compile(loss, dynamic=True)
    best.restore()
    network.eval()
    return curve


def _train_epoch(
    network: nn.Module,
    loss: Callable[[Batch], torch.Tensor],
    batches: Iterable[Batch],
    optimizer: torch.optim.Optimizer,
    device: torch.device,
) -> list[torch.Tensor]:
    """Take one step per batch; return the loss of each."""
    network.train()
    losses = []
    for batch in batches:
        with _autocast(device):
            value = loss(batch)
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        optimizer.step()
        losses.append(value.detach())
    return losses


def _mean_loss(
    network: nn.Module, loss: Callable[[Batch], torch.Tensor], batches: Iterable[Batch], device: torch.device
) -> float:
    """Mean loss in evaluation mode, without gradients."""
    network.eval()
    with torch.no_grad(), _autocast(device):
        return float(torch.stack([loss(batch) for batch in batches]).mean())


def _autocast(device: torch.device) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


class _BestWeights:
    """The weights of the epoch with the lowest loss; `restore` does nothing without an update."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._weights: dict[str, torch.Tensor] | None = None
        self._loss, self.epoch = float("inf"), 0

    def update(self, loss: float, epoch: int) -> None:
        if loss < self._loss:
            self._loss, self.epoch = loss, epoch
            self._weights = {name: value.clone() for name, value in self._network.state_dict().items()}

    def restore(self) -> None:
        if self._weights is not None:
            self._network.load_state_dict(self._weights)


def network_weights(network: nn.Module) -> Weights:
    """Parameters and buffers as arrays, by dotted name."""
    return {name: value.detach().cpu().numpy().copy() for name, value in network.state_dict().items()}


def load_weights(network: Network, weights: Weights) -> Network:
    """Load the weights and return the network in evaluation mode on the best device."""
    network.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in weights.items()})
    return network.requires_grad_(False).eval().to(best_device())  # type: ignore[no-any-return]


def shuffled_batches(count: int, size: int, rng: np.random.Generator) -> Iterator[IntArray]:
    """Yield 0..count-1 in random order, `size` at a time."""
    order = rng.permutation(count)
    for start in range(0, count, size):
        yield order[start : start + size]
