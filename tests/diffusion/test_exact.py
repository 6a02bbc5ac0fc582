import math

import numpy as np
import pytest
import torch
from hypothesis import given
from oracles import (
    EVERY,
    RING,
    RING_STD,
    by_property,
    f64,
    inside,
    normal,
    ring_law,
    ring_noise,
    schedule_names,
    seeds,
    shares,
    some_times,
)
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from driftfield.diffusion import SCHEDULES, EmpiricalDenoiser, MixtureDenoiser, Schedule
from driftfield.errors import InputError

WIDE = SCHEDULES["ve"](sigma_min=1e-5, sigma_max=1e5)


def some_mixture(schedule: Schedule, seed: int = 0) -> MixtureDenoiser:
    """Three correlated Gaussians in three dimensions."""
    factors = normal(3, 3, 3, seed=seed) * 0.5
    covariances = factors @ factors.mT + 0.05 * torch.eye(3).double()
    return MixtureDenoiser(schedule, f64([0.5, 0.2, 0.3]), normal(3, 3, seed=seed + 1), covariances)


def at(sigma: float) -> torch.Tensor:
    return WIDE.time(2 * torch.log(f64(sigma)))


def reference(law: MixtureDenoiser, t: torch.Tensor) -> MixtureSameFamily:
    alpha, sigma = law.schedule.alpha(t), law.schedule.sigma(t)
    covariances = law.axes @ torch.diag_embed(law.variances) @ law.axes.mT
    noisy = alpha**2 * covariances + sigma**2 * torch.eye(law.means.shape[1]).double()
    return MixtureSameFamily(Categorical(logits=law.log_weights), MultivariateNormal(alpha * law.means, noisy))


@given(name=schedule_names, share=shares, seed=seeds)
@by_property
def test_the_density_of_a_mixture_is_that_of_torch_distributions(name: str, share: float, seed: int) -> None:
    schedule = EVERY[name]
    law, t = some_mixture(schedule, seed), inside(schedule, share)
    x_t = schedule.perturb(normal(5, 3, seed=seed + 2), t, normal(5, 3, seed=seed + 3))
    torch.testing.assert_close(law.log_prob(x_t, t), reference(law, t).log_prob(x_t), rtol=1e-9, atol=1e-9)


@given(name=schedule_names, share=shares, seed=seeds)
@by_property
def test_the_score_is_the_gradient_of_the_log_density(name: str, share: float, seed: int) -> None:
    schedule = EVERY[name]
    law, t = some_mixture(schedule, seed), inside(schedule, share)
    x_t = schedule.perturb(normal(5, 3, seed=seed + 2), t, normal(5, 3, seed=seed + 3)).requires_grad_()
    (gradient,) = torch.autograd.grad(reference(law, t).log_prob(x_t).sum(), x_t)
    torch.testing.assert_close(law(x_t.detach(), t).score, gradient, rtol=1e-8, atol=1e-8)


@given(name=schedule_names, share=shares)
@by_property
def test_the_noise_of_the_ring_is_that_of_a_second_implementation(name: str, share: float) -> None:
    schedule = EVERY[name]
    t = inside(schedule, share)
    alpha, sigma = float(schedule.alpha(t)), float(schedule.sigma(t))
    x_t = schedule.perturb(normal(20, 2), t, normal(20, 2, seed=1))
    expected = ring_noise((x_t / alpha).numpy(), sigma / alpha)
    np.testing.assert_allclose(ring_law(schedule)(x_t, t).eps.numpy(), expected, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("name", EVERY)
def test_the_estimate_is_the_posterior_mean_by_quadrature(name: str) -> None:
    schedule = EVERY[name]
    t = f64(0.5)
    alpha, sigma = float(schedule.alpha(t)), float(schedule.sigma(t))
    law = MixtureDenoiser(schedule, f64([1.0, 3.0]), f64([[-1.0], [0.5]]), f64([[[0.04]], [[0.25]]]))
    x = np.linspace(-6, 6, 20_001)  # spacing 6e-4, far below both standard deviations: the sum is exact to rounding
    density = 0.25 * np.exp(-((x + 1) ** 2) / 0.08) / 0.2 + 0.75 * np.exp(-((x - 0.5) ** 2) / 0.5) / 0.5
    for y in (-1.2, 0.1, 0.8):
        likelihood = np.exp(-((y - alpha * x) ** 2) / (2 * sigma**2))
        mean = (x * density * likelihood).sum() / (density * likelihood).sum()
        assert float(law(f64([[y]]), t).x0) == pytest.approx(mean, abs=1e-9)


@pytest.mark.parametrize("name", EVERY)
def test_data_and_noise_of_a_mixture_make_up_x_t(name: str) -> None:
    schedule = EVERY[name]
    t = some_times(schedule)
    x_t = schedule.perturb(normal(9, 3), t, normal(9, 3, seed=1))
    estimate = some_mixture(schedule)(x_t, t)
    alpha, sigma = schedule.alpha(t)[:, None], schedule.sigma(t)[:, None]
    torch.testing.assert_close(alpha * estimate.x0 + sigma * estimate.eps, x_t, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", EVERY)
def test_the_empirical_law_is_a_mixture_of_points(name: str) -> None:
    schedule = EVERY[name]
    rows, t = normal(6, 2), some_times(schedule)
    points = MixtureDenoiser(schedule, torch.ones(6), rows, torch.zeros(6, 2, 2))
    x_t = schedule.perturb(rows[[0, 1, 2, 3, 4, 5, 0, 1, 2]], t, normal(9, 2, seed=1))
    empirical, mixture = EmpiricalDenoiser(schedule, rows)(x_t, t), points(x_t, t)
    torch.testing.assert_close(empirical.x0, mixture.x0, rtol=1e-9, atol=1e-9)
    # (x_t - alpha x_hat) / sigma cancels down to sigma = 1e-6 of sub-VP.
    torch.testing.assert_close(empirical.eps, mixture.eps, rtol=1e-8, atol=1e-8)


def test_the_empirical_law_agrees_with_a_plain_softmax() -> None:
    schedule, rows, x_t, t = EVERY["cosine"], normal(7, 2, 3), normal(4, 2, 3, seed=1), f64(0.4)
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    for i in range(4):
        weight = torch.exp(-((x_t[i] - alpha * rows) ** 2).sum((1, 2)) / (2 * sigma**2))
        expected = (weight[:, None, None] * rows).sum(0) / weight.sum()
        torch.testing.assert_close(EmpiricalDenoiser(schedule, rows)(x_t, t).x0[i], expected)


def test_the_empirical_law_is_the_same_in_chunks() -> None:
    rows, x_t = normal(50, 3), normal(20, 3, seed=1)
    t = torch.linspace(0.05, 0.95, 20).double()
    whole = EmpiricalDenoiser(EVERY["vp"], rows)(x_t, t)
    parts = EmpiricalDenoiser(EVERY["vp"], rows, chunk=1)(x_t, t)
    torch.testing.assert_close(whole.x0, parts.x0)
    torch.testing.assert_close(whole.eps, parts.eps)


def test_at_a_noise_of_1e_4_a_mixture_hardly_moves_its_rows_and_knows_their_score() -> None:
    law = ring_law(WIDE)
    eps = normal(8, 2, seed=1)
    x = f64(RING) + RING_STD * normal(8, 2)
    x_t = x + 1e-4 * eps
    estimate = law(x_t, at(1e-4))
    # Only one component matters to e^-10 or so, and its posterior mean is known.
    expected = x_t - 1e-8 / (RING_STD**2 + 1e-8) * (x_t - f64(RING))
    torch.testing.assert_close(estimate.x0, expected, rtol=0, atol=1e-9)
    torch.testing.assert_close(estimate.score, -(x_t - f64(RING)) / (RING_STD**2 + 1e-8), rtol=1e-3, atol=1e-3)


def test_at_a_noise_of_1e_4_the_empirical_law_returns_the_row_itself() -> None:
    rows, eps = normal(20, 2), normal(20, 2, seed=1)
    estimate = EmpiricalDenoiser(WIDE, rows)(rows + 1e-4 * eps, at(1e-4))
    assert torch.equal(estimate.x0, rows)
    torch.testing.assert_close(estimate.eps, eps, rtol=0, atol=1e-10)  # 1e-16 of x_t over 1e-4, with room


def test_at_a_noise_of_1e4_only_the_mean_and_a_little_of_the_covariance_are_left() -> None:
    rows, eps = normal(20, 2), normal(5, 2, seed=1)
    x_t, sigma = 1e4 * eps, 1e4
    mean, covariance = rows.mean(0), rows.T.cov(correction=0)
    # x_hat = mean + C x_t / sigma^2 to first order in 1 / sigma; the second is 1 / sigma^2 times third moments, < 20.
    expected = mean + x_t @ covariance / sigma**2
    for law in (
        EmpiricalDenoiser(WIDE, rows),
        MixtureDenoiser(WIDE, torch.ones(20), rows, torch.zeros(20, 2, 2)),
        MixtureDenoiser(WIDE, torch.ones(1), mean[None], covariance[None]),
    ):
        estimate = law(x_t, at(sigma))
        torch.testing.assert_close(estimate.x0, expected, rtol=0, atol=20 / sigma**2)
        torch.testing.assert_close(estimate.eps, eps, rtol=0, atol=3 / sigma)


@pytest.mark.parametrize("sigma", [1e-4, 1e-2, 1.0, 1e2, 1e4])
def test_far_from_every_row_an_exact_denoiser_stays_finite(sigma: float) -> None:
    rows, far = normal(20, 2), 1e6 * normal(5, 2, seed=1)
    for law in (EmpiricalDenoiser(WIDE, rows), ring_law(WIDE)):
        estimate = law(far, at(sigma))
        assert torch.isfinite(estimate.x0).all()
        assert torch.isfinite(estimate.eps).all()


def test_samples_of_a_mixture_have_its_moments() -> None:
    law, n = some_mixture(EVERY["ve"]), 100_000
    rows = law.sample(n, torch.Generator().manual_seed(0))
    weights, covariances = law.log_weights.exp(), law.axes @ torch.diag_embed(law.variances) @ law.axes.mT
    mean = weights @ law.means
    spread = law.means - mean
    covariance = torch.einsum("k,kij->ij", weights, covariances + spread[:, :, None] * spread[:, None])
    # Five standard errors: of a mean std / sqrt(n), of a covariance at most sqrt(3 v v' / n) for tails like these.
    std = covariance.diagonal().sqrt()
    assert ((rows.mean(0) - mean).abs() < 5 * std / math.sqrt(n)).all()
    assert ((rows.T.cov() - covariance).abs() < 5 * math.sqrt(3 / n) * std[:, None] * std).all()


def test_the_density_of_the_data_is_the_density_at_time_zero() -> None:
    law, x = ring_law(EVERY["vp"]), f64(RING) + 0.05
    torch.testing.assert_close(law.log_prob(x, torch.tensor(0.0)), reference(law, f64(0.0)).log_prob(x))


def test_estimates_come_in_the_precision_of_x_t() -> None:
    for law in (ring_law(EVERY["vp"]), EmpiricalDenoiser(EVERY["vp"], normal(5, 2))):
        assert law(torch.ones(3, 2), torch.tensor(0.5)).x0.dtype == torch.float32
        assert law(torch.ones(3, 2).double(), torch.tensor(0.5)).eps.dtype == torch.float64


def test_a_covariance_with_a_negative_eigenvalue_is_refused_and_one_that_is_singular_is_not() -> None:
    for law, matrix in (("bad", [[1.0, 2.0], [2.0, 1.0]]), ("singular", [[1.0, 1.0], [1.0, 1.0]])):
        arguments = (EVERY["vp"], torch.ones(1), torch.zeros(1, 2), f64([matrix]))
        if law == "bad":
            with pytest.raises(InputError, match=r"component 1 .*eigenvalue -1"):
                MixtureDenoiser(*arguments)
        else:
            assert torch.isfinite(MixtureDenoiser(*arguments)(normal(3, 2), f64(0.5)).eps).all()


def test_a_component_without_weight_is_refused() -> None:
    with pytest.raises(InputError, match="weights of a mixture must be positive"):
        MixtureDenoiser(EVERY["vp"], f64([1.0, 0.0]), torch.zeros(2, 1), torch.ones(2, 1, 1))
