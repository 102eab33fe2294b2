"""Losses along a funnel against plain sums, finite differences and the population that a sample stands for."""

import numpy as np
import pytest
import torch

from tierrec_core.models.multitask.esmm import UncertaintyWeights, probabilities, step_losses

COMPOSITIONS = ["entire_space", "conditional", "independent"]


@pytest.fixture
def pairs():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(40, 3))
    labels = np.cumprod(rng.random((40, 3)) < 0.6, axis=1).astype(float)
    return tuple(torch.from_numpy(one) for one in (logits, labels, np.log(rng.uniform(0.2, 1.0, 40))))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_probabilities_never_rise_along_the_funnel(pairs):
    chances = probabilities(pairs[0], "entire_space")
    assert (chances.diff(dim=1) <= 0).all()
    np.testing.assert_allclose(chances, np.cumprod(sigmoid(pairs[0].numpy()), axis=1))
    np.testing.assert_allclose(probabilities(pairs[0], "independent"), sigmoid(pairs[0].numpy()))


def test_losses_by_hand(pairs):
    logits, labels, log_rate = (one.numpy() for one in pairs)
    conditional = sigmoid(logits - np.c_[log_rate, np.zeros((40, 2))])

    def entropy(label, chance):
        return -(label * np.log(chance) + (1 - label) * np.log(1 - chance))

    entire = entropy(labels, np.cumprod(conditional, axis=1)).mean(0)
    taken = np.c_[np.ones(40), labels[:, :-1]]
    given = (taken * entropy(labels, conditional)).mean(0)
    weight = np.where(labels[:, 0] > 0, 1, np.exp(-log_rate))[:, None]
    alone = (weight * entropy(labels, conditional)).mean(0)
    alone[0] = entropy(labels[:, 0], conditional[:, 0]).mean()
    for composition, wanted in zip(COMPOSITIONS, (entire, given, alone), strict=True):
        np.testing.assert_allclose(torch.stack(step_losses(*pairs, composition)), wanted)


@pytest.mark.parametrize("composition", COMPOSITIONS)
def test_gradient_against_finite_differences(pairs, composition):
    logits, labels, log_rate = pairs

    def loss(one):
        return torch.stack(step_losses(one, labels, log_rate, composition)).sum()

    assert torch.autograd.gradcheck(loss, logits.clone().requires_grad_())


@pytest.mark.parametrize("composition", COMPOSITIONS)
def test_a_sample_has_its_least_loss_at_the_rates_of_the_population(composition):
    """Of 1000 pairs 200 take the first step and 50 the second; of the 800 others a quarter is in the sample."""
    labels = torch.tensor([[1.0, 1.0]] * 50 + [[1.0, 0.0]] * 150 + [[0.0, 0.0]] * 200, dtype=torch.float64)
    log_rate = torch.full((400,), np.log(0.25), dtype=torch.float64)
    logit = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([logit], max_iter=100, tolerance_grad=1e-12, line_search_fn="strong_wolfe")

    def closure():
        optimiser.zero_grad()
        loss = torch.stack(step_losses(logit.expand(400, 2), labels, log_rate, composition)).sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    chances = probabilities(logit.detach()[None], composition)[0]
    np.testing.assert_allclose(chances, [0.2, 0.05], rtol=1e-4)


def test_a_learned_variance_is_twice_its_loss():
    noise, losses = UncertaintyWeights(2), torch.tensor([0.4, 0.01])
    optimiser = torch.optim.LBFGS(noise.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def closure():
        optimiser.zero_grad()
        total = noise(losses)
        total.backward()
        return total

    optimiser.step(closure)
    np.testing.assert_allclose(noise.log_variance.detach().exp(), 2 * losses, rtol=1e-2)
