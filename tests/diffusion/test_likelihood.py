import math

import numpy as np
import pytest
import torch
from oracles import (
    CHAINS,
    CONTINUOUS,
    EVERY,
    RING,
    RING_STD,
    ExactGaussian,
    f64,
    knowing,
    normal,
    ring_distribution,
)
from scipy.linalg import expm
from torch.distributions import MultivariateNormal

from driftfield.diffusion import (
    HEADS,
    SCHEDULES,
    BaseDenoiser,
    Denoiser,
    Estimate,
    Gaussian,
    Schedule,
    encode,
    log_prob,
    matched_prior,
    standard_prior,
)
from driftfield.errors import InputError
from driftfield.networks import MLP

VARIANCES = (0.7, 0.2)


def smallest_noise(schedule: Schedule) -> float:
    """The variance of the noise in x_t / alpha at t_low, which is in every density."""
    return float(schedule.kappa(f64(schedule.t_low))) ** 2


def matched(schedule: Schedule, variance: object, mean: object = (0.0, 0.0)) -> Gaussian:
    return matched_prior(schedule, f64(mean), f64(variance).expand(2))


def two_variances(schedule: Schedule, mean: tuple[float, float] = (0.0, 0.0)) -> ExactGaussian:
    """N(mean, diag(0.7, 0.2)): off the unit variance for which the ODE stands still."""
    return ExactGaussian(schedule, f64(mean), f64(VARIANCES))


def gaussian_density(
    schedule: Schedule, x: torch.Tensor, variance: object, mean: tuple[float, float] = (0.0, 0.0)
) -> torch.Tensor:
    spread = torch.diag(f64(variance).expand(2) + smallest_noise(schedule))
    return MultivariateNormal(f64(mean), spread).log_prob(x)


def ring_density(schedule: Schedule, x: torch.Tensor) -> torch.Tensor:
    variance = RING_STD**2 + smallest_noise(schedule)
    squares = (x[:, None] - f64(RING)).square().sum(-1)
    return torch.logsumexp(-0.5 * squares / variance, 1) - math.log(8 * 2 * math.pi * variance)


def ring_rows(n: int) -> torch.Tensor:
    return ring_distribution(EVERY["ve"]).sample(n, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", EVERY)
def test_a_standard_normal_has_its_density_after_two_steps(name: str) -> None:
    """The ODE stands still for data of unit variance, so that nothing is left to integrate."""
    schedule, x = EVERY[name], 2 * normal(20, 2)
    result = log_prob(ExactGaussian(schedule), x, matched(schedule, 1.0), steps=2)
    # What is left is rounding: of alpha = 1e-3 at t_high, found as 1 - t, times the steepest d kappa / dw, 1e4.
    torch.testing.assert_close(result.value, gaussian_density(schedule, x, 1.0), rtol=0, atol=1e-9)
    assert result.error.max() < 1e-9


@pytest.mark.parametrize("name", ["linear", "cosine-chain", *CONTINUOUS])
def test_a_gaussian_has_its_density_to_fourth_order(name: str) -> None:
    schedule, x = EVERY[name], f64(VARIANCES).sqrt() * normal(40, 2)
    truth = gaussian_density(schedule, x, VARIANCES)
    errors = []
    for steps in (40, 80):
        value = log_prob(two_variances(schedule), x, matched(schedule, VARIANCES), steps).value
        errors.append(float((value - truth).abs().max()))
    # Steps of 0.04 (a short chain) to 0.2 (sub-VP, rectified flow) in log sigma.
    assert errors[1] < 1e-4
    # Where alpha(1) = 0 the ODE ends at kappa = 1000: what is left beyond is (1 - v) / kappa^2 times z^2 / 2.
    assert errors[1] < errors[0] / 10 or errors[1] < 5e-6


@pytest.mark.parametrize("name", [*CHAINS, "vp", "sub-vp", "ve"])
def test_a_gaussian_off_the_origin_has_its_density(name: str) -> None:
    schedule, mean = EVERY[name], (0.5, -1.0)
    x = f64(mean) + f64(VARIANCES).sqrt() * normal(40, 2)
    result = log_prob(two_variances(schedule, mean), x, matched(schedule, VARIANCES, mean), 64)
    torch.testing.assert_close(result.value, gaussian_density(schedule, x, VARIANCES, mean), rtol=0, atol=2e-4)


@pytest.mark.parametrize("name", ["cosine", "rectified-flow"])
def test_a_mean_off_the_origin_costs_no_more_than_the_signal_that_is_left_at_t_high(name: str) -> None:
    schedule, mean = EVERY[name], (0.5, -1.0)
    x = f64(mean) + f64(VARIANCES).sqrt() * normal(40, 2)
    value = log_prob(two_variances(schedule, mean), x, matched(schedule, VARIANCES, mean), 64).value
    # The prior is that of t = 1, the ODE ends with alpha = 1e-3: alpha m z, with |m| < 1.2 and |z| < 4.
    torch.testing.assert_close(value, gaussian_density(schedule, x, VARIANCES, mean), rtol=0, atol=5e-3)


@pytest.mark.parametrize("name", ["ve", "vp", "sub-vp", "cosine", "rectified-flow", "cosine-chain"])
def test_a_mixture_has_its_density(name: str) -> None:
    schedule, x = EVERY[name], ring_rows(200)
    prior = matched(schedule, RING_STD**2 + 0.5)  # a circle of radius 1 has the variance 1/2 on each axis
    value = log_prob(ring_distribution(schedule), x, prior, 64).value
    # 1e-4 is the error of 64 steps over up to 20 units of log sigma; a few rows between components have far more.
    difference = (value - ring_density(schedule, x)).abs()
    assert float(difference.median()) < 1e-4
    assert float(difference.max()) < 5e-3


@pytest.mark.parametrize("head", HEADS)
def test_every_head_gives_the_same_density(head: str) -> None:
    schedule, x = EVERY["vp"], ring_rows(20)
    prior = matched(schedule, 0.51)
    direct = log_prob(ring_distribution(schedule), x, prior, 8)
    through = log_prob(knowing(ring_distribution(schedule), head), x, prior, 8)
    torch.testing.assert_close(through.value, direct.value, rtol=0, atol=1e-8)


@pytest.mark.parametrize("name", ["ve", "rectified-flow", "linear"])
def test_the_density_of_any_network_integrates_to_one(name: str) -> None:
    schedule = EVERY[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = MLP(2, width=16, depth=2, activation="tanh").double()
        torch.nn.init.normal_(network.out.weight, std=0.15)
    axis = torch.linspace(-7, 7, 71).double()  # spacing 0.2 for features of width 0.5: the sum is exact to 1e-4 or so
    grid = torch.cartesian_prod(axis, axis)
    density = log_prob(Denoiser(network, schedule), grid, standard_prior(schedule, f64([0.0, 0.0])), 32)
    assert not torch.allclose(density.value, gaussian_density(schedule, grid, 1.0), atol=0.5)  # it is no Gaussian
    assert float(density.error[density.value > -10].max()) < 0.075  # 15 times the 5e-3 of the order-4 estimate
    assert float(density.value.exp().sum() * 0.2**2) == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize("name", ["ve", "vp", "cosine"])
def test_the_error_estimate_is_of_the_size_of_the_error(name: str) -> None:
    schedule, x = EVERY[name], ring_rows(300)
    prior, truth = matched(schedule, 0.51), ring_density(EVERY[name], ring_rows(300))
    for steps in (32, 64):
        result = log_prob(ring_distribution(schedule), x, prior, steps)
        error = (result.value - truth).abs()
        # The estimate is asymptotic, and the difference it rests on vanishes by chance on some rows. The floor is what
        # the ODE's end at sigma / alpha = 150 (VP) leaves of the mixture's shape, up to 1e-5.
        assert float((error <= 3 * result.error + 2e-5).double().mean()) > 0.9
        assert float(error.median()) < 3 * float(result.error.median())
    order = [values.argsort().argsort().double() for values in (error, result.error)]
    assert float(torch.corrcoef(torch.stack(order))[0, 1]) > 0.25


def test_more_steps_mean_a_smaller_error_estimate() -> None:
    schedule, x = EVERY["ve"], ring_rows(100)
    medians = [
        float(log_prob(ring_distribution(schedule), x, matched(schedule, 0.51), steps).error.median())
        for steps in (16, 32, 64)
    ]
    assert medians[0] > 4 * medians[1] > 16 * medians[2]


@pytest.mark.parametrize("name", ["constant", "sigmoid"])
def test_a_matched_prior_gives_the_density_where_a_chain_stops_early_and_the_standard_one_does_not(name: str) -> None:
    options = {"constant": {"T": 50, "beta": 0.05**2}, "sigmoid": {"T": 100, "beta_start": 1e-5, "beta_end": 5e-3}}
    schedule = SCHEDULES[name](**options[name])
    x = f64(VARIANCES).sqrt() * normal(500, 2)
    distribution, good = two_variances(schedule), matched(schedule, VARIANCES)
    right = log_prob(distribution, x, good, 32)
    wrong = log_prob(distribution, x, standard_prior(schedule, f64([0.0, 0.0])), 32)
    torch.testing.assert_close(right.value, gaussian_density(schedule, x, VARIANCES), rtol=0, atol=1e-5)
    torch.testing.assert_close(wrong.latent, right.latent)
    # The mean loss is KL(q(x_1) || N(0, I)); x_1 ~ N(0, v). Four standard errors over 500 rows.
    v = good.log_var.exp()
    loss, expected = right.value - wrong.value, float(0.5 * (v - 1 - v.log()).sum())
    assert float(loss.mean()) == pytest.approx(expected, abs=4 * float(loss.std()) / math.sqrt(500))
    assert expected > 0.1


@pytest.mark.parametrize("name", EVERY)
def test_the_latent_of_a_gaussian_row_is_the_same_quantile_of_x_1(name: str) -> None:
    schedule, x = EVERY[name], f64(VARIANCES).sqrt() * normal(20, 2)
    latent = encode(two_variances(schedule), x, 64)
    one = f64(1.0)
    end = schedule.alpha(one) ** 2 * f64(VARIANCES) + schedule.sigma(one) ** 2
    expected = x * (end / (f64(VARIANCES) + smallest_noise(schedule))).sqrt()
    torch.testing.assert_close(latent, expected, rtol=2e-4, atol=0)


class LinearFlow(BaseDenoiser):
    """eps_hat for which dz / dtau = z M, with any matrix M."""

    def __init__(self, schedule: Schedule, matrix: torch.Tensor) -> None:
        super().__init__(schedule)
        self.matrix = matrix

    def forward(self, x_t: torch.Tensor, t: torch.Tensor, cond: torch.Tensor | None = None) -> Estimate:
        alpha, sigma = self.schedule.alpha(t), self.schedule.sigma(t)
        size = torch.hypot(alpha, sigma)
        z = (x_t / size).flatten(1)
        eps = ((z @ self.matrix + (sigma / size) ** 2 * z) * size / sigma).view_as(x_t)
        return Estimate((x_t - sigma * eps) / alpha, eps, t, self.schedule)


@pytest.mark.parametrize("shape", [(3,), (1, 3), (3, 1)])
def test_the_divergence_is_the_trace_of_the_jacobian(shape: tuple[int, ...]) -> None:
    schedule = SCHEDULES["ve"](sigma_min=0.1, sigma_max=10.0)
    M = 0.3 * normal(3, 3) + torch.diag(f64([0.1, -0.2, 0.25]))
    x = normal(7, *shape, seed=1)
    prior = Gaussian(torch.zeros(shape).double(), f64([0.3, -0.5, 1.0]).view(shape))
    result = log_prob(LinearFlow(schedule, M), x, prior, 128)
    # z goes to z expm(M tau) in the time between the ends, and volumes by exp(tr M tau).
    low, high = (float(schedule.sigma(f64(t))) for t in (schedule.t_low, 1.0))
    span = math.log(high / low)
    z = x.flatten(1).numpy() / math.hypot(1, low) @ expm(M.numpy() * span)
    latent = f64(z * math.hypot(1, high)).view_as(x)
    volume = span * float(M.trace()) + 3 * math.log(math.hypot(1, high) / math.hypot(1, low))
    torch.testing.assert_close(result.latent, latent, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(result.value, prior.log_prob(latent) + volume, rtol=1e-6, atol=1e-5)


def test_rows_do_not_meet() -> None:
    schedule, x = EVERY["ve"], ring_rows(10)
    prior = matched(schedule, 0.51)
    together = log_prob(ring_distribution(schedule), x, prior, 8)
    for i in (0, 9):
        alone = log_prob(ring_distribution(schedule), x[i : i + 1], prior, 8)
        torch.testing.assert_close(alone.value, together.value[i : i + 1], rtol=0, atol=1e-10)
        torch.testing.assert_close(alone.error, together.error[i : i + 1], rtol=0, atol=1e-10)


def test_single_precision_loses_less_than_a_thousandth_of_a_nat() -> None:
    schedule, x = EVERY["ve"], ring_rows(50)
    double = log_prob(ring_distribution(schedule), x, matched(schedule, 0.51), 32)
    prior = matched_prior(schedule, torch.zeros(2), torch.full((2,), 0.51))
    single = log_prob(ring_distribution(schedule), x.float(), prior, 32)
    assert single.value.dtype == torch.float64  # sums of many steps are kept in float64
    # z is rounded by 1e-7 at each of 32 steps, and densities of width 0.1 have slopes of up to 40.
    torch.testing.assert_close(single.value, double.value, rtol=0, atol=1e-3)


def test_a_density_leaves_no_graph_and_draws_no_random_numbers() -> None:
    with torch.random.fork_rng(devices=[]):
        denoiser = Denoiser(MLP(2), EVERY["ve"])
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    result = log_prob(denoiser, torch.zeros(3, 2), standard_prior(EVERY["ve"], torch.zeros(2)), 4)
    assert not result.value.requires_grad
    assert all(p.grad is None for p in denoiser.parameters())
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)


@pytest.mark.parametrize("steps", [-2, 0, 1, 7])
def test_an_odd_number_of_steps_cannot_be_halved_and_is_refused(steps: int) -> None:
    with pytest.raises(InputError, match=f"even number of steps, at least 2, but {steps}"):
        log_prob(ring_distribution(EVERY["ve"]), torch.zeros(1, 2), matched(EVERY["ve"], 1.0), steps)
