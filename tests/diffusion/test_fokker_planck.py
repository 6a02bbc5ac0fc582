import math
import time
from functools import cache

import pytest
import torch
from oracles import EVERY, f64
from torch.distributions import Normal

from driftfield.datasets import DISTRIBUTIONS
from driftfield.diffusion import SCHEDULES, Schedule
from driftfield.diffusion.further.fokker_planck import convolved, evolve
from driftfield.errors import InputError

MEANS, STD = (0.5, -0.7), 0.4


def centres(G: int, reach: float = 4.5) -> torch.Tensor:
    edges = torch.linspace(-reach, reach, G + 1, dtype=torch.float64)
    return (edges[1:] + edges[:-1]) / 2


def gaussian(schedule: Schedule, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """The exact density at t of a Gaussian of two independent coordinates; (G, G)."""
    alpha, std = schedule.alpha(t), (schedule.alpha(t) ** 2 * STD**2 + schedule.sigma(t) ** 2).sqrt()
    first, second = (Normal(alpha * mean, std).log_prob(x).exp() for mean in MEANS)
    return first[:, None] * second


def l1(p: torch.Tensor, q: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """The integral of |p - q| over the plane, at each time."""
    return (p - q).abs().sum((-1, -2)) * (x[1] - x[0]) ** 2


@cache
def ring(G: int) -> torch.Tensor:
    x = centres(G)
    plane = torch.stack(torch.meshgrid(x, x, indexing="ij"), -1).reshape(-1, 2)
    density = DISTRIBUTIONS["ring"].log_prob
    assert density is not None
    return torch.from_numpy(density(plane.numpy())).exp().reshape(G, G)


@pytest.mark.parametrize("name", ["vp", "sub-vp", "ve", "cosine", "rectified-flow", "linear", "learned"])
def test_the_mass_is_kept_to_round_off(name: str) -> None:
    schedule = {**EVERY, "learned": SCHEDULES["learned"]()}[name]
    x, times = centres(40), torch.linspace(0, 1, 21, dtype=torch.float64)
    with torch.no_grad():
        densities = evolve(schedule, ring(40), x, times)
    mass = densities.sum((1, 2))
    # The mass that reaches the edge stays inside; VE spreads far beyond it.
    torch.testing.assert_close(mass, mass[0].expand(21), rtol=1e-11, atol=0)


@pytest.mark.parametrize("name", ["vp", "sub-vp", "cosine", "rectified-flow"])
def test_the_error_falls_with_the_square_of_cell_and_step(name: str) -> None:
    schedule, errors = EVERY[name], []
    for G, n in ((40, 40), (80, 80), (160, 160)):
        x, times = centres(G), torch.linspace(0, 0.8, n + 1, dtype=torch.float64)
        densities = evolve(schedule, gaussian(schedule, x, times[0]), x, times)
        exact = torch.stack([gaussian(schedule, x, t) for t in times])
        errors.append(float(l1(densities, exact, x).max()))
    assert errors[2] < 2.5e-3
    # A quarter each time, up to terms of the next even order.
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.25)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.1)


def test_substeps_are_steps_between_the_times() -> None:
    schedule, x = EVERY["vp"], centres(40)
    fine, coarse = (torch.linspace(0, 0.6, n + 1, dtype=torch.float64) for n in (20, 5))
    every = evolve(schedule, ring(40), x, fine)
    torch.testing.assert_close(evolve(schedule, ring(40), x, coarse, substeps=4), every[::4])
    later = evolve(schedule, every[8], x, fine[8:])
    torch.testing.assert_close(later, every[8:], rtol=1e-9, atol=1e-12)


def test_one_axis_and_three_are_products_of_the_same_operator() -> None:
    schedule, x, times = EVERY["vp"], centres(30), f64([0.0, 0.1, 0.2, 0.3])
    lines = [Normal(mean, 0.5).log_prob(x).exp() for mean in (0.3, -0.5, 0.0)]
    for solve in (evolve, convolved):
        a, b, c = (solve(schedule, line, x, times) for line in lines)
        cube = solve(schedule, torch.einsum("i,j,k->ijk", *lines), x, times)
        torch.testing.assert_close(cube, torch.einsum("ti,tj,tk->tijk", a, b, c), rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("name", ["vp", "cosine", "rectified-flow"])
def test_the_closed_form_is_exact_once_the_kernel_is_wider_than_a_cell(name: str) -> None:
    schedule, x = EVERY[name], centres(120)
    times = f64([0.2, 0.5, 0.9, 1.0])
    exact = torch.stack([gaussian(schedule, x, t) for t in times])
    torch.testing.assert_close(
        convolved(schedule, gaussian(schedule, x, f64(0.0)), x, times), exact, rtol=1e-9, atol=1e-12
    )


def test_the_closed_form_starts_with_the_density_and_follows_kernels_narrower_than_a_cell() -> None:
    schedule = EVERY["vp"]
    errors = []
    for G in (60, 120, 240):
        x = centres(G)
        width = x[1] - x[0]
        times = torch.cat([f64([0.0]), schedule.time(2 * torch.log(width * f64([0.1, 0.5, 0.99])))])
        start = gaussian(schedule, x, times[0])
        densities = convolved(schedule, start, x, times)
        torch.testing.assert_close(densities[0], start, rtol=1e-12, atol=0)
        errors.append(float(l1(densities, torch.stack([gaussian(schedule, x, t) for t in times]), x).max()))
    # Second order in the cell: a constant density in each adds a variance of h^2 / 12.
    assert errors[2] < 1e-3
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.2)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.1)


def test_the_equation_and_the_closed_form_agree_on_the_ring() -> None:
    schedule = SCHEDULES["vp"](0.1, 20.0)
    worst = []
    for G, n in ((120, 100), (240, 200)):
        x, times = centres(G), torch.linspace(0, 1, n + 1, dtype=torch.float64)
        begin = time.process_time()
        densities = evolve(schedule, ring(G), x, times)
        assert time.process_time() - begin < 10  # 2 for 240 cells on one core; other work on the machine makes it more
        differences = l1(densities, convolved(schedule, ring(G), x, times), x)
        # From t = 0.05 on, where the kernel is wider than the cells and the ring, of width 0.07, has begun to blur.
        worst.append(float(differences[times >= 0.05].max()))
        assert float(differences.max()) < {120: 0.05, 240: 0.015}[G]
    assert worst[0] < 0.02
    assert worst[1] < 0.006
    assert worst[1] < worst[0] / 2.5


def test_it_damps_what_is_too_fast_to_follow() -> None:
    """A single full cell: the trapezoidal rule would leave it ringing for ever."""
    schedule, x = EVERY["rectified-flow"], centres(101)
    start = torch.zeros(101).double()
    start[50] = 1 / (x[1] - x[0])
    end = evolve(schedule, start, x, torch.linspace(0, 0.9, 10, dtype=torch.float64))[-1]
    assert end.min() > -1e-3 * end.max()
    exact = Normal(0.0, 0.9).log_prob(x).exp()
    assert float((end - exact).abs().sum() * (x[1] - x[0])) < 0.1  # nine steps


def test_grids_and_times_that_make_no_sense_are_refused() -> None:
    schedule, x = EVERY["vp"], centres(40)
    start = ring(40)
    for bad in (x**3, x.flip(0), x[:2]):
        with pytest.raises(InputError, match="equally spaced"):
            evolve(schedule, start, bad, f64([0.0, 1.0]))
    with pytest.raises(InputError, match="39"):
        convolved(schedule, start[:, :39], x[:39], f64([0.0, 1.0]))
    for times, substeps in (([0.0, 0.0], 1), ([1.0, 0.0], 1), ([0.0, 1.0], 0)):
        with pytest.raises(InputError, match="increasing times"):
            evolve(schedule, start, x, f64(times), substeps)
    assert math.isclose(float(evolve(schedule, start, x, f64([0.0]))[0].sum()), float(start.sum()))
