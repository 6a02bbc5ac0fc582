"""How samplers are measured: the truth they are held against, the orders found, and the picture."""

import io
import math

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.integrate import solve_ivp

from driftfield.diffusion import SAMPLERS
from driftfield.diffusion.basics.schedules import VE
from driftfield.report.convergence import convergence_panels, convergence_png
from driftfield.verification import convergence
from driftfield.verification.convergence import Convergence, enough_steps, measure, ring, spread, weak_order


def test_the_reference_solves_the_ode() -> None:
    distribution = ring(VE(0.002, 80.0))
    start = 80 * torch.randn(4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    means, weights = distribution.means.numpy(), distribution.log_weights.exp().numpy()

    def slope(sigma: float, y: np.ndarray) -> np.ndarray:
        """dy / dsigma = eps = -sigma score, from the density itself."""
        residual = y.reshape(-1, 1, 2) - means
        density = weights * np.exp(-(residual**2).sum(-1) / (2 * (0.01 + sigma**2)))
        share = density / density.sum(1, keepdims=True)
        return (sigma * (share[..., None] * residual).sum(1) / (0.01 + sigma**2)).ravel()

    solved = solve_ivp(slope, (80.0, 0.002), start.numpy().ravel(), method="DOP853", rtol=1e-11, atol=1e-13)
    found = convergence._solved(distribution, start, convergence.FINEST)
    np.testing.assert_allclose(found.numpy().ravel(), solved.y[:, -1], rtol=0, atol=1e-7)


def test_solvers_and_random_samplers_are_measured_each_in_their_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convergence, "ROWS", 60)
    monkeypatch.setattr(convergence, "PARTICLES", 64)
    monkeypatch.setattr(convergence, "DRAWS", 1)
    heun, random, adaptive = measure(("heun", "sde-dpmpp-2m", "rk45", "kernel"))
    assert heun.order == pytest.approx(2, abs=0.15)
    assert [n for n, _ in heun.curve] == [8, 12, 16, 32, 64, 128, 256]
    assert len(heun.steps_errors) == 3
    assert not heun.distances
    assert not random.curve
    assert [n for n, _ in random.distances] == list(convergence.RANDOM_EVALUATIONS)
    errors = [error for _, error in adaptive.curve]
    assert errors == sorted(errors, reverse=True)
    assert adaptive.order is None
    assert random.variance_error == pytest.approx(0, abs=0.05)
    assert heun.variance_error is None
    assert adaptive.at_ten is None
    found = [heun, random, adaptive]
    solvers, stochastic, at_ten = (panel.alt for panel in convergence_panels(found, 0.1))
    assert solvers.startswith("Solvers: heun ends at ")
    assert "; rk45 ends at " in solvers
    assert stochastic.startswith("Random samplers: sde-dpmpp-2m ends at ")
    assert stochastic.endswith("; floor: 0.100.")
    assert len(at_ten.split(";")) == 2
    with Image.open(io.BytesIO(convergence_png(found, 0.1))) as picture:
        assert picture.width > 1000


@pytest.mark.parametrize(("name", "order"), [("ancestral", 1), ("ancestral-large", 1), ("euler-maruyama", 1)])
def test_the_weak_order_on_gaussian_data_is_the_stated_one(name: str, order: int) -> None:
    assert SAMPLERS[name].order == order
    assert weak_order(SAMPLERS[name]) == pytest.approx(order, abs=0.15)


def test_the_mistaken_variance_does_not_converge() -> None:
    assert weak_order(SAMPLERS["ancestral-marginal"]) < 0


def test_the_variance_without_drawing_is_that_of_many_draws() -> None:
    exact = spread(SAMPLERS["ancestral"], 6)
    schedule, n = VE(convergence.SIGMA_MIN, convergence.SIGMA_MAX), 40_000
    generator = torch.Generator().manual_seed(0)

    def noise() -> torch.Tensor:
        return torch.randn(n, 1, dtype=torch.float64, generator=generator)

    from driftfield.diffusion import GRIDS, MixtureDenoiser, sample

    distribution = MixtureDenoiser(schedule, torch.ones(1), torch.zeros(1, 1), torch.full((1, 1, 1), 0.5).double())
    start = math.sqrt(0.5 + convergence.SIGMA_MAX**2) * noise()
    *_, last = sample(distribution, start, GRIDS["karras"](schedule, 6), SAMPLERS["ancestral"], noise)
    # The variance of n Gaussian draws has a relative error of sqrt(2 / n) = 0.7 %: five of them.
    assert float(last.x.var()) / 0.5 == pytest.approx(exact, rel=0.036)


def test_what_needs_a_learned_part_is_left_out() -> None:
    assert [one for one in measure(("kernel", "ancestral-learned")) if isinstance(one, Convergence)] == []


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_sampler_may_be_used_from_its_fewest_steps_on(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sampler = SAMPLERS[name]
    if sampler.fewest_steps is None:
        assert sampler.needs or sampler.chooses_steps or name == "ancestral-marginal"
        return
    monkeypatch.setattr(convergence, "ROWS", 200)  # the ring never decides: its variance is well within the factor
    fewest = sampler.fewest_steps
    assert not enough_steps(sampler, fewest - 1)
    assert all(enough_steps(sampler, n) for n in (fewest, fewest + 1, fewest + 2, 2 * fewest, 4 * fewest))


def test_the_mistaken_variance_has_no_number_of_steps() -> None:
    assert not any(enough_steps(SAMPLERS["ancestral-marginal"], n) for n in (10, 50, 100))


def test_few_steps_of_a_second_order_sampler_blow_the_variance_up() -> None:
    """For Gaussian data of variance v the ODE is dy / dkappa = kappa y / (v + kappa^2), and a step multiplies y."""
    v = 0.05
    first, middle, last = 80.0, (0.5 * (80 ** (1 / 7) + 0.002 ** (1 / 7))) ** 7, 0.002

    def heun(start: float, end: float) -> float:
        slope = start / (v + start**2)
        ahead = end / (v + end**2) * (1 + (end - start) * slope)
        return 1 + (end - start) * (slope + ahead) / 2

    to_data = v / (v + last**2)  # the last step returns the posterior mean
    factor = heun(first, middle) * heun(middle, last) * to_data
    expected = factor**2 * (v + first**2) / v
    assert spread(SAMPLERS["heun"], 3, v) == pytest.approx(expected, rel=1e-5)  # t_low = 1e-6 lies 1e-5 above sigma_min
    assert expected > 10
