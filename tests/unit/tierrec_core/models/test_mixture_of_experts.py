"""Layers of experts against sums by hand, and what is shared against what is not."""

import numpy as np
import pytest
import torch

from tierrec_core.models.multitask.mixture_of_experts import ExtractionLayer, TaskNetwork, TaskNetworkConfig, mix

WIDTH, HIDDEN, TASKS = 5, 7, 2


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def inputs():
    x = torch.randn(11, WIDTH)
    return [x] * (TASKS + 1)


def size(structure, hidden_size=HIDDEN, dropout=0.0, **options):
    return TaskNetworkConfig(structure=structure, hidden_size=hidden_size, dropout=dropout, **options)


def by_hand(expert, x):
    first, _, _, second, _ = expert
    hidden = (x @ first.weight.T + first.bias).clamp(min=0)
    return (hidden @ second.weight.T + second.bias).clamp(min=0)


def test_a_gate_of_equal_logits_averages():
    gate = torch.nn.Linear(WIDTH, 3)
    torch.nn.init.zeros_(gate.weight), torch.nn.init.zeros_(gate.bias)
    parts = [torch.full((4, HIDDEN), float(n)) for n in (1, 2, 6)]
    torch.testing.assert_close(mix(gate, torch.randn(4, WIDTH), parts), torch.full((4, HIDDEN), 3.0))


def test_weights_of_a_gate_sum_to_one():
    gate, same = torch.nn.Linear(WIDTH, 4), torch.randn(6, HIDDEN)
    torch.testing.assert_close(mix(gate, torch.randn(6, WIDTH), [same] * 4), same)


def test_mmoe_by_hand():
    layer, x = ExtractionLayer(WIDTH, HIDDEN, TASKS, shared=3), inputs()
    for task, found in enumerate(layer.extract(x)):
        share = torch.softmax(x[0] @ layer.gates[task].weight.T + layer.gates[task].bias, dim=1)
        wanted = sum(share[:, [n]] * by_hand(expert, x[0]) for n, expert in enumerate(layer.experts))
        torch.testing.assert_close(found, wanted)


def test_ple_by_hand():
    """A task mixes the shared expert and its own, and what goes on to the next layer mixes all three."""
    layer, x = ExtractionLayer(WIDTH, HIDDEN, TASKS, shared=1, own=1, followed=True), inputs()
    shared, own = by_hand(layer.experts[0], x[0]), [by_hand(group[0], x[0]) for group in layer.own]
    *parts, onward = layer.extract(x)
    for gate, mine, found in zip(layer.gates, own, parts, strict=True):
        share = torch.softmax(gate(x[0]), dim=1)
        torch.testing.assert_close(found, share[:, [0]] * shared + share[:, [1]] * mine)
    share = torch.softmax(layer.shared_gate(x[0]), dim=1)
    everyone = torch.stack([shared, *own], dim=1)
    torch.testing.assert_close(onward, (share[..., None] * everyone).sum(1))


def test_shared_bottom_is_one_network_with_a_tower_each():
    network, x = TaskNetwork(WIDTH, TASKS, size("shared_bottom")), inputs()
    bottom = by_hand(network.experts[0], x[0])
    wanted = torch.cat([tower(bottom) for tower in network.towers], dim=1)
    torch.testing.assert_close(network.logits(x), wanted)
    assert not len(network.gates)


def test_ple_of_one_level_without_own_experts_is_mmoe():
    ple = TaskNetwork(WIDTH, TASKS, size("ple", experts=3, levels=1).model_copy(update={"own_experts": 0}))
    mmoe = TaskNetwork(WIDTH, TASKS, size("mmoe", experts=3))
    mmoe.load_state_dict(ple.state_dict())
    x = inputs()
    torch.testing.assert_close(ple.logits(x), mmoe.logits(x), rtol=0, atol=0)


@pytest.mark.parametrize("structure", ["shared_bottom", "mmoe", "ple", "single"])
def test_who_learns_from_the_first_task(structure):
    """What is shared has a gradient from it; what belongs to the second task has none."""
    network = TaskNetwork(WIDTH, TASKS, size(structure, experts=2, levels=2))
    network.logits(inputs())[:, 0].sum().backward()
    reached = {name for name, one in network.named_parameters() if one.grad is not None and one.grad.any()}
    assert "towers.0.weight" in reached
    assert "towers.1.weight" not in reached
    assert any(name.startswith("experts.") for name in reached) == (structure != "single")
    if structure == "single":
        assert {name for name in reached if name.startswith(("own.1", "gates.1"))} == set()
    if structure == "ple":
        assert {name for name in reached if name.startswith(("deeper.0.own.1", "deeper.0.gates.1"))} == set()
        assert any(name.startswith("deeper.0.experts.") for name in reached)


def test_dropout_is_only_for_learning():
    network, x = TaskNetwork(WIDTH, TASKS, size("mmoe", hidden_size=64, dropout=0.5)), inputs()
    assert not torch.equal(network.logits(x), network.logits(x))
    network.eval()
    np.testing.assert_array_equal(network.logits(x).detach(), network.logits(x).detach())
