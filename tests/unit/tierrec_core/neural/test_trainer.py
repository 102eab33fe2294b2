"""The training loop: same seed, same bytes; nothing outside is touched; the loss falls to a known optimum."""

import numpy as np
import pytest
import torch
from torch import nn

from tierrec_core.neural import trainer


def fitted_line(seed: int) -> nn.Linear:
    """y = 3x - 1 without noise: the least squares optimum is the line itself."""
    x = torch.linspace(-1, 1, 64).unsqueeze(1)
    with trainer.reproducible(seed):
        line = nn.Linear(1, 1)
        trainer.train_network(
            line,
            lambda rows: (line(x[rows]) - (3 * x[rows] - 1)).square().mean(),
            lambda: trainer.shuffled_batches(64, 16, np.random.default_rng(0)),
            trainer.TrainerConfig(epochs=60, learning_rate=0.1, weight_decay=0.0),
            name="line",
        )
    return line


def test_finds_the_least_squares_line():
    line = fitted_line(0)
    np.testing.assert_allclose([line.weight.item(), line.bias.item()], [3, -1], atol=1e-3)


def test_same_seed_same_bytes_and_another_seed_other_bytes():
    first, again, other = (trainer.network_weights(fitted_line(seed)) for seed in (0, 0, 1))
    assert all(first[name].tobytes() == again[name].tobytes() for name in first)
    assert any(first[name].tobytes() != other[name].tobytes() for name in first)


def test_restores_torchs_generator_and_threads():
    torch.manual_seed(5)
    expected, threads = torch.rand(3), torch.get_num_threads()
    torch.manual_seed(5)
    fitted_line(0)
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads


def towards(target: float, seen: list[float], patience: int) -> tuple[nn.Linear, list[float]]:
    """Train a weight from 0 to 1 with a validation loss that is lowest where the weight equals the target."""
    weight = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(weight.weight)

    def loss(wanted: float) -> torch.Tensor:
        if not weight.training:
            seen.append(weight.weight.item())
        return (weight.weight - wanted).square().sum()

    config = trainer.EarlyStoppingConfig(epochs=40, learning_rate=0.02, weight_decay=0.0, early_stopping=patience)
    with trainer.reproducible(0):
        curve = trainer.train_network(weight, loss, lambda: [1.0] * 5, config, name="weight", validation=[target])
    return weight, curve


@pytest.mark.parametrize("patience", [1, 3])
def test_stops_when_the_validation_loss_rises_and_keeps_the_best_weights(patience: int):
    seen: list[float] = []
    weight, curve = towards(0.5, seen, patience)
    best = int(np.argmin(np.abs(np.array(seen) - 0.5)))
    assert len(curve) == len(seen) == best + 1 + patience < 40
    assert weight.weight.item() == seen[best]
    assert not weight.training


def test_a_validation_loss_that_always_falls_stops_nothing():
    seen: list[float] = []
    weight, curve = towards(1.0, seen, patience=1)
    assert len(curve) == 40
    assert weight.weight.item() == seen[-1]


@pytest.mark.parametrize(
    ("users", "share", "early_stopping", "held_out"), [(1000, 0.05, 2, 50), (1000, 0.05, None, 0), (3, 0.3, 1, 0)]
)
def test_holdout_is_a_share_of_the_users_and_empty_without_early_stopping(users, share, early_stopping, held_out):
    config = trainer.EarlyStoppingConfig(
        epochs=1, learning_rate=0.1, early_stopping=early_stopping, validation_share=share
    )
    assert config.holdout_mask(users, np.random.default_rng(0)).sum() == held_out


def test_a_patience_of_0_is_read_as_no_early_stopping():
    config = trainer.EarlyStoppingConfig.model_validate({"epochs": 1, "learning_rate": 0.1, "patience": 0})
    assert config.early_stopping is None


def test_batches_are_a_partition():
    batches = list(trainer.shuffled_batches(10, 4, np.random.default_rng(0)))
    assert [len(batch) for batch in batches] == [4, 4, 2]
    assert sorted(np.concatenate(batches)) == list(range(10))


def test_weights_survive_a_round_trip_through_numpy():
    line = fitted_line(0)
    again = trainer.load_weights(nn.Linear(1, 1), trainer.network_weights(line))
    x = torch.rand(5, 1)
    assert torch.equal(again(x.to(again.weight.device)).cpu(), line(x))
    assert not again.training
