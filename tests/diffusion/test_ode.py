"""Dormand-Prince with error control per row: its order, scipy's answer, and rows that do not meet."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import by_property, f64, normal
from scipy.integrate import RK45, solve_ivp

from driftfield.diffusion.further import ode
from driftfield.diffusion.further.ode import integrate
from driftfield.errors import DriftfieldError


def oscillate(y: torch.Tensor, u: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """A pendulum, pushed: y'' = -sin y + cos u."""
    return torch.stack([y[:, 1], -torch.sin(y[:, 0]) + torch.cos(u)], 1)


def scipy_answer(start: torch.Tensor, begin: float, end: float, rtol: float) -> np.ndarray:
    def slope(u: float, y: np.ndarray) -> list[float]:
        return [y[1], -math.sin(y[0]) + math.cos(u)]

    return np.array(
        [solve_ivp(slope, (begin, end), y, method="RK45", rtol=rtol, atol=rtol).y[:, -1] for y in start.numpy()]
    )


def test_the_coefficients_are_those_of_scipy() -> None:
    for own, theirs in zip(ode.STAGES[1:6], RK45.A[1:6], strict=True):
        np.testing.assert_allclose(own, theirs[: len(own)], rtol=1e-15)
    np.testing.assert_allclose(ode.STAGES[6], RK45.B, rtol=1e-15)
    np.testing.assert_allclose(ode.NODES[:6], RK45.C, rtol=1e-15)
    np.testing.assert_allclose(np.abs(ode.ERROR), np.abs(RK45.E), rtol=1e-15)


def test_fixed_steps_converge_at_order_five_and_their_error_estimate_too() -> None:
    """y' = -y from 1, over a length of 4."""
    rows, errors, estimates = torch.arange(1), [], []
    for n in (40, 80, 160):
        y, h = torch.ones(1, 1).double(), f64(4.0 / n).expand(1)
        k = -y
        for i in range(n):
            y, k, estimate = ode.step(lambda y, u, rows: -y, y, k, i * h, h, rows)
            if i == 0:
                estimates.append(abs(float(estimate)))
        errors.append(abs(float(y) - math.exp(-4)))
    # The next term of the error is h times the leading one, roughly: 0.1 of order, and half as much with half the step.
    assert math.log2(errors[0] / errors[1]) == pytest.approx(5, abs=0.15)
    assert math.log2(errors[1] / errors[2]) == pytest.approx(5, abs=0.08)
    assert math.log2(estimates[1] / estimates[2]) == pytest.approx(5, abs=0.08)  # of one step: one more than order 4


@pytest.mark.parametrize(("begin", "end"), [(0.0, 5.0), (3.0, -2.0)])
@pytest.mark.parametrize("rtol", [1e-4, 1e-8])
def test_the_solution_is_that_of_scipy(begin: float, end: float, rtol: float) -> None:
    y0 = 2 * normal(20, 2)
    found = integrate(oscillate, y0, f64(begin), f64(end), rtol, rtol)
    theirs, truth = scipy_answer(y0, begin, end, rtol), scipy_answer(y0, begin, end, 1e-12)
    # The same method and controller, but for scipy's limit after a rejected step and its largest first step: what
    # either is off the truth the other is too, by half as much or twice.
    assert 0.5 < np.abs(found.y.numpy() - truth).max() / np.abs(theirs - truth).max() < 2


def test_a_tighter_tolerance_costs_more_and_errs_less() -> None:
    y0 = 2 * normal(20, 2)
    truth = f64(scipy_answer(y0, 0.0, 5.0, 1e-13))
    solutions = [integrate(oscillate, y0, f64(0.0), f64(5.0), tol, tol) for tol in (1e-3, 1e-6, 1e-9)]
    errors = [float((s.y - truth).abs().max()) for s in solutions]
    assert errors[0] > 100 * errors[1] > 10_000 * errors[2]  # a thousandfold each, within a factor of ten
    costs = [float(s.evaluations.double().mean()) for s in solutions]
    # A step goes with the fifth root of the tolerance, 4 times fewer for a thousandth.
    assert 2 < costs[1] / costs[0] < 6
    assert 2 < costs[2] / costs[1] < 6


@given(seed=st.integers(0, 2**31))
@by_property
def test_a_row_does_not_depend_on_the_rows_beside_it(seed: int) -> None:
    y0 = normal(6, 2, seed=seed) * f64([[0.01], [0.1], [1.0], [3.0], [10.0], [0.0]])
    order = torch.randperm(6, generator=torch.Generator().manual_seed(seed))
    whole = integrate(oscillate, y0, f64(0.0), f64(3.0), 1e-5, 1e-5)
    mixed = integrate(oscillate, y0[order], f64(0.0), f64(3.0), 1e-5, 1e-5)
    assert torch.equal(mixed.evaluations, whole.evaluations[order])
    # Sums over two numbers, elementwise: nothing but the vector units' tails can round otherwise.
    torch.testing.assert_close(mixed.y, whole.y[order], rtol=0, atol=1e-13)
    for i in (0, 4):
        alone = integrate(oscillate, y0[i : i + 1], f64(0.0), f64(3.0), 1e-5, 1e-5)
        assert torch.equal(alone.evaluations, whole.evaluations[i : i + 1])
        torch.testing.assert_close(alone.y, whole.y[i : i + 1], rtol=0, atol=1e-13)


def test_the_slope_is_told_which_rows_it_is_asked_for() -> None:
    rates = f64([0.1, -1.0, 3.0, -40.0])
    evaluated: list[int] = []

    def slope(y: torch.Tensor, u: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        evaluated.append(len(rows))
        return rates[rows][:, None] * y

    found = integrate(slope, torch.ones(4, 1).double(), f64(0.0), f64(1.0), 1e-9, 1e-12)
    torch.testing.assert_close(found.y[:, 0], rates.exp(), rtol=1e-7, atol=1e-11)
    assert evaluated[0] == 4
    assert evaluated[-1] == 1  # rows leave the batch as they arrive
    assert sum(evaluated) == int(found.evaluations.sum())
    assert found.evaluations.argmax() == 3


def test_single_precision_stays_single_and_any_shape_goes() -> None:
    y = torch.ones(3, 2, 2)
    found = integrate(lambda y, u, rows: -y, y, f64(0.0), f64(1.0), 1e-5, 1e-5)
    assert found.y.dtype == torch.float32
    torch.testing.assert_close(found.y, y * math.exp(-1), rtol=1e-4, atol=0)
    assert integrate(lambda y, u, rows: -y, y[:0], f64(0.0), f64(1.0), 1e-5, 1e-5).y.shape == (0, 2, 2)
    still = integrate(lambda y, u, rows: -y, y, f64(1.0), f64(1.0), 1e-5, 1e-5)
    assert torch.equal(still.y, y)
    assert still.evaluations.sum() == 0


def test_a_slope_that_is_not_finite_is_an_error_and_not_an_endless_loop() -> None:
    with pytest.raises(DriftfieldError, match="looser tolerance"):
        integrate(lambda y, u, rows: y / 0, torch.ones(1, 1).double(), f64(0.0), f64(1.0), 1e-5, 1e-5)
    with pytest.raises(DriftfieldError, match="looser tolerance"):  # y = 1 / (1 - u) has no value at 1
        integrate(lambda y, u, rows: y**2, torch.ones(1, 1).double(), f64(0.0), f64(2.0), 1e-5, 1e-5)


def test_too_many_steps_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ode, "MOST_STEPS", 10)
    with pytest.raises(DriftfieldError, match="within 10 steps: choose a looser"):
        integrate(lambda y, u, rows: torch.cos(1e3 * u)[:, None], torch.zeros(1, 1), f64(0.0), f64(1.0), 1e-9, 1e-9)
