"""The network that the step gates, against its formula."""

import pytest
import torch
from torch import nn

from driftfield.errors import InputError
from driftfield.networks.conditional import ConditionalMLP

T = 10
FUNCTIONS = {"softplus": nn.functional.softplus, "relu": nn.functional.relu, "tanh": torch.tanh}


@pytest.fixture(autouse=True)
def _seeded_and_put_back() -> object:
    """Layers draw their weights from the global generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def by_hand(network: ConditionalMLP, x: torch.Tensor, gates: torch.Tensor, function: object) -> torch.Tensor:
    """softplus(e_l * (W_l h + b_l)), with gates e (depth, width)."""
    for gate, layer in zip(gates, network.layers, strict=True):
        x = function(gate * (x @ layer.weight.T + layer.bias))
    return x @ network.out.weight.T + network.out.bias


@pytest.mark.parametrize("activation", FUNCTIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_at_each_step_of_the_chain_the_network_is_its_formula(activation: str, dtype: torch.dtype) -> None:
    network = ConditionalMLP(2, T, width=5, depth=3, activation=activation).double()
    x = normal(4, 2)
    for i in range(1, T + 1):
        t = (torch.tensor(i, dtype=dtype) / T).double()  # times come in float32 too
        expected = by_hand(network, x, network.gates[i - 1], FUNCTIONS[activation])
        # i / T in float32 is 3e-7 of a step off at most: it is taken for the step itself.
        torch.testing.assert_close(network(x, t), expected)
        torch.testing.assert_close(network(x, t.expand(4)), expected)


@pytest.mark.parametrize("share", [0.25, 0.5, 0.9])
def test_between_two_steps_the_gates_are_on_the_line_between_theirs(share: float) -> None:
    network, x = ConditionalMLP(2, T, width=5, depth=2).double(), normal(4, 2)
    for i in range(1, T):
        t = torch.tensor((i + share) / T, dtype=torch.float64)
        gates = (1 - share) * network.gates[i - 1] + share * network.gates[i]
        torch.testing.assert_close(network(x, t), by_hand(network, x, gates, FUNCTIONS["softplus"]))


def test_before_the_first_step_the_gates_are_those_of_the_first() -> None:
    network, x = ConditionalMLP(2, T, width=5).double(), normal(4, 2)
    for t in (0.0, 0.03, 1 / T):
        time = torch.tensor(t, dtype=torch.float64)
        torch.testing.assert_close(network(x, time), by_hand(network, x, network.gates[0], FUNCTIONS["softplus"]))


def test_rows_at_steps_and_between_them_go_together() -> None:
    network, x = ConditionalMLP(3, T, width=5).double(), normal(6, 3)
    t = torch.tensor([0.1, 0.55, 1.0, 0.5, 0.03, 0.91])
    apart = torch.cat([network(x[i : i + 1], t[i]) for i in range(6)])
    torch.testing.assert_close(network(x, t), apart)


def test_there_is_no_jump_at_a_step() -> None:
    """A time within 1e-3 of a step may be taken for it: the output moves by no more than the gates do there."""
    network, x = ConditionalMLP(2, T, width=5).double(), normal(4, 2)
    near = torch.tensor([(4 + share) / T for share in (-1.5e-3, -0.5e-3, 0.0, 0.5e-3, 1.5e-3)], dtype=torch.float64)
    outputs = torch.stack([network(x, t) for t in near])
    assert (outputs - outputs[2]).abs().max() < 2 * 1.5e-3  # gates differ by less than 1, the rest is of order one


def test_a_step_trains_its_own_gates_alone() -> None:
    network = ConditionalMLP(2, T, width=5).double()
    network(normal(4, 2), torch.tensor(0.3).double()).sum().backward()
    touched = network.gates.grad.abs().sum((1, 2)) > 0
    assert touched.nonzero().flatten().tolist() == [2]  # the third of ten


def test_its_parameters_are_those_of_its_layers_and_one_gate_for_each_step_and_unit() -> None:
    network = ConditionalMLP(2, steps=100, width=128, depth=3)
    layers = 3 * 128 + 2 * 129 * 128 + 129 * 2
    assert sum(p.numel() for p in network.parameters()) == layers + 100 * 3 * 128
    assert float(network.gates.detach().min()) >= 0
    assert float(network.gates.detach().max()) <= 1
    # Uniform on [0, 1]: a mean of 38,400 numbers, four standard errors of 0.29 / sqrt(38400).
    assert float(network.gates.detach().mean()) == pytest.approx(0.5, abs=4 * 0.29 / 38_400**0.5)


def test_it_is_refused_without_a_chain_and_for_sizes_below_one() -> None:
    with pytest.raises(InputError, match="choose a chain"):
        ConditionalMLP(2)
    for options in ({"steps": 0}, {"steps": 5, "width": 0}, {"steps": 5, "depth": 0}):
        with pytest.raises(InputError, match="sizes of at least 1"):
            ConditionalMLP(2, **options)
    with pytest.raises(InputError, match='did you mean "softplus"'):
        ConditionalMLP(2, T, activation="softpuls")
