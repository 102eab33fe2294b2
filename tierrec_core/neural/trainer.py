"""Training and inference of neural models; with a local seed and one thread, two fits on a CPU are bit-identical."""

import contextlib
import copy
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Annotated, Any, TypeVar

import numpy as np
import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import nn

from tierrec_core.base.contracts import BoolArray, FloatArray, IntArray
from tierrec_core.neural.tracking import record_metrics
from tierrec_core.settings import Params, RenamedFrom

Weights = dict[str, np.ndarray[Any, Any]]
Batch = TypeVar("Batch")
Network = TypeVar("Network", bound=nn.Module)
Loss = Callable[[Batch], torch.Tensor]
EarlyStopping = Annotated[PositiveInt | None, RenamedFrom("patience", lambda epochs: epochs or None)]

_MIN_STEPS_TO_COMPILE = 10_000  # of a few milliseconds each; a compilation takes about half a minute

log = logging.getLogger(__name__)


class TrainerConfig(Params):
    """Options of the training loop. refit: fit at every snapshot; false fits only at the oldest and the final one."""

    epochs: PositiveInt
    learning_rate: PositiveFloat
    weight_decay: NonNegativeFloat = 0.01
    refit: bool = False


class EarlyStoppingConfig(TrainerConfig):
    """Training on all users but a random validation_share, whose loss determines early stopping.

    early_stopping: epochs to continue after the lowest validation loss; null trains all epochs on all users
    """

    early_stopping: EarlyStopping = None
    validation_share: Annotated[float, Field(ge=0, lt=1)] = 0.05

    def holdout_mask(self, num_users: int, rng: np.random.Generator) -> BoolArray:
        """Mark the users held out for validation, [U]; none without early stopping."""
        order = rng.permutation(num_users)
        return order < (int(self.validation_share * num_users) if self.early_stopping else 0)


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

    The number of threads changes the order of sums, and so the last bits of the weights.
    """
    threads = torch.get_num_threads()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def fit_network(
    build: Callable[[], nn.Module],
    batches: Callable[[], Iterable[Batch]],
    config: TrainerConfig,
    *,
    seed: int,
    name: str,
    validation: Sequence[Batch] = (),
) -> Weights:
    """Build a network with a method `loss` and train it as `train_network` does, all with the seed."""
    with reproducible(seed):
        network = build().to(best_device())
        train_network(network, network.loss, batches, config, name=name, validation=validation)
    return network_weights(network)


def train_network(
    network: nn.Module,
    loss: Loss[Batch],
    batches: Callable[[], Iterable[Batch]],
    config: TrainerConfig,
    *,
    name: str,
    validation: Sequence[Batch] = (),
) -> list[float]:
    """Train in place with AdamW and a cosine decay; return the mean training loss of each epoch that ran.

    `batches` is called once per epoch. Given validation batches, the network ends with the weights of the epoch with
    their lowest mean loss. On a GPU the loss is computed in bfloat16 where torch considers it safe, and compiled if
    there are enough steps to save time.
    """
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.epochs, eta_min=config.learning_rate / 10)
    device = next(network.parameters()).device
    patience = config.early_stopping if isinstance(config, EarlyStoppingConfig) else None
    curve: list[float] = []
    best_loss, best_epoch, best_weights = float("inf"), 0, None
    for epoch in range(1, config.epochs + 1):
        started, rate = time.perf_counter(), schedule.get_last_lr()[0]
        losses = _train_epoch(network, loss, batches(), optimizer)
        schedule.step()
        curve.append(float(torch.stack(losses).mean()))
        metrics = {"loss/train": curve[-1], "learning_rate": rate}
        if validation:
            metrics["loss/validation"] = _mean_loss(network, loss, validation)
            if metrics["loss/validation"] < best_loss:
                best_loss, best_epoch = metrics["loss/validation"], epoch
                best_weights = copy.deepcopy(network.state_dict())
        metrics["seconds"] = time.perf_counter() - started
        record_metrics(epoch, metrics)
        values = ", ".join(f"{metric} {value:.5g}" for metric, value in metrics.items())
        log.info("%s: epoch %d of %d, %s", name, epoch, config.epochs, values)
        if validation and patience and epoch - best_epoch >= patience:
            break
        if epoch == 1 and device.type == "cuda" and len(losses) * (config.epochs - 1) >= _MIN_STEPS_TO_COMPILE:
            loss = torch.compile(loss, dynamic=True)
    if best_weights:
        network.load_state_dict(best_weights)
    network.eval()
    return curve


def _train_epoch(
    network: nn.Module, loss: Loss[Batch], batches: Iterable[Batch], optimizer: torch.optim.Optimizer
) -> list[torch.Tensor]:
    """Take one step per batch; return the loss of each."""
    network.train()
    losses = []
    for batch in batches:
        with _autocast(network):
            value = loss(batch)
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        optimizer.step()
        losses.append(value.detach())
    return losses


def _mean_loss(network: nn.Module, loss: Loss[Batch], batches: Iterable[Batch]) -> float:
    """Mean loss in evaluation mode, without gradients."""
    network.eval()
    with torch.no_grad(), _autocast(network):
        return float(torch.stack([loss(batch) for batch in batches]).mean())


def _autocast(network: nn.Module) -> torch.autocast:
    device = next(network.parameters()).device
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


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


def predict_in_batches(
    predict: Callable[[slice], torch.Tensor], num_users: int, width: int, batch_size: int = 512
) -> FloatArray:
    """Rows of `predict` [B, W] for all users, a slice of them at a time and without gradients, [U, W] float32."""
    rows = np.empty((num_users, width), np.float32)
    for start in range(0, num_users, batch_size):
        batch = slice(start, start + batch_size)
        with torch.inference_mode():
            rows[batch] = predict(batch).cpu().numpy()
    return rows
