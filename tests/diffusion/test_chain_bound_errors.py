"""The errors that bounds report, paths that belong to rows, and the way from the bound to the ODE's density."""

import math

import pytest
import torch
from mixtures import mixture, rows_of, true_log_prob, unit_prior
from oracles import ExactGaussian

from driftfield.diffusion import (
    GRIDS,
    SCHEDULES,
    DenoiserKernel,
    bound_terms,
    importance_bound,
    log_prob,
    standard_prior,
)
from driftfield.diffusion.further.row_noise import BlockNoise

VP = SCHEDULES["vp"]()
TIMES = GRIDS["log-snr"](VP, 60).flip(0)


def noise_of(seed: int, start: int, n: int) -> BlockNoise:
    return BlockNoise(seed, "bound", start, n, (2,), torch.device("cpu"))


def test_the_error_of_a_row_is_the_spread_of_its_bound_over_the_draws() -> None:
    distribution = mixture(VP, 2)
    x, kernel, prior = rows_of(distribution, 80), DenoiserKernel(distribution), unit_prior(distribution)
    generator, times = torch.Generator().manual_seed(0), TIMES[::6]
    several = [bound_terms(kernel, x, prior, generator, times=times, draws=4) for _ in range(30)]
    spread = torch.stack([each.total for each in several]).std(0)  # (B,)
    said = torch.stack([each.row_error for each in several]).square().mean(0).sqrt()
    # A standard deviation of 30 numbers is off by 13 %, its mean over 80 rows by 1.5 %.
    assert float((spread / said).mean()) == pytest.approx(1, abs=0.1)
    assert bound_terms(kernel, x, prior, generator, times=times).row_error.isnan().all()  # one draw has no spread


def test_the_bound_is_below_the_density_of_the_ode_and_paths_carry_it_up() -> None:
    distribution = mixture(VP, 2)
    x, kernel, prior = rows_of(distribution, 100), DenoiserKernel(distribution), unit_prior(distribution)
    generator = torch.Generator().manual_seed(0)
    ode = float(log_prob(distribution, x, prior).value.mean())
    assert ode == pytest.approx(float(true_log_prob(distribution, x).mean()), abs=1e-3)
    terms = bound_terms(kernel, x, prior, generator, times=TIMES, draws=4)
    rising = [-float(terms.total.mean())]
    rising += [float(importance_bound(kernel, x, prior, generator, k, times=TIMES).value.mean()) for k in (4, 32, 256)]
    # Means over the same rows, so that only the noise of the bounds is left: 0.01 for the first, less for the others.
    assert rising[0] < rising[1] < rising[2] < rising[3] < ode + 0.02
    assert ode - rising[3] < 0.5 * (ode - rising[0])


def test_a_finer_grid_makes_the_bound_tighter_on_a_schedule_without_steps() -> None:
    distribution = mixture(VP, 2)
    x, kernel, prior = rows_of(distribution, 200), DenoiserKernel(distribution), unit_prior(distribution)
    truth = float(true_log_prob(distribution, x).mean())
    gaps = []
    for n in (15, 60, 240):
        times = GRIDS["log-snr"](VP, n).flip(0)
        terms = bound_terms(kernel, x, prior, torch.Generator().manual_seed(0), times=times)
        gaps.append(truth + float(terms.total.mean()))
    # Of first order in the step, but for the decoder's part, which the grid does not change.
    assert gaps[0] > 2 * gaps[1] > 0
    assert gaps[1] > gaps[2] > -0.05


def test_rows_have_noise_of_their_own_in_whatever_parts_they_come() -> None:
    distribution = ExactGaussian(VP, variance=0.5)
    x, kernel, prior = (
        rows_of(mixture(VP, 2), 11),
        DenoiserKernel(distribution),
        standard_prior(VP, torch.zeros(2).double()),
    )
    whole = bound_terms(kernel, x, prior, noise_of(5, 0, 11), times=TIMES, draws=2)
    rest = bound_terms(kernel, x[4:], prior, noise_of(5, 4, 7), times=TIMES, draws=2)
    torch.testing.assert_close(rest.columns, whole.columns[4:], rtol=0, atol=1e-10)
    torch.testing.assert_close(rest.row_error, whole.row_error[4:], rtol=0, atol=1e-10)


def test_a_path_does_not_depend_on_how_many_are_walked_together(monkeypatch: pytest.MonkeyPatch) -> None:
    distribution = ExactGaussian(VP, variance=0.5)
    x, kernel, prior = (
        rows_of(mixture(VP, 2), 6),
        DenoiserKernel(distribution),
        standard_prior(VP, torch.zeros(2).double()),
    )

    def bound(first: int, rows: int, paths: int) -> torch.Tensor:
        part = x[first : first + rows]
        return importance_bound(kernel, part, prior, lambda k: noise_of(k, first, rows), paths, times=TIMES).value

    whole = bound(0, 6, 5)
    torch.testing.assert_close(bound(2, 3, 5), whole[2:5], rtol=0, atol=1e-9)
    monkeypatch.setattr("driftfield.diffusion.further.chain_bound.ROWS", 12)  # two paths of six rows at a time
    torch.testing.assert_close(bound(0, 6, 5), whole, rtol=0, atol=1e-9)
    two = importance_bound(kernel, x, prior, lambda k: noise_of(k, 0, 6), 2, times=TIMES).value
    one = [importance_bound(kernel, x, prior, lambda k, p=p: noise_of(p, 0, 6), 2, times=TIMES).value for p in (0, 1)]
    torch.testing.assert_close(two, torch.logaddexp(*one) - math.log(2), rtol=0, atol=1e-9)
