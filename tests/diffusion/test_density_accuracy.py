"""Log-densities against random mixtures whose truth is known: fixed and adaptive steps, probes, any noise level."""

import math

import pytest
import torch
from mixtures import mixture, rows_of, true_log_prob, unit_prior
from oracles import EVERY, f64, inside, normal

from driftfield.diffusion import (
    SCHEDULES,
    Gaussian,
    MixtureDenoiser,
    correlated_prior,
    log_prob,
    matched_prior,
    standard_prior,
)
from driftfield.diffusion.further import probability_flow
from driftfield.errors import InputError

VP = SCHEDULES["vp"]()


@pytest.mark.parametrize(("D", "n"), [(1, 200), (2, 200), (5, 60), (30, 15)])
def test_the_default_grid_is_exact_to_a_thousandth_of_a_nat(D: int, n: int) -> None:
    distribution = mixture(VP, D)
    x = rows_of(distribution, n)
    error = (log_prob(distribution, x, unit_prior(distribution)).value - true_log_prob(distribution, x)).abs()
    assert float(error.mean()) < 1e-3  # the promise; 2e-7 to 4e-4 over ten mixtures


@pytest.mark.parametrize(("D", "n"), [(1, 40), (2, 40), (10, 5)])
def test_a_fine_grid_is_exact_to_a_hundred_thousandth(D: int, n: int) -> None:
    distribution = mixture(VP, D, seed=1)
    x = rows_of(distribution, n)
    found = log_prob(distribution, x, unit_prior(distribution), steps=160)
    # VP ends at sigma / alpha = 150, where the third cumulants leave (1 / 150)^3, some 1e-7.
    assert float((found.value - true_log_prob(distribution, x)).abs().mean()) < 1e-5


def test_equal_steps_in_w_are_of_fourth_order() -> None:
    distribution = mixture(VP, 2)
    x = rows_of(distribution, 100)
    errors = [
        float(
            (log_prob(distribution, x, unit_prior(distribution), steps=n).value - true_log_prob(distribution, x))
            .abs()
            .median()
        )
        for n in (40, 80)
    ]
    assert 3.3 < math.log2(errors[0] / errors[1]) < 6  # a median over rows that differ in how far the asymptote is


@pytest.mark.parametrize("spread", [0.1, 30.0])
def test_data_of_another_size_are_as_easy_once_their_spread_is_given(spread: float) -> None:
    """A mixture and its copy in other units, with the noise in these units too."""
    unit = mixture(SCHEDULES["ve"](sigma_min=1e-3, sigma_max=100.0), 2)
    x = rows_of(unit, 40)
    covariances = unit.axes @ torch.diag_embed(unit.variances) @ unit.axes.mT
    distribution = MixtureDenoiser(
        SCHEDULES["ve"](sigma_min=1e-3 * spread, sigma_max=100 * spread),
        unit.log_weights.exp(),
        spread * unit.means,
        spread**2 * covariances,
    )
    prior = matched_prior(distribution.schedule, torch.zeros(2).double(), torch.full((2,), spread**2).double())
    found = log_prob(distribution, spread * x, prior, steps=20, spread=spread)
    same = log_prob(unit, x, unit_prior(unit), steps=20)
    # The same numbers in other units: rounding, and that of a time where sigma / alpha was given.
    torch.testing.assert_close(found.value + 2 * math.log(spread), same.value, rtol=0, atol=1e-8)
    with pytest.raises(InputError, match="spread"):
        log_prob(unit, x, unit_prior(unit), spread=0.0)


@pytest.mark.parametrize("D", [1, 2, 5])
def test_a_tolerance_is_met_and_a_tighter_one_is_better(D: int) -> None:
    distribution = mixture(VP, D)
    x = rows_of(distribution, 40)
    truth = true_log_prob(distribution, x)
    found = [log_prob(distribution, x, unit_prior(distribution), tolerance=tolerance) for tolerance in (1e-4, 1e-5)]
    errors = [float((f.value - truth).abs().mean()) for f in found]
    # Errors of the steps, a tolerance each at most, add up over the tens of steps.
    assert all(error < 30 * tolerance for error, tolerance in zip(errors, (1e-4, 1e-5), strict=True))
    assert errors[0] > 5 * errors[1]
    within = ((found[1].value - truth).abs() <= 3 * found[1].error + 1e-6).double().mean()
    assert float(within) > 0.9  # the estimate is the difference to a tenfold tolerance: too small by chance alone


def test_adaptive_rows_do_not_meet() -> None:
    distribution = mixture(VP, 2)
    x = rows_of(distribution, 12)
    whole = log_prob(distribution, x, unit_prior(distribution), tolerance=1e-4)
    order = torch.arange(11, -1, -1)
    turned = log_prob(distribution, x[order], unit_prior(distribution), tolerance=1e-4)
    alone = log_prob(distribution, x[3:4], unit_prior(distribution), tolerance=1e-4)
    # The steps are the same; sums over components may be rounded otherwise in another batch.
    torch.testing.assert_close(turned.value, whole.value[order], rtol=0, atol=1e-10)
    torch.testing.assert_close(alone.value, whole.value[3:4], rtol=0, atol=1e-10)
    torch.testing.assert_close(alone.latent, whole.latent[3:4], rtol=0, atol=1e-8)


@pytest.mark.parametrize("options", [{"steps": 8}, {"tolerance": 1e-3}, {"steps": 8, "divergence": "hutchinson"}])
def test_the_parts_that_bound_the_memory_change_no_value(
    options: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    distribution = mixture(VP, 3)
    x = rows_of(distribution, 23)
    whole = log_prob(distribution, x, unit_prior(distribution), **options)
    monkeypatch.setattr(probability_flow, "MOST_NUMBERS", 3 * 5)  # rows of 3 columns, five at a time
    evaluated = []
    distribution.register_forward_pre_hook(lambda module, args: evaluated.append(len(args[0])))
    parted = log_prob(distribution, x, unit_prior(distribution), **options)
    assert max(evaluated) == 5
    for name in ("value", "error", "latent", "probe_error"):
        torch.testing.assert_close(getattr(parted, name), getattr(whole, name), rtol=0, atol=1e-9)


def test_no_rows_have_no_densities() -> None:
    distribution = mixture(VP, 2)
    for options in ({}, {"tolerance": 1e-3}, {"divergence": "hutchinson"}):
        found = log_prob(distribution, torch.zeros(0, 2).double(), unit_prior(distribution), **options)
        assert found.value.shape == found.error.shape == (0,)
        assert found.latent.shape == (0, 2)


@pytest.mark.parametrize(
    ("name", "share"),
    [("ve", 0.1), ("ve", 0.5), ("vp", 0.5), ("sub-vp", 0.9), ("cosine", 0.1), ("rectified-flow", 0.9), ("linear", 0.5)],
)
def test_the_density_of_a_noisy_row_is_that_of_the_noisy_distribution(name: str, share: float) -> None:
    distribution = mixture(SCHEDULES["linear"](T=1000) if name == "linear" else EVERY[name], 2)
    t = inside(distribution.schedule, share)
    x_t = distribution.schedule.perturb(rows_of(distribution, 50), t, normal(50, 2, seed=3))
    found = log_prob(distribution, x_t, unit_prior(distribution), steps=60, start=t)
    # 60 steps over a part of the way; on a chain gamma is linear between its times, with kinks there.
    torch.testing.assert_close(found.value, distribution.log_prob(x_t, t), rtol=0, atol=2e-4)


@pytest.mark.parametrize("name", ["ve", "vp", "cosine"])
def test_the_gradient_of_a_noisy_density_is_the_score(name: str) -> None:
    distribution = mixture(EVERY[name], 2)
    t, h = inside(distribution.schedule, 0.5), 1e-3
    size = float(distribution.schedule.sigma(t))
    x_t = distribution.schedule.perturb(rows_of(distribution, 8), t, normal(8, 2, seed=3))
    score, prior = distribution(x_t, t).score, unit_prior(distribution)
    for i in range(2):
        step = torch.zeros(2).double()
        step[i] = h * size
        ahead, behind = (log_prob(distribution, x_t + s * step, prior, steps=20, start=t).value for s in (1, -1))
        # central differences: the third derivative, of order 1 / sigma^3, times h^2 / 6
        torch.testing.assert_close((ahead - behind) / (2 * h * size) * size, score[:, i] * size, rtol=0, atol=2e-4)


def test_a_start_at_the_smallest_noise_is_the_density_of_the_data() -> None:
    distribution = mixture(VP, 2)
    x, t = rows_of(distribution, 20), f64(VP.t_low)
    data = log_prob(distribution, x, unit_prior(distribution), steps=8)
    noisy = log_prob(distribution, VP.alpha(t) * x, unit_prior(distribution), steps=8, start=t)
    torch.testing.assert_close(noisy.value + 2 * VP.log_alpha(t), data.value, rtol=0, atol=1e-10)
    torch.testing.assert_close(noisy.latent, data.latent, rtol=0, atol=1e-8)


@pytest.mark.parametrize("name", ["cosine", "rectified-flow", "vp"])
def test_a_start_at_the_end_is_the_prior(name: str) -> None:
    distribution = mixture(EVERY[name], 2)
    x, prior = normal(10, 2), unit_prior(distribution)
    found = log_prob(distribution, x, prior, steps=2, start=f64(1.0))
    torch.testing.assert_close(found.value, prior.log_prob(x), rtol=0, atol=1e-12)
    torch.testing.assert_close(found.latent, x, rtol=0, atol=1e-12)


def test_a_correlated_prior_gives_the_density_of_columns_that_are_not_white() -> None:
    schedule = SCHEDULES["ve"](sigma_min=0.01, sigma_max=5.0)
    C = f64([[1.0, 0.9], [0.9, 1.0]])
    distribution = MixtureDenoiser(schedule, torch.ones(1), f64([[0.0, 0.0]]), C[None])
    x = rows_of(distribution, 50)
    right = log_prob(distribution, x, correlated_prior(schedule, f64([0.0, 0.0]), C), steps=80)
    wrong = log_prob(distribution, x, matched_prior(schedule, f64([0.0, 0.0]), f64([1.0, 1.0])), steps=80)
    torch.testing.assert_close(right.value, true_log_prob(distribution, x), rtol=0, atol=1e-5)
    assert float((wrong.value - right.value).abs().mean()) > 0.01  # 0.9 / 26, times the product of two normal numbers


def test_the_error_of_hutchinsons_estimate_falls_as_one_over_the_square_root_of_the_probes() -> None:
    distribution = mixture(VP, 5)
    x = rows_of(distribution, 150)
    exact = log_prob(distribution, x, unit_prior(distribution), steps=16, divergence="exact")
    assert not exact.probe_error.any()
    scaled = []
    for probes in (4, 32):
        found = log_prob(distribution, x, unit_prior(distribution), steps=16, divergence="hutchinson", probes=probes)
        error = found.value - exact.value  # the same integrator, so that nothing but the probes is left
        size = float(error.square().mean().sqrt())
        # 150 rows with about equal errors: a relative standard error of the size of 1 / sqrt(300) = 6 %, three of them;
        # with 4 probes the spread of few numbers adds some.
        assert float(found.probe_error.square().mean().sqrt()) == pytest.approx(size, rel=0.25)
        assert abs(float(error.mean())) < 4 * size / math.sqrt(150)
        torch.testing.assert_close(found.total_error, torch.hypot(found.error, found.probe_error))
        torch.testing.assert_close(found.latent, exact.latent, rtol=0, atol=1e-9)
        scaled.append(size * math.sqrt(probes))
    assert max(scaled) / min(scaled) < 1.4


def test_probes_are_exact_for_independent_columns() -> None:
    """With signs for probes the variance is a sum over i != j, and here the Jacobian is diagonal."""
    distribution = MixtureDenoiser(VP, torch.ones(1), f64([[0.0, 0.0, 0.0]]), torch.diag(f64([0.1, 0.5, 2.0]))[None])
    prior = matched_prior(VP, torch.zeros(3).double(), f64([0.1, 0.5, 2.0]))
    x = rows_of(distribution, 10)
    found = log_prob(distribution, x, prior, steps=16, divergence="hutchinson", probes=2)
    assert float(found.probe_error.max()) < 1e-10
    torch.testing.assert_close(found.value, log_prob(distribution, x, prior, steps=16).value, rtol=0, atol=1e-10)


def test_a_probe_belongs_to_its_row_and_is_fixed_during_a_solve() -> None:
    distribution = mixture(VP, 3)
    x, prior = rows_of(distribution, 9), unit_prior(distribution)
    for options in ({"steps": 16}, {"tolerance": 1e-5}):
        options = {**options, "divergence": "hutchinson", "probes": 4}
        whole = log_prob(distribution, x, prior, **options)
        rest = log_prob(distribution, x[4:], prior, first=4, **options)
        torch.testing.assert_close(rest.value, whole.value[4:], rtol=0, atol=1e-9)
        other = log_prob(distribution, x, prior, seed=1, **options)
        assert float((other.value - whole.value).abs().mean()) > 0.1
    fixed = log_prob(distribution, x, prior, steps=80, divergence="hutchinson", probes=4)
    # With fresh probes at each evaluation two integrators would differ by the probes' error, of about 0.3 nats.
    torch.testing.assert_close(whole.value, fixed.value, rtol=0, atol=1e-3)


def test_beyond_64_dimensions_the_divergence_is_estimated() -> None:
    prior = standard_prior(VP, torch.zeros(65).double())
    covariances = torch.eye(65).double()[None]
    covariances[0, 0, 1] = covariances[0, 1, 0] = 0.5
    distribution = MixtureDenoiser(VP, torch.ones(1), torch.zeros(1, 65).double(), covariances)
    x = rows_of(distribution, 2)
    found = log_prob(distribution, x, prior, steps=4, probes=4)
    assert (found.probe_error > 0).any()
    exact = log_prob(distribution, x, prior, steps=2, divergence="exact")
    assert not exact.probe_error.any()
    inner = MixtureDenoiser(VP, torch.ones(1), torch.zeros(1, 64).double(), covariances[:, :64, :64])
    small = log_prob(inner, x[:, :64], Gaussian(prior.mean[:64], prior.log_var[:64]), steps=2)
    assert not small.probe_error.any()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tolerance": 0.0}, "between 0 and 1"),
        ({"tolerance": 2.0}, "between 0 and 1"),
        ({"divergence": "hutchison"}, 'did you mean "hutchinson"'),
        ({"divergence": "hutchinson", "probes": 1}, "at least 2 probes"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], words: str) -> None:
    distribution = mixture(VP, 2)
    with pytest.raises(InputError, match=words):
        log_prob(distribution, rows_of(distribution, 2), unit_prior(distribution), **options)
