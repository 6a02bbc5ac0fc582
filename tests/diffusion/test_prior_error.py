"""The error that the prior adds to a log-density, against mixtures whose x_1 is known in closed form."""

import pytest
import torch
from mixtures import mixture, rows_of, true_log_prob
from oracles import f64, normal
from torch.distributions import MultivariateNormal, Normal

from driftfield.diffusion import SCHEDULES, correlated_prior, log_prob, matched_prior, standard_prior
from driftfield.diffusion.further.prior_error import prior_error


def test_it_is_the_standard_error_of_a_log_density_whose_prior_has_the_moments_of_rows() -> None:
    """VE ends at sigma = 20, where the mean of N rows is wrong by 1 / (20 sqrt N) of a standard deviation."""
    schedule = SCHEDULES["ve"](sigma_min=0.002, sigma_max=20.0)
    shares: dict[int, list[float]] = {300: [], 3000: []}
    ratios: dict[int, list[float]] = {300: [], 3000: []}
    for seed in range(12):
        distribution = mixture(schedule, 2, seed)
        x = rows_of(distribution, 60)
        unit = correlated_prior(schedule, torch.zeros(2).double(), torch.eye(2).double())
        found = log_prob(distribution, x, unit, tolerance=1e-7)
        change, truth = found.value - unit.log_prob(found.latent), true_log_prob(distribution, x)
        for N in shares:
            rows = rows_of(distribution, N, seed=100 + seed)
            prior = correlated_prior(schedule, rows.mean(0), rows.T.cov())
            error = (change + prior.log_prob(found.latent) - truth).abs()
            stated = prior_error(schedule, rows, prior, found.latent)
            assert float((error > found.error).double().mean()) > 0.7  # the integration is not what is wrong
            shares[N].append(float((error > stated).double().mean()))
            ratios[N].append(float((error.square().mean() / stated.square().mean()).sqrt()))
    for N in shares:
        # A third of all normal numbers lie beyond their standard deviation; the rows of one draw share its error, so
        # that there are 12 numbers and not 720, and a fraction of a third has an error of 0.14.
        assert sum(shares[N]) / 12 < 1 / 3 + 2 * 0.14, N
        # Root mean squares of 12 draws of two numbers: 1 within a quarter or so.
        assert 0.4 < sum(ratios[N]) / 12 < 1.3, N


def test_a_prior_of_the_wrong_variance_is_off_by_the_ratio_of_two_normal_densities() -> None:
    schedule = SCHEDULES["constant"](T=50, beta=0.01)  # alpha(1)^2 = 0.6
    rows, x = 0.5 * normal(20_000, 1), f64([[0.0], [1.0], [2.0]])
    alpha, sigma = schedule.alpha(f64(1.0)), schedule.sigma(f64(1.0))
    of_data = Normal(0.0, torch.sqrt(alpha**2 * 0.25 + sigma**2).item())
    exact = (of_data.log_prob(x) - Normal(0.0, 1.0).log_prob(x))[:, 0].abs()
    found = prior_error(schedule, rows, standard_prior(schedule, torch.zeros(1).double()), x)
    # 20,000 rows know the variance of x_1 to 1 %, of which x^2 / 2 = 2 feels 0.02; 1,000 add the noise of their shape.
    torch.testing.assert_close(found, exact, rtol=0.05, atol=0.03)


def test_a_mean_that_is_left_where_the_ode_ends_is_counted_though_none_is_left_at_t_1() -> None:
    schedule = SCHEDULES["cosine"]()
    rows, x = 30 + normal(5_000, 1), f64([[-1.0], [1.0]])
    prior = matched_prior(schedule, f64([30.0]), f64([1.0]))
    at = f64(schedule.t_high)
    shift = 30 * float(schedule.alpha(at) / schedule.scale(at))  # of N(0, 1) by 0.028
    exact = (Normal(shift, 1.0).log_prob(x) - Normal(0.0, 1.0).log_prob(x))[:, 0].abs()
    assert shift == pytest.approx(0.028, rel=0.01)
    # The moments of 5,000 rows are those of the data to 1 / sqrt(5,000), times alpha = 1e-3.
    torch.testing.assert_close(prior_error(schedule, rows, prior, x), exact, rtol=0, atol=1e-3)


def test_a_point_does_not_depend_on_its_company() -> None:
    schedule = SCHEDULES["ve"](sigma_min=0.002, sigma_max=5.0)
    rows, x = normal(500, 3) ** 3, 5 * normal(40, 3)
    prior = MultivariateNormal(torch.zeros(3).double(), 26 * torch.eye(3).double())
    together = prior_error(schedule, rows, prior, x)
    alone = torch.cat([prior_error(schedule, rows, prior, row[None]) for row in x])
    torch.testing.assert_close(alone, together, rtol=1e-9, atol=1e-12)  # matrix products round by their shape


def test_a_covariance_that_is_singular_to_within_rounding_errors_still_has_a_density() -> None:
    """Two columns that are 1e14 times as wide as the noise, and the same: what is left of it is lost in float64."""
    schedule = SCHEDULES["constant"](T=50, beta=0.01)
    rows = 1e14 * normal(500, 1).expand(500, 2)
    prior = correlated_prior(schedule, rows.mean(0), rows.T.cov())
    assert prior.log_prob(rows).isfinite().all()
    assert prior_error(schedule, rows, prior, rows[:5]).isfinite().all()
    assert prior.log_prob(rows[:1] * float("nan")).isnan().all()


def test_a_covariance_that_is_not_singular_is_as_it_was() -> None:
    schedule = SCHEDULES["vp"]()
    covariance = f64([[2.0, 0.5], [0.5, 1.0]])
    prior = correlated_prior(schedule, torch.zeros(2).double(), covariance)
    alpha, sigma = schedule.alpha(f64(1.0)), schedule.sigma(f64(1.0))
    expected = alpha**2 * covariance + sigma**2 * torch.eye(2).double()
    torch.testing.assert_close(prior.covariance_matrix, expected, rtol=1e-13, atol=0)  # rounding errors
