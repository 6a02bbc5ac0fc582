import math

import pytest
import torch
from oracles import EVERY, ExactGaussian, Says, f64, inside, knowing, normal, ring_distribution, some_times

from driftfield.diffusion import HEADS, SCHEDULES, BaseDenoiser, Denoiser, empirical_denoiser
from driftfield.errors import InputError
from driftfield.networks import MLP


def untrained(name: str, head: str, dimensions: int = 2) -> Denoiser:
    """A denoiser whose network answers something, in float64."""
    torch.manual_seed(0)
    network = MLP(dimensions, width=8, depth=2).double()
    torch.nn.init.normal_(network.out.weight)
    return Denoiser(network, EVERY[name], head)


@pytest.fixture(autouse=True)
def _global_state_as_it_was() -> object:
    with torch.random.fork_rng(devices=[]):
        yield


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", EVERY)
def test_data_and_noise_of_an_estimate_make_up_x_t(name: str, head: str) -> None:
    schedule = EVERY[name]
    t, x_t = some_times(schedule), normal(9, 2)
    estimate = untrained(name, head)(x_t, t)
    alpha, sigma = schedule.alpha(t)[:, None], schedule.sigma(t)[:, None]
    # Each part is rounded relative to itself, and near the ends one of them is huge: sigma eps_hat cancels alpha x_hat.
    size = ((alpha * estimate.x0).abs().max() + (sigma * estimate.eps).abs().max()).item()
    torch.testing.assert_close(alpha * estimate.x0 + sigma * estimate.eps, x_t, rtol=0, atol=1e-14 * (1 + size))


@pytest.mark.parametrize("name", EVERY)
def test_the_velocity_is_that_of_the_probability_flow_ode(name: str) -> None:
    schedule = EVERY[name]
    t = f64([0.0731, 0.2317, 0.518, 0.7789, 0.9413])
    x_t = schedule.perturb(normal(5, 2), t, normal(5, 2, seed=1))
    estimate = ring_distribution(schedule)(x_t, t)
    f, g2 = schedule.rates(t)
    expected = f[:, None] * x_t - 0.5 * g2[:, None] * estimate.score  # Song et al. 2021 (SDE), eq. 13
    torch.testing.assert_close(estimate.velocity, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", EVERY)
def test_the_score_is_minus_the_noise_over_sigma(name: str) -> None:
    schedule = EVERY[name]
    t, x_t = some_times(schedule), normal(9, 2)
    estimate = untrained(name, "eps")(x_t, t)
    torch.testing.assert_close(estimate.score, -estimate.eps / schedule.sigma(t)[:, None])


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", EVERY)
def test_one_time_for_all_rows_is_the_same_as_that_time_for_each(name: str, head: str) -> None:
    denoiser, x_t = untrained(name, head), normal(4, 2)
    t = inside(EVERY[name], 0.37)
    together, apart = denoiser(x_t, t), denoiser(x_t, t.expand(4))
    torch.testing.assert_close(together.x0, apart.x0)
    torch.testing.assert_close(together.eps, apart.eps)
    torch.testing.assert_close(together.velocity, apart.velocity)
    torch.testing.assert_close(together.score, apart.score)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", EVERY)
def test_both_ends_of_time_are_ordinary(name: str, head: str) -> None:
    for t in (f64(0.0), f64(1.0), torch.tensor([0.0, 1.0, 0.5, 0.0])):
        estimate = untrained(name, head)(normal(4, 2), t)
        for part in (estimate.x0, estimate.eps, estimate.score, estimate.velocity):
            assert torch.isfinite(part).all()


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", EVERY)
def test_a_head_is_only_another_way_to_say_the_same(name: str, head: str) -> None:
    schedule = EVERY[name]
    distribution = ring_distribution(schedule)
    t = some_times(schedule)
    x_t = schedule.perturb(normal(9, 2), t, normal(9, 2, seed=1))
    said, known = knowing(distribution, head)(x_t, t), distribution(x_t, t)
    # A rounding of the output is magnified by 1 / alpha or 1 / sigma, a million for sub-VP at t_low.
    worst = float(((1 + schedule.sigma(t)) / torch.minimum(schedule.alpha(t), schedule.sigma(t))).max())
    torch.testing.assert_close(said.x0, known.x0, rtol=0, atol=1e-14 * worst)
    torch.testing.assert_close(said.eps, known.eps, rtol=0, atol=1e-14 * worst)


@pytest.mark.parametrize("kind", ["network", "mixture", "empirical"])
@pytest.mark.parametrize("name", ["cosine", "rectified-flow"])
def test_pure_noise_is_taken_for_the_noise_that_it_is(name: str, kind: str) -> None:
    """At t = 1 the network is evaluated at t_high, where sigma is smaller: x_t has to shrink with it."""
    schedule = EVERY[name]
    distribution: BaseDenoiser = ExactGaussian(schedule)
    if kind == "network":
        distribution = knowing(distribution, "v")
    if kind == "empirical":
        distribution = empirical_denoiser(schedule, f64([[1.0, 1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]]))
    x_1 = normal(50, 2)
    for t in (f64(1.0), torch.ones(50)):
        estimate = distribution(x_1, t)
        # What x_hat knows, alpha(t_high) x_1 <= 1e-3 x_1, comes back times alpha(t_high): 1e-6, and |x_1| < 4.
        torch.testing.assert_close(estimate.eps, x_1, rtol=0, atol=4e-6)
        assert estimate.x0.abs().max() < 4e-3


@pytest.mark.parametrize("name", EVERY)
def test_the_network_sees_an_input_of_unit_variance(name: str) -> None:
    schedule = EVERY[name]
    network = Says(torch.zeros(()))
    denoiser = Denoiser(network, schedule)
    for t in some_times(schedule):
        denoiser(schedule.perturb(normal(20_000, 1), t, normal(20_000, 1, seed=1)), t)
    for x, _ in network.calls:
        # Four standard errors of a variance over 20,000 rows: 4 sqrt(2 / 20,000).
        assert float(x.var()) == pytest.approx(1, abs=0.04)


def test_without_scaling_the_network_sees_x_t_itself() -> None:
    network = Says(torch.zeros(()))
    x_t = normal(3, 2)
    Denoiser(network, EVERY["ve"], scale_input=False)(x_t, f64(0.7))
    assert torch.equal(network.calls[0][0], x_t)


@pytest.mark.parametrize("head", HEADS)
def test_a_scaled_output_has_unit_mean_square_and_the_same_meaning(head: str) -> None:
    x, eps = normal(20_000, 1), normal(20_000, 1, seed=1)
    for name, schedule in EVERY.items():
        for t in some_times(schedule):
            a, b = HEADS[head](schedule, t)
            perfect = (a * x + b * eps) / torch.hypot(a, b)
            # Four standard errors of a mean square over 20,000 rows: 4 sqrt(2 / 20,000).
            assert float(perfect.square().mean()) == pytest.approx(1, abs=0.04), (name, t)
            denoiser = Denoiser(Says(perfect), schedule, head, scale_output=True)
            estimate = denoiser(schedule.perturb(x, t, eps), t)
            kappa = float(schedule.sigma(t) / schedule.alpha(t))
            torch.testing.assert_close(estimate.x0, x, rtol=0, atol=1e-9 * max(1, kappa))  # of noise kappa times x
            torch.testing.assert_close(estimate.eps, eps, rtol=0, atol=1e-9 * max(1, 1 / kappa))


@pytest.mark.parametrize("name", EVERY)
def test_the_network_is_told_the_noise_level_or_the_time(name: str) -> None:
    schedule = EVERY[name]
    t = some_times(schedule)
    labels = {}
    for label in ("log-sigma", "t"):
        network = Says(torch.zeros(()))
        Denoiser(network, schedule, label=label)(normal(9, 1), t)
        labels[label] = network.calls[0][1]
    torch.testing.assert_close(labels["log-sigma"], torch.log(schedule.sigma(t) / schedule.alpha(t)))
    torch.testing.assert_close(labels["t"], t)


def test_coefficients_are_exact_for_a_network_in_single_precision() -> None:
    schedule = SCHEDULES["sub-vp"]()
    t = f64(schedule.t_low)  # sigma = 1e-6
    x, eps = normal(5, 2).float(), normal(5, 2, seed=1).float()
    estimate = Denoiser(Says(eps), schedule, "eps")(schedule.perturb(x, t, eps), t)
    assert estimate.x0.dtype == torch.float32
    torch.testing.assert_close(estimate.x0, x, rtol=0, atol=1e-6)  # float32 rounds x_t by 1e-7


def test_any_shape_of_a_row_is_taken() -> None:
    schedule = EVERY["vp"]
    x, eps, t = normal(3, 2, 4, 5), normal(3, 2, 4, 5, seed=1), f64([0.1, 0.5, 0.9])
    estimate = Denoiser(Says(eps), schedule, "eps")(schedule.perturb(x, t, eps), t)
    torch.testing.assert_close(estimate.x0, x)
    assert estimate.velocity.shape == x.shape


def test_a_head_may_be_a_function() -> None:
    schedule = EVERY["vp"]
    x, eps, t = normal(3, 2), normal(3, 2, seed=1), f64(0.4)
    half = Denoiser(Says(0.5 * x - 0.5 * eps), schedule, lambda s, t: (0.5 + 0 * t, -0.5 + 0 * t))
    torch.testing.assert_close(half(schedule.perturb(x, t, eps), t).x0, x)


def test_unknown_names_are_refused_with_the_nearest_known() -> None:
    with pytest.raises(InputError, match='Unknown head "edn": did you mean "edm"'):
        Denoiser(Says(torch.zeros(())), EVERY["ve"], head="edn")
    with pytest.raises(InputError, match="Unknown label"):
        Denoiser(Says(torch.zeros(())), EVERY["ve"], label="sigma")


def test_a_denoiser_holds_the_tables_of_its_schedule() -> None:
    denoiser = Denoiser(MLP(2), SCHEDULES["linear"](T=7))
    assert "schedule.gammas" in denoiser.state_dict()
    assert math.isclose(float(denoiser.schedule.alpha(f64(1.0)) ** 2), math.prod(1 - b for b in linear_betas(7)))


def linear_betas(T: int) -> list[float]:
    return [1e-4 + (0.1 - 1e-4) * i / (T - 1) for i in range(T)]
