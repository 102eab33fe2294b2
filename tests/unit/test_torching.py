"""The training loop: same seed, same bytes; nothing outside is touched; the loss falls to a known optimum."""

import numpy as np
import torch
from torch import nn

from tierrec_core.torching import minimise, reproducible, shuffled_batches, weights_of, with_weights


def fitted_line(seed: int) -> nn.Linear:
    """y = 3x - 1 without noise: the least squares optimum is the line itself."""
    x = torch.linspace(-1, 1, 64).unsqueeze(1)
    with reproducible(seed):
        line = nn.Linear(1, 1)
        minimise(
            line,
            lambda rows: (line(x[rows]) - (3 * x[rows] - 1)).square().mean(),
            lambda: shuffled_batches(64, 16, np.random.default_rng(0)),
            epochs=60,
            learning_rate=0.1,
            name="line",
        )
    return line


def test_finds_the_least_squares_line():
    line = fitted_line(0)
    np.testing.assert_allclose([line.weight.item(), line.bias.item()], [3, -1], atol=1e-3)


def test_same_seed_same_bytes_and_another_seed_other_bytes():
    first, again, other = (weights_of(fitted_line(seed)) for seed in (0, 0, 1))
    assert all(first[name].tobytes() == again[name].tobytes() for name in first)
    assert any(first[name].tobytes() != other[name].tobytes() for name in first)


def test_leaves_torchs_own_generator_and_threads_alone():
    torch.manual_seed(5)
    expected, threads = torch.rand(3), torch.get_num_threads()
    torch.manual_seed(5)
    fitted_line(0)
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads


def test_batches_are_a_partition():
    batches = list(shuffled_batches(10, 4, np.random.default_rng(0)))
    assert [len(batch) for batch in batches] == [4, 4, 2]
    assert sorted(np.concatenate(batches)) == list(range(10))


def test_weights_survive_the_way_through_numpy():
    line = fitted_line(0)
    again = with_weights(nn.Linear(1, 1), weights_of(line))
    x = torch.rand(5, 1)
    assert torch.equal(again(x.to(again.weight.device)).cpu(), line(x))
    assert not again.training
