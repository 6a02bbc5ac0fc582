import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from driftfield.diffusion import SCHEDULES, Denoiser
from driftfield.errors import InputError
from driftfield.networks import ACTIVATIONS, EMBEDDINGS, MLP
from driftfield.networks.embeddings import Concat, Position, Sine, sine_time


@pytest.fixture(autouse=True)
def _seeded_and_put_back() -> object:
    """Layers draw their weights from the global generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def awake(network: MLP) -> MLP:
    """The network with an output layer that is not zero."""
    nn.init.normal_(network.out.weight)
    nn.init.normal_(network.out.bias)
    return network.double()


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("embedding", EMBEDDINGS)
@pytest.mark.parametrize("frequencies", [(), (1.0, 3.0)])
def test_one_label_for_all_rows_is_the_same_as_that_label_for_each(
    embedding: str, frequencies: tuple[float, ...]
) -> None:
    network, x, label = awake(MLP(3, embedding=embedding, frequencies=frequencies)), normal(5, 3), torch.tensor(-1.3)
    together, apart = network(x, label.double(), None), network(x, label.double().expand(5), None)
    torch.testing.assert_close(together, apart)


@settings(deadline=None, derandomize=True, max_examples=30, database=None)
@given(
    D=st.integers(1, 9),
    width=st.integers(1, 40),
    depth=st.integers(1, 5),
    K=st.integers(0, 4),
    embedding=st.sampled_from(sorted(EMBEDDINGS)),
)
def test_the_number_of_parameters_is_that_of_its_layers(D: int, width: int, depth: int, K: int, embedding: str) -> None:
    network = MLP(D, width, depth, embedding=embedding, frequencies=tuple(range(1, K + 1)))
    inputs = D + 2 * D * K + {"sine": 16, "sine-time": 16, "concat": 1}[embedding]
    expected = (inputs + 1) * width + (depth - 1) * (width + 1) * width + (width + 1) * D
    assert sum(p.numel() for p in network.parameters()) == expected
    assert network(torch.zeros(4, D), torch.zeros(()), None).shape == (4, D)


@pytest.mark.parametrize(
    ("activation", "function"),
    [
        ("silu", lambda h: h / (1 + torch.exp(-h))),
        ("gelu", lambda h: h * 0.5 * (1 + torch.erf(h / math.sqrt(2)))),
        ("relu", lambda h: h * (h > 0)),
        ("softplus", lambda h: torch.log1p(torch.exp(h))),
        ("tanh", lambda h: 1 - 2 / (1 + torch.exp(2 * h))),
    ],
)
def test_a_network_is_its_layers_by_hand(activation: str, function: object) -> None:
    assert set(ACTIVATIONS) == {"silu", "gelu", "relu", "softplus", "tanh"}
    network = awake(MLP(2, width=5, depth=2, activation=activation, embedding="concat"))
    x, label = normal(4, 2), normal(4, seed=1)
    first, second = (layer for layer in network.hidden if isinstance(layer, nn.Linear))
    h = function(torch.cat([x, label[:, None]], 1) @ first.weight.T + first.bias)
    h = function(h @ second.weight.T + second.bias)
    torch.testing.assert_close(network(x, label, None), h @ network.out.weight.T + network.out.bias)


def test_a_fresh_network_with_the_edm_head_is_the_best_linear_denoiser() -> None:
    x_t = normal(6, 2).float()
    for name, make in SCHEDULES.items():
        schedule = make()
        t = torch.tensor(0.4, dtype=torch.float64)
        alpha, sigma = float(schedule.alpha(t)), float(schedule.sigma(t))
        estimate = Denoiser(MLP(2, frequencies=(1.0, 2.0)), schedule)(x_t, t)
        torch.testing.assert_close(estimate.x0, alpha / (alpha**2 + sigma**2) * x_t, msg=name)
        torch.testing.assert_close(estimate.eps, sigma / (alpha**2 + sigma**2) * x_t, msg=name)


def test_the_output_of_a_row_does_not_depend_on_the_others() -> None:
    network, x, label = awake(MLP(2, frequencies=(2.0,))), normal(5, 2), normal(5, seed=1)
    together = network(x, label, None)
    for i in range(5):
        torch.testing.assert_close(network(x[i : i + 1], label[i : i + 1], None), together[i : i + 1])


def test_sine_features_are_sines_and_cosines_of_geometric_frequencies() -> None:
    u = torch.tensor([-3.0, 0.0, 2.5])
    features = Sine(8, lowest=0.5, highest=4.0)(u)
    for j, w in enumerate((0.5, 1.0, 2.0, 4.0)):
        torch.testing.assert_close(features[:, j], torch.sin(w * u))
        torch.testing.assert_close(features[:, 4 + j], torch.cos(w * u))


def test_the_concatenated_feature_is_the_label_itself() -> None:
    u = torch.tensor([0.25, 0.5])
    assert torch.equal(Concat()(u), u[:, None])
    assert torch.equal(Concat()(u[0]), u[:1])


@pytest.mark.parametrize("angle", [None, 0.7])
@pytest.mark.parametrize("noise", [0.05, 0.4, 1.5])
def test_positional_features_are_the_mean_of_sines_and_cosines_over_the_data_behind_x_t(
    noise: float, angle: float | None
) -> None:
    frequencies, n = (1.0, 2.0, 5.0), 400_000
    directions = torch.eye(2)
    if angle is not None:  # three oblique directions in the plane
        angles = angle + torch.tensor([0.0, 1.0, 2.5])
        directions = torch.stack([angles.cos(), angles.sin()])
    y = torch.tensor([[0.3, -1.2]], dtype=torch.float64)
    scaled = y / math.hypot(1, noise)  # what a denoiser with scaled input gives
    position = Position(frequencies, directions).double()
    features = position(scaled, torch.log(torch.tensor([noise], dtype=torch.float64))).squeeze(0)
    rows = (y + noise * normal(n, 2)) @ directions.double()
    phases = (rows[:, :, None] * torch.tensor(frequencies, dtype=torch.float64)).reshape(n, -1)
    mean = torch.cat([phases.sin().mean(0), phases.cos().mean(0)])
    # Four standard errors of a mean of numbers in [-1, 1].
    torch.testing.assert_close(features, mean, rtol=0, atol=4 / math.sqrt(n))


def test_positional_features_are_plain_without_noise_and_vanish_in_much_of_it() -> None:
    x, position = normal(4, 2), Position((1.0, 8.0), torch.eye(2)).double()
    plain = position(x, torch.full((4,), -20.0).double())
    phases = (x[:, :, None] * torch.tensor([1.0, 8.0]).double()).reshape(4, 4)
    torch.testing.assert_close(plain, torch.cat([phases.sin(), phases.cos()], 1))
    assert position(x, torch.full((4,), 5.0).double()).abs().max() < 1e-300  # exp(-e^10 / 2)


def test_features_and_outputs_are_finite_from_the_smallest_noise_to_the_largest() -> None:
    network = MLP(2, frequencies=(1.0, 64.0, 500.0))
    nn.init.normal_(network.out.weight)
    for label in (-14.0, 0.0, 12.0):
        assert torch.isfinite(network(torch.full((3, 2), 4.0), torch.tensor(label), None)).all()


@pytest.mark.parametrize("options", [{"dimensions": 0}, {"dimensions": 2, "width": 0}, {"dimensions": 2, "depth": 0}])
def test_sizes_below_one_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(InputError, match="sizes of at least 1"):
        MLP(**options)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(InputError, match='Unknown activation "silo": did you mean "silu"'):
        MLP(2, activation="silo")
    with pytest.raises(InputError, match="Unknown embedding"):
        MLP(2, embedding="fourier")


def test_an_hourglass_has_the_widths_that_it_is_given() -> None:
    widths = (64, 32, 16, 8, 4, 8, 16, 32, 64)
    network = MLP(2, widths=widths, embedding="concat", activation="gelu")
    sizes = [3, *widths, 2]
    assert [layer.out_features for layer in network.hidden if isinstance(layer, nn.Linear)] == list(widths)
    assert sum(p.numel() for p in network.parameters()) == sum((a + 1) * b for a, b in itertools.pairwise(sizes))
    for options in ({"width": 8}, {"depth": 2}):
        with pytest.raises(InputError, match="not both"):
            MLP(2, widths=widths, **options)


def test_xavier_weights_are_uniform_within_glorots_bound_and_biases_are_a_hundredth() -> None:
    network = MLP(2, width=200, depth=2, embedding="concat", init="xavier")
    for layer in [*(layer for layer in network.hidden if isinstance(layer, nn.Linear)), network.out]:
        bound, weight = math.sqrt(6 / (layer.in_features + layer.out_features)), layer.weight.detach()
        assert weight.abs().max() <= bound
        # Uniform within the bound: five standard errors of a mean and of a mean square.
        n = weight.numel()
        assert float(weight.mean()) == pytest.approx(0, abs=5 * bound / math.sqrt(3 * n))
        assert float(weight.square().mean() / bound**2) == pytest.approx(1 / 3, abs=5 * math.sqrt(4 / 45 / n))
        assert (layer.bias == 0.01).all()


def test_of_the_inits_zero_alone_has_an_output_of_zero() -> None:
    x = normal(5, 2).float()
    for init, silent in (("zero", True), ("torch", False), ("xavier", False)):
        assert (MLP(2, init=init)(x, torch.tensor(0.3), None) == 0).all() == silent


def with_classes(classes: int = 3) -> tuple[MLP, torch.Tensor, torch.Tensor]:
    return awake(MLP(2, width=8, classes=classes)), normal(6, 2), torch.tensor(-0.4).double()


def test_the_class_minus_one_is_no_class() -> None:
    network, x, label = with_classes()
    torch.testing.assert_close(network(x, label, torch.full((6,), -1)), network(x, label, None), rtol=0, atol=0)


def test_every_class_gives_an_output_of_its_own_and_rows_may_mix_them() -> None:
    network, x, label = with_classes()
    each = {c: network(x, label, torch.full((6,), c)) for c in (-1, 0, 1, 2)}
    for a, b in itertools.combinations(each.values(), 2):
        assert (a - b).abs().amax(1).min() > 1e-3  # embeddings are standard normal: no row can miss the difference
    cond = torch.tensor([2, -1, 0, 1, -1, 2])
    mixed = network(x, label, cond)
    for i, c in enumerate(cond.tolist()):
        torch.testing.assert_close(mixed[i], each[c][i])


def test_a_class_trains_its_own_features_alone() -> None:
    network, x, label = with_classes()
    network(x, label, torch.tensor([1, 1, -1, 1, -1, 1])).sum().backward()
    touched = network.classes.weight.grad.abs().sum(1) > 0
    assert touched.tolist() == [False, True, False, True]  # the last one is none


def test_a_network_without_classes_is_the_same_whatever_the_class() -> None:
    network, x, label = with_classes(0)
    assert torch.equal(network(x, label, torch.ones(6, dtype=torch.long)), network(x, label, None))


def test_the_features_of_the_time_tell_the_steps_of_a_chain_apart() -> None:
    features = sine_time()
    assert (features.label, Sine().label) == ("t", "log-sigma")
    torch.testing.assert_close(features.frequencies, torch.logspace(0, 2, 8))
    steps = features(torch.arange(1, 201) / 200)  # (200, 16)
    # Neighbours lie 1 / 200 apart, and the derivative's norm is the root of the sum of the squared frequencies, 129.
    assert (steps[1:] - steps[:-1]).norm(dim=1).min() > 0.5 * 129 / 200
    apart = torch.cdist(steps, steps) + 10 * torch.eye(200)
    assert apart.min() > 0.25
