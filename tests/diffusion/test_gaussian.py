import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import EVERY, by_property, f64, normal, seeds
from torch.distributions import Independent, Normal, kl_divergence

from driftfield.diffusion import SCHEDULES, Gaussian, matched_prior, standard_prior

log_variances = st.floats(-40, 10)


def reference(gaussian: Gaussian) -> Independent:
    mean, log_var = torch.broadcast_tensors(gaussian.mean, gaussian.log_var)
    return Independent(Normal(mean, torch.exp(log_var / 2)), mean.ndim - 1)


@given(seed=seeds, log_var=log_variances, shape=st.sampled_from([(1,), (3,), (2, 3)]))
@by_property
def test_the_log_density_is_that_of_torch_distributions(seed: int, log_var: float, shape: tuple[int, ...]) -> None:
    gaussian = Gaussian(normal(5, *shape, seed=seed), f64(log_var) + 0.1 * normal(5, *shape, seed=seed + 1))
    x = gaussian.mean + math.exp(log_var / 2) * normal(5, *shape, seed=seed + 2)
    # x - mean cancels to 1e-16 of x, which a standard deviation of e^-20 magnifies to 1e-7 in the square.
    torch.testing.assert_close(gaussian.log_prob(x), reference(gaussian).log_prob(x), rtol=1e-6, atol=1e-6)


@given(seed=seeds, first=log_variances, second=log_variances)
@by_property
def test_the_divergence_is_that_of_torch_distributions_for_log_variances_from_minus_40_to_10(
    seed: int, first: float, second: float
) -> None:
    p, q = (Gaussian(normal(4, 3, seed=seed + i), f64(v).expand(4, 3)) for i, v in enumerate((first, second)))
    divergence = p.kl(q)
    assert torch.isfinite(divergence).all()
    torch.testing.assert_close(divergence, kl_divergence(reference(p), reference(q)), rtol=1e-9, atol=1e-9)


@given(seed=seeds, log_var=log_variances, change=st.floats(-1e-5, 1e-5))
@by_property
def test_the_divergence_is_never_negative_and_exact_for_nearly_equal_variances(
    seed: int, log_var: float, change: float
) -> None:
    mean = normal(4, 3, seed=seed)
    p, q = Gaussian(mean, f64(log_var + change).expand(4, 3)), Gaussian(mean, f64(log_var).expand(4, 3))
    # 1/2 (e^d - 1 - d) per dimension is d^2 / 4 up to d^3; log_var + change itself rounds by 4e-15.
    difference = (log_var + change) - log_var
    expected = 3 * difference**2 / 4
    assert (p.kl(q) >= 0).all()
    torch.testing.assert_close(p.kl(q), torch.full((4,), expected).double(), rtol=1e-4, atol=1e-16)
    assert (p.kl(p) == 0).all()


@pytest.mark.parametrize("log_var", [-40.0, -2.0, 0.0, 3.0])
def test_the_log_variance_is_a_logarithm_and_not_a_variance(log_var: float) -> None:
    draw = Gaussian(torch.zeros(1, 2).double(), f64(log_var)).sample(torch.ones(1, 2).double())
    torch.testing.assert_close(draw, torch.full((1, 2), math.sqrt(math.exp(log_var))).double())


def test_a_point_is_a_gaussian_that_always_gives_its_mean() -> None:
    mean = normal(6, 2)
    assert torch.equal(Gaussian(mean, f64(-math.inf)).sample(normal(6, 2, seed=1)), mean)


def test_samples_have_the_mean_and_the_variance_that_were_asked_for() -> None:
    n = 200_000
    mean, std = f64([1.0, -3.0]), f64([0.5, 2.0])
    rows = Gaussian(mean.expand(n, 2), 2 * std.log()).sample(normal(n, 2, seed=3))
    # Four standard errors: std / sqrt(n) for the mean, std / sqrt(2 n) for the standard deviation.
    assert ((rows.mean(0) - mean).abs() < 4 * std / math.sqrt(n)).all()
    assert ((rows.std(0) - std).abs() < 4 * std / math.sqrt(2 * n)).all()


@pytest.mark.parametrize("name", EVERY)
def test_the_standard_prior_has_the_standard_deviation_of_the_schedule(name: str) -> None:
    prior = standard_prior(EVERY[name], torch.zeros(3))
    expected = 80.0 if name == "ve" else 1.0
    torch.testing.assert_close(prior.sample(torch.ones(3)), torch.full((3,), expected))


@pytest.mark.parametrize("name", EVERY)
def test_the_matched_prior_has_the_first_two_moments_of_the_end_of_the_process(name: str) -> None:
    schedule = EVERY[name]
    rows = normal(50, 2, seed=4) * f64([0.3, 2.0]) + f64([1.0, -4.0])
    mean, variance = rows.mean(0), rows.var(0, correction=0)
    prior = matched_prior(schedule, mean, variance)
    # Moments of x_1 over these 50 rows and over eps in {-1, 1}, which has mean 0 and variance 1 exactly.
    ends = torch.cat([schedule.perturb(rows, f64(1.0), sign * torch.ones_like(rows)) for sign in (-1.0, 1.0)])
    torch.testing.assert_close(prior.mean, ends.mean(0))
    torch.testing.assert_close(prior.log_var.exp(), ends.var(0, correction=0))


def test_the_matched_prior_mends_the_mismatch_of_a_short_chain_for_gaussian_data() -> None:
    schedule = SCHEDULES["constant"](T=50, beta=0.05**2)
    mean, variance = f64([2.0]), f64([3.0])
    matched, standard = matched_prior(schedule, mean, variance), standard_prior(schedule, mean)
    end = Gaussian(
        schedule.alpha(f64(1.0)) * mean[None],
        torch.log(schedule.alpha(f64(1.0)) ** 2 * variance + schedule.sigma(f64(1.0)) ** 2)[None],
    )
    assert float(end.kl(Gaussian(matched.mean[None], matched.log_var[None]))) == pytest.approx(0, abs=1e-15)
    m2 = float(mean**2 + variance)
    marginal = float(end.kl(Gaussian(standard.mean[None], standard.log_var[None])))
    # prior_kl knows the second moment alone: of all distributions with it, a centred Gaussian is closest to N(0, 1).
    assert marginal > schedule.prior_kl(m2).marginal > 1
    assert np.isfinite(marginal)
