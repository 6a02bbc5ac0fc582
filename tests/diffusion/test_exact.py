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
    ring_distribution,
    ring_noise,
    schedule_names,
    seeds,
    shares,
    some_times,
)
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from driftfield.diffusion import (
    SCHEDULES,
    MixtureDenoiser,
    Schedule,
    empirical_denoiser,
    exact_denoiser,
)
from driftfield.errors import InputError

WIDE = SCHEDULES["ve"](sigma_min=1e-5, sigma_max=1e5)


def some_mixture(schedule: Schedule, seed: int = 0) -> MixtureDenoiser:
    """Three correlated Gaussians in three dimensions."""
    factors = normal(3, 3, 3, seed=seed) * 0.5
    covariances = factors @ factors.mT + 0.05 * torch.eye(3).double()
    return MixtureDenoiser(schedule, f64([0.5, 0.2, 0.3]), normal(3, 3, seed=seed + 1), covariances)


LOG_WEIGHTS = torch.log(f64([0.1, 0.4, 0.2, 0.3]))


def tied_pair(schedule: Schedule, seed: int = 0) -> tuple[MixtureDenoiser, MixtureDenoiser]:
    """Four Gaussians of one full covariance in three dimensions, in both forms."""
    points, factor = normal(4, 3, seed=seed), normal(3, 3, seed=seed + 1) * 0.5
    covariance = factor @ factor.T
    general = MixtureDenoiser(schedule, LOG_WEIGHTS.exp(), points, covariance.expand(4, 3, 3))
    return exact_denoiser(schedule, points, LOG_WEIGHTS, covariance), general


def at(sigma: float) -> torch.Tensor:
    return WIDE.time(2 * torch.log(f64(sigma)))


def covariances_of(distribution: MixtureDenoiser) -> torch.Tensor:
    along = torch.diag_embed(distribution.variances)
    return along if distribution.axes is None else distribution.axes @ along @ distribution.axes.mT


def reference(distribution: MixtureDenoiser, t: torch.Tensor) -> MixtureSameFamily:
    alpha, sigma = distribution.schedule.alpha(t), distribution.schedule.sigma(t)
    noisy = alpha**2 * covariances_of(distribution) + sigma**2 * torch.eye(distribution.means.shape[1]).double()
    return MixtureSameFamily(
        Categorical(logits=distribution.log_weights), MultivariateNormal(alpha * distribution.means, noisy)
    )


@given(name=schedule_names, share=shares, seed=seeds)
@by_property
def test_the_density_of_a_mixture_is_that_of_torch_distributions(name: str, share: float, seed: int) -> None:
    schedule = EVERY[name]
    distribution, t = some_mixture(schedule, seed), inside(schedule, share)
    x_t = schedule.perturb(normal(5, 3, seed=seed + 2), t, normal(5, 3, seed=seed + 3))
    torch.testing.assert_close(
        distribution.log_prob(x_t, t), reference(distribution, t).log_prob(x_t), rtol=1e-9, atol=1e-9
    )


@given(name=schedule_names, share=shares, seed=seeds)
@by_property
def test_the_score_is_the_gradient_of_the_log_density(name: str, share: float, seed: int) -> None:
    schedule = EVERY[name]
    distribution, t = some_mixture(schedule, seed), inside(schedule, share)
    x_t = schedule.perturb(normal(5, 3, seed=seed + 2), t, normal(5, 3, seed=seed + 3)).requires_grad_()
    (gradient,) = torch.autograd.grad(reference(distribution, t).log_prob(x_t).sum(), x_t)
    torch.testing.assert_close(distribution(x_t.detach(), t).score, gradient, rtol=1e-8, atol=1e-8)


@given(name=schedule_names, share=shares)
@by_property
def test_the_noise_of_the_ring_is_that_of_a_second_implementation(name: str, share: float) -> None:
    schedule = EVERY[name]
    t = inside(schedule, share)
    alpha, sigma = float(schedule.alpha(t)), float(schedule.sigma(t))
    x_t = schedule.perturb(normal(20, 2), t, normal(20, 2, seed=1))
    expected = ring_noise((x_t / alpha).numpy(), sigma / alpha)
    np.testing.assert_allclose(ring_distribution(schedule)(x_t, t).eps.numpy(), expected, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("name", EVERY)
def test_the_estimate_is_the_posterior_mean_by_quadrature(name: str) -> None:
    schedule = EVERY[name]
    t = f64(0.5)
    alpha, sigma = float(schedule.alpha(t)), float(schedule.sigma(t))
    distribution = MixtureDenoiser(schedule, f64([1.0, 3.0]), f64([[-1.0], [0.5]]), f64([[[0.04]], [[0.25]]]))
    x = np.linspace(-6, 6, 20_001)  # spacing 6e-4, far below both standard deviations: the sum is exact to rounding
    density = 0.25 * np.exp(-((x + 1) ** 2) / 0.08) / 0.2 + 0.75 * np.exp(-((x - 0.5) ** 2) / 0.5) / 0.5
    for y in (-1.2, 0.1, 0.8):
        likelihood = np.exp(-((y - alpha * x) ** 2) / (2 * sigma**2))
        mean = (x * density * likelihood).sum() / (density * likelihood).sum()
        assert float(distribution(f64([[y]]), t).x0) == pytest.approx(mean, abs=1e-9)


@pytest.mark.parametrize("name", EVERY)
def test_data_and_noise_of_a_mixture_make_up_x_t(name: str) -> None:
    schedule = EVERY[name]
    t = some_times(schedule)
    x_t = schedule.perturb(normal(9, 3), t, normal(9, 3, seed=1))
    estimate = some_mixture(schedule)(x_t, t)
    alpha, sigma = schedule.alpha(t)[:, None], schedule.sigma(t)[:, None]
    torch.testing.assert_close(alpha * estimate.x0 + sigma * estimate.eps, x_t, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", EVERY)
def test_the_empirical_distribution_is_a_mixture_of_points(name: str) -> None:
    schedule = EVERY[name]
    rows, t = normal(6, 2), some_times(schedule)
    points = MixtureDenoiser(schedule, torch.ones(6), rows, torch.zeros(6, 2, 2))
    x_t = schedule.perturb(rows[[0, 1, 2, 3, 4, 5, 0, 1, 2]], t, normal(9, 2, seed=1))
    empirical, mixture = empirical_denoiser(schedule, rows)(x_t, t), points(x_t, t)
    torch.testing.assert_close(empirical.x0, mixture.x0, rtol=1e-9, atol=1e-9)
    # (x_t - alpha x_hat) / sigma cancels down to sigma = 1e-6 of sub-VP.
    torch.testing.assert_close(empirical.eps, mixture.eps, rtol=1e-8, atol=1e-8)


def test_the_empirical_distribution_agrees_with_a_plain_softmax() -> None:
    schedule, rows, x_t, t = EVERY["cosine"], normal(7, 2, 3), normal(4, 2, 3, seed=1), f64(0.4)
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    for i in range(4):
        weight = torch.exp(-((x_t[i] - alpha * rows) ** 2).sum((1, 2)) / (2 * sigma**2))
        expected = (weight[:, None, None] * rows).sum(0) / weight.sum()
        torch.testing.assert_close(empirical_denoiser(schedule, rows)(x_t, t).x0[i], expected)


def test_the_empirical_distribution_is_the_same_in_chunks() -> None:
    rows, x_t = normal(50, 3), normal(20, 3, seed=1)
    t = torch.linspace(0.05, 0.95, 20).double()
    whole = empirical_denoiser(EVERY["vp"], rows)(x_t, t)
    parts = empirical_denoiser(EVERY["vp"], rows, chunk=1)(x_t, t)
    torch.testing.assert_close(whole.x0, parts.x0)
    torch.testing.assert_close(whole.eps, parts.eps)


def test_at_a_noise_of_1e_4_a_mixture_hardly_moves_its_rows_and_knows_their_score() -> None:
    distribution = ring_distribution(WIDE)
    eps = normal(8, 2, seed=1)
    x = f64(RING) + RING_STD * normal(8, 2)
    x_t = x + 1e-4 * eps
    estimate = distribution(x_t, at(1e-4))
    # Only one component matters to e^-10 or so, and its posterior mean is known.
    expected = x_t - 1e-8 / (RING_STD**2 + 1e-8) * (x_t - f64(RING))
    torch.testing.assert_close(estimate.x0, expected, rtol=0, atol=1e-9)
    torch.testing.assert_close(estimate.score, -(x_t - f64(RING)) / (RING_STD**2 + 1e-8), rtol=1e-3, atol=1e-3)


def test_at_a_noise_of_1e_4_the_empirical_distribution_returns_the_row_itself() -> None:
    rows, eps = normal(20, 2), normal(20, 2, seed=1)
    estimate = empirical_denoiser(WIDE, rows)(rows + 1e-4 * eps, at(1e-4))
    assert torch.equal(estimate.x0, rows)
    torch.testing.assert_close(estimate.eps, eps, rtol=0, atol=1e-10)  # 1e-16 of x_t over 1e-4, with room


def test_at_a_noise_of_1e4_only_the_mean_and_a_little_of_the_covariance_are_left() -> None:
    rows, eps = normal(20, 2), normal(5, 2, seed=1)
    x_t, sigma = 1e4 * eps, 1e4
    mean, covariance = rows.mean(0), rows.T.cov(correction=0)
    # x_hat = mean + C x_t / sigma^2 to first order in 1 / sigma; the second is 1 / sigma^2 times third moments, < 20.
    expected = mean + x_t @ covariance / sigma**2
    for distribution in (
        empirical_denoiser(WIDE, rows),
        MixtureDenoiser(WIDE, torch.ones(20), rows, torch.zeros(20, 2, 2)),
        MixtureDenoiser(WIDE, torch.ones(1), mean[None], covariance[None]),
    ):
        estimate = distribution(x_t, at(sigma))
        torch.testing.assert_close(estimate.x0, expected, rtol=0, atol=20 / sigma**2)
        torch.testing.assert_close(estimate.eps, eps, rtol=0, atol=3 / sigma)


@pytest.mark.parametrize("sigma", [1e-4, 1e-2, 1.0, 1e2, 1e4])
def test_far_from_every_row_an_exact_denoiser_stays_finite(sigma: float) -> None:
    rows, far = normal(20, 2), 1e6 * normal(5, 2, seed=1)
    for distribution in (empirical_denoiser(WIDE, rows), ring_distribution(WIDE)):
        estimate = distribution(far, at(sigma))
        assert torch.isfinite(estimate.x0).all()
        assert torch.isfinite(estimate.eps).all()


def test_samples_of_a_mixture_have_its_moments() -> None:
    distribution, n = some_mixture(EVERY["ve"]), 100_000
    rows = distribution.sample(n, torch.Generator().manual_seed(0))
    weights, covariances = distribution.log_weights.exp(), covariances_of(distribution)
    mean = weights @ distribution.means
    spread = distribution.means - mean
    covariance = torch.einsum("k,kij->ij", weights, covariances + spread[:, :, None] * spread[:, None])
    # Five standard errors: of a mean std / sqrt(n), of a covariance at most sqrt(3 v v' / n) for tails like these.
    std = covariance.diagonal().sqrt()
    assert ((rows.mean(0) - mean).abs() < 5 * std / math.sqrt(n)).all()
    assert ((rows.T.cov() - covariance).abs() < 5 * math.sqrt(3 / n) * std[:, None] * std).all()


def test_the_density_of_the_data_is_the_density_at_time_zero() -> None:
    distribution, x = ring_distribution(EVERY["vp"]), f64(RING) + 0.05
    torch.testing.assert_close(
        distribution.log_prob(x, torch.tensor(0.0)), reference(distribution, f64(0.0)).log_prob(x)
    )


def test_estimates_come_in_the_precision_of_x_t() -> None:
    for distribution in (ring_distribution(EVERY["vp"]), empirical_denoiser(EVERY["vp"], normal(5, 2))):
        assert distribution(torch.ones(3, 2), torch.tensor(0.5)).x0.dtype == torch.float32
        assert distribution(torch.ones(3, 2).double(), torch.tensor(0.5)).eps.dtype == torch.float64


def test_a_covariance_with_a_negative_eigenvalue_is_refused_and_one_that_is_singular_is_not() -> None:
    for distribution, matrix in (("bad", [[1.0, 2.0], [2.0, 1.0]]), ("singular", [[1.0, 1.0], [1.0, 1.0]])):
        arguments = (EVERY["vp"], torch.ones(1), torch.zeros(1, 2), f64([matrix]))
        if distribution == "bad":
            with pytest.raises(InputError, match=r"component 1 .*eigenvalue -1"):
                MixtureDenoiser(*arguments)
        else:
            assert torch.isfinite(MixtureDenoiser(*arguments)(normal(3, 2), f64(0.5)).eps).all()


def test_a_component_without_weight_is_refused() -> None:
    with pytest.raises(InputError, match="weights of a mixture must be positive"):
        MixtureDenoiser(EVERY["vp"], f64([1.0, 0.0]), torch.zeros(2, 1), torch.ones(2, 1, 1))


@given(name=schedule_names, share=shares, seed=seeds)
@by_property
def test_components_of_one_covariance_are_the_same_in_both_forms(name: str, share: float, seed: int) -> None:
    schedule = EVERY[name]
    (tied, general), t = tied_pair(schedule, seed), inside(schedule, share)
    x_t = schedule.perturb(normal(5, 3, seed=seed + 2), t, normal(5, 3, seed=seed + 3))
    # Exponents |x_t - alpha m|^2 / 2 C reach 1e4 where the covariance is all but singular: 1e-12 of rounding.
    for ours, theirs in zip(values(tied, x_t, t), values(general, x_t, t), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def values(distribution: MixtureDenoiser, x_t: torch.Tensor, t: torch.Tensor) -> list[torch.Tensor]:
    estimate = distribution(x_t, t)
    return [estimate.x0, estimate.eps, distribution.log_prob(x_t, t), *distribution.moments(x_t, t)]


@pytest.mark.parametrize("name", EVERY)
def test_the_covariance_of_the_data_is_the_slope_of_the_estimate(name: str) -> None:
    """d x_hat / d x_t = (alpha / sigma^2) Cov[x | x_t], by automatic differentiation: Tweedie's second order."""
    schedule = EVERY[name]
    rows = normal(6, 3, seed=4)
    for distribution in (*tied_pair(schedule), some_mixture(schedule), empirical_denoiser(schedule, rows)):
        for share in (0.2, 0.5, 0.9):
            t = inside(schedule, share)
            x_t = schedule.perturb(rows, t, normal(6, 3, seed=5))
            mean, covariance = distribution.moments(x_t, t)
            slope = torch.func.vmap(
                torch.func.jacfwd(lambda x, distribution=distribution, t=t: distribution(x[None], t).x0[0])
            )(x_t)  # type: ignore[misc]
            torch.testing.assert_close(mean, distribution(x_t, t).x0, rtol=1e-12, atol=1e-12)
            alpha, sigma = schedule.alpha(t), schedule.sigma(t)
            torch.testing.assert_close(alpha * covariance, sigma**2 * slope, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", EVERY)
def test_the_covariance_of_the_data_follows_from_differences_of_the_score(name: str) -> None:
    """Cov[x | x_t] = (sigma^2 / alpha^2) (I + sigma^2 Hessian log p), the Hessian by central differences."""
    schedule, step = EVERY[name], 1e-4
    t = f64(0.5)
    ratio = (schedule.sigma(t) / schedule.alpha(t)) ** 2
    size = schedule.sigma(t)
    for distribution in (
        *tied_pair(schedule),
        some_mixture(schedule),
        empirical_denoiser(schedule, normal(6, 3, seed=4)),
    ):
        x_t = schedule.perturb(normal(4, 3), t, normal(4, 3, seed=1))
        moves = step * size * torch.eye(3).double()
        columns = [
            (distribution(x_t + move, t).score - distribution(x_t - move, t).score) / (2 * step * size)
            for move in moves
        ]
        hessian = torch.stack(columns, 1)  # (4, 3, 3)
        expected = ratio * (torch.eye(3).double() + size**2 * hessian)
        # In units of sigma the differences are good to step^2 and to 1e-14 / step.
        torch.testing.assert_close(distribution.moments(x_t, t)[1], expected, rtol=1e-6, atol=1e-6 * float(ratio))


@pytest.mark.parametrize("name", ["vp", "ve", "rectified-flow"])
def test_the_posterior_moments_are_those_of_quadrature(name: str) -> None:
    schedule, t = EVERY[name], f64(0.5)
    alpha, sigma = float(schedule.alpha(t)), float(schedule.sigma(t))
    covariances = f64([[[0.05, 0.02], [0.02, 0.04]], [[0.1, -0.06], [-0.06, 0.09]]])
    means, weights = f64([[-0.5, 0.2], [0.4, -0.3]]), f64([0.3, 0.7])
    line = torch.linspace(
        -3, 3, 301, dtype=torch.float64
    )  # spacing 0.02, below a sixth of every width: exact to rounding
    grid = torch.cartesian_prod(line, line)
    x_t = alpha * f64([[-0.6, 0.1], [0.1, 0.0], [0.5, -0.9]]) + 0.3 * sigma
    for distribution in (
        MixtureDenoiser(schedule, weights, means, covariances),
        exact_denoiser(schedule, means, torch.log(weights), covariances[0]),
    ):
        mean, covariance = distribution.moments(x_t, t)
        prior = distribution.log_prob(grid, f64(0.0))
        for i in range(3):
            weight = torch.softmax(prior - (x_t[i] - alpha * grid).square().sum(1) / (2 * sigma**2), 0)
            middle = weight @ grid
            away = grid - middle
            torch.testing.assert_close(mean[i], middle, rtol=0, atol=1e-9)
            torch.testing.assert_close(covariance[i], (weight[:, None] * away).T @ away, rtol=0, atol=1e-9)


@given(name=schedule_names, share=shares, seed=seeds)
@by_property
def test_the_density_of_the_empirical_distribution_is_a_kernel_density(name: str, share: float, seed: int) -> None:
    schedule = EVERY[name]
    rows, t = normal(7, 2, seed=seed), inside(schedule, share)
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    x_t = schedule.perturb(normal(5, 2, seed=seed + 1), t, normal(5, 2, seed=seed + 2))
    kernels = MultivariateNormal(alpha * rows, sigma**2 * torch.eye(2).double().expand(7, 2, 2))
    expected = MixtureSameFamily(Categorical(torch.ones(7).double()), kernels).log_prob(x_t)
    torch.testing.assert_close(empirical_denoiser(schedule, rows).log_prob(x_t, t), expected, rtol=1e-9, atol=1e-9)


def test_densities_and_moments_are_the_same_in_chunks_and_for_images() -> None:
    points, x_t = normal(50, 2, 3), normal(20, 2, 3, seed=1)
    covariance = torch.diag(f64([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]))
    t = torch.linspace(0.05, 0.95, 20).double()
    whole, parts, flat = (
        MixtureDenoiser(EVERY["vp"], torch.ones(50), rows, covariance, chunk=chunk)
        for rows, chunk in ((points, 1_000_000), (points, 1), (points.flatten(1), 1_000))
    )
    for i, (a, b) in enumerate(zip(values(whole, x_t, t), values(parts, x_t, t), strict=True)):
        torch.testing.assert_close(a, b)
        torch.testing.assert_close(a.flatten(1) if i < 2 else a, values(flat, x_t.flatten(1), t)[i])
    assert whole(x_t, t).x0.shape == (20, 2, 3)
    assert whole.moments(x_t, t)[1].shape == (20, 6, 6)


def test_covariances_choose_the_form_of_the_exact_denoiser() -> None:
    schedule, points, t, x_t = EVERY["vp"], normal(4, 3), f64(0.3), normal(5, 3, seed=1)
    covariance = 0.2 * torch.eye(3).double()
    tied = exact_denoiser(schedule, points, LOG_WEIGHTS, covariance)
    general = exact_denoiser(schedule, points, LOG_WEIGHTS + 5, covariance.expand(4, 3, 3))
    assert (len(tied.variances), len(general.variances)) == (1, 4)
    for a, b in zip(values(tied, x_t, t), values(general, x_t, t), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)
    # A component of weight exp(-1000) is none.
    lighter = exact_denoiser(schedule, points, f64([0.0, -1000.0, 0.0, 0.0]), covariance.expand(4, 3, 3))
    torch.testing.assert_close(
        lighter.log_prob(x_t, t),
        exact_denoiser(schedule, points[[0, 2, 3]], torch.zeros(3), covariance).log_prob(x_t, t),
    )


def test_diagonal_covariances_are_not_rotated_and_a_rotated_copy_is_the_same_distribution() -> None:
    schedule, t, x_t = EVERY["vp"], f64(0.3), normal(5, 3, seed=1)
    means, variances = normal(4, 3, seed=2), normal(4, 3, seed=3).square()
    Q, _ = torch.linalg.qr(normal(3, 3, seed=4))
    plain = MixtureDenoiser(schedule, LOG_WEIGHTS.exp(), means, torch.diag_embed(variances))
    turned = MixtureDenoiser(schedule, LOG_WEIGHTS.exp(), means @ Q.T, Q @ torch.diag_embed(variances) @ Q.T)
    assert plain.axes is None
    assert turned.axes is not None
    x0, eps, log_prob, mean, covariance = values(plain, x_t, t)
    expected = (x0 @ Q.T, eps @ Q.T, log_prob, mean @ Q.T, Q @ covariance @ Q.T)
    for a, b in zip(expected, values(turned, x_t @ Q.T, t), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)  # rounding


def test_one_time_for_all_rows_is_the_same_time_for_each_in_chunks_too() -> None:
    x_t, t = normal(5, 3, seed=1), f64(0.3)
    for covariances in (torch.eye(3).double().expand(4, 3, 3), torch.eye(3).double(), None):
        whole, parts = (
            MixtureDenoiser(EVERY["vp"], LOG_WEIGHTS.exp(), normal(4, 3), covariances, chunk=chunk)
            for chunk in (1_000_000, 24)  # two rows of four means in three dimensions
        )
        for a, b in zip(values(whole, x_t, t), values(parts, x_t, t.expand(5)), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)  # rounding


def test_points_have_no_density_without_noise() -> None:
    distribution = empirical_denoiser(EVERY["vp"], normal(4, 2))
    with pytest.raises(InputError, match="no density without noise"):
        distribution.log_prob(normal(3, 2), f64(0.0))
    with pytest.raises(InputError, match=r"component 1 .*eigenvalue -1"):
        MixtureDenoiser(EVERY["vp"], torch.ones(4), normal(4, 2), f64([[1.0, 2.0], [2.0, 1.0]]))
