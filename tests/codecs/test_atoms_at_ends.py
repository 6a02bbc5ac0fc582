"""Atoms at the ends of a column: no number lies beyond them, and densities sum to 1 with their masses."""

from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.integrate import quad

import driftfield
from driftfield.codecs.columns import Column, ColumnOptions
from driftfield.codecs.finding import find_columns

N = 600
RNG = np.random.default_rng(0)
CAPPED = np.minimum(RNG.normal(size=N), 1.2)
GAINED = np.where(RNG.random(N) < 0.3, 0.0, RNG.exponential(size=N))
HOURS = np.minimum(RNG.poisson(400, N), 420).astype(float)


def column(values: Any, **more: Any) -> Column:
    return find_columns(np.asarray(values)[:, None], ["x"], [()], **more)[0]


def test_an_atom_at_an_end_is_a_bound() -> None:
    assert (column(CAPPED).values, column(CAPPED).high, column(CAPPED).low) == ((1.2,), 1.2, None)
    assert (column(-CAPPED).low, column(-CAPPED).high) == (-1.2, None)
    assert (column(GAINED).values, column(GAINED).low) == ((0.0,), 0.0)
    assert (column(HOURS).values, column(HOURS).high) == ((420.0,), 419.5)
    assert column(HOURS).ends == (None, 419)
    said = {"x": ColumnOptions(atoms=(50.0,))}
    assert column(np.append(GAINED, [50.0] * 9), declared=said).high == 50


def test_an_atom_within_is_no_bound() -> None:
    assert column(np.append(CAPPED, 1.9)).high is None
    assert column(CAPPED, beside=np.array([[1.9], [np.nan]])).high != 1.2  # perhaps beyond, as values pile up
    assert column(np.append(GAINED, -0.1)).low is None


def test_what_is_said_beats_an_atom() -> None:
    assert column(CAPPED, declared={"x": ColumnOptions(high=3.0)}).high == 3.0


@pytest.mark.parametrize("values", [CAPPED, -CAPPED, GAINED])
def test_the_density_of_a_map_within_atoms_integrates_to_1(values: Any) -> None:
    part = column(values)
    assert part.map is not None

    def density(x: float) -> float:
        x_ = np.array([x])
        z, slope = part.map.forward(x_), part.map.log_slope(x_)  # type: ignore[union-attr]
        return float(np.exp(-0.5 * z**2 + slope)[0] / np.sqrt(2 * np.pi))

    ends = [-30.0 if part.low is None else part.low, *part.map.x, 30.0 if part.high is None else part.high]
    mass = sum(quad(density, a, b, limit=200)[0] for a, b in pairwise(ends))
    assert mass == pytest.approx(1, abs=1e-6)  # of the integration; beyond 30 there is less


def test_no_draw_of_a_model_lies_beyond_an_atom_and_its_probabilities_sum_to_1() -> None:
    frame = pl.DataFrame({"x": CAPPED, "h": HOURS, "k": ["u", "v"] * (N // 2)})
    model = driftfield.fit(frame, steps=40, network={"width": 32}, seed=0)
    rows = model.sample(1_000, steps=10)
    assert rows[:, 0].max() == 1.2
    assert rows[:, 1].max() == 420
    grid = np.concatenate([np.linspace(-6, 1, 200), 1.2 - np.geomspace(0.2, 1e-9, 200)[1:]])
    log_p, _ = model.log_prob(np.column_stack([grid, np.full((399, 2), np.nan)]), of="x", steps=12)
    at, beyond = (model.log_prob([[x, np.nan, np.nan]], of="x")[0][0] for x in (1.2, 1.21))
    assert beyond == -np.inf
    # The trapezoidal rule and few steps of the ODE are off by some thousandths.
    assert np.trapezoid(np.exp(log_p), grid) + np.exp(at) == pytest.approx(1, abs=0.01)
