"""How often cells are empty: the worst column, beside its floor."""

import numpy as np
import pytest

from driftfield.evaluation.holes import empty_cells
from driftfield.evaluation.verdict import verdict


def rows(seed: int, *shares: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.where(rng.random((1_000, len(shares))) < shares, np.nan, 1.0)


def test_the_worst_column_is_named_and_stands_in_the_verdict() -> None:
    metric = empty_cells(rows(0, 0.2, 0.5), rows(1, 0.2, 0.3), rows(2, 0.2, 0.3), ["income", "job"])
    assert metric.label == 'Empty cells of "job"'
    error = np.sqrt((0.25 + 0.21) / 1_000)
    assert metric.value == pytest.approx(0.2, abs=4 * error)
    assert metric.error == pytest.approx(error, rel=0.05)
    assert 'empty cells of "job"' in verdict([metric])


def test_equal_shares_are_within_noise() -> None:
    found = [empty_cells(rows(i, 0.3), rows(i + 100, 0.3), rows(i + 200, 0.3), ["a"]) for i in range(50)]
    z = np.array([metric.value / metric.error for metric in found])
    assert (z**2).mean() == pytest.approx(1, abs=4 * np.sqrt(2 / 50))  # of a chi-squared mean


def test_columns_without_an_empty_cell_have_an_error() -> None:
    metric = empty_cells(rows(0, 0.0), rows(1, 0.0), rows(2, 0.0), ["a"])
    assert metric.value == 0
    assert metric.error > 0
