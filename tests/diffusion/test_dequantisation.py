"""Uniform dequantisation against distributions whose probabilities of integers are known."""

import math

import pytest
import torch
from oracles import f64
from torch import Tensor
from torch.distributions import Normal

from driftfield.diffusion import dequantised_log_prob
from driftfield.errors import InputError

UNIT = Normal(f64(0.0), f64(1.0))


def uniform(shape: tuple[int, ...], seed: int = 0):  # type: ignore[no-untyped-def]
    generator = torch.Generator().manual_seed(seed)
    return lambda: torch.rand(shape, generator=generator, dtype=torch.float64)


def test_uniform_integers_have_log2_of_their_levels_in_bits() -> None:
    x = torch.randint(0, 8, (50, 3), generator=torch.Generator().manual_seed(1)).double()

    def flat(x: Tensor) -> Tensor:
        inside = ((x >= 0) & (x < 8)).all(1)
        return torch.where(inside, f64(-3 * math.log(8)), -math.inf)

    bound = dequantised_log_prob(flat, x, 8, uniform((50, 3)))
    bits, error = bound.bits(3)
    torch.testing.assert_close(bits, torch.full_like(bits, 3.0), rtol=0, atol=1e-12)  # tight: p is flat on each cube
    assert not error.any()


def test_the_bound_of_a_gaussian_is_its_mean_over_the_cell() -> None:
    """For N(m, s^2): E_u log p(x + u) = -log(s sqrt(2 pi)) - ((x + 1/2 - m)^2 + 1/12) / (2 s^2)."""
    m, s = 4.2, 1.5
    x = torch.arange(0, 10).double()[:, None]
    bound = dequantised_log_prob(
        lambda x: Normal(f64(m), f64(s)).log_prob(x).sum(1), x, 10, uniform((10, 1)), draws=4_000
    )
    expected = -math.log(s * math.sqrt(2 * math.pi)) - ((x[:, 0] + 0.5 - m) ** 2 + 1 / 12) / (2 * s**2)
    # Ten rows of normal errors: four of them, and the reported error is theirs.
    assert ((bound.value - expected).abs() < 4 * bound.error).all()
    spread = (x[:, 0] + 0.5 - m).abs() / s**2 / math.sqrt(12 * 4_000)  # of the linear term in u
    torch.testing.assert_close(bound.error, spread, rtol=0.1, atol=2e-4)


def test_the_bound_lies_below_the_probability_of_the_cell_and_closes_as_cells_shrink() -> None:
    gaps = []
    for width in (1.0, 0.25):  # of a level in standard deviations
        x = torch.arange(0, 16).double()[:, None]

        def log_prob(x: Tensor, width: float = width) -> Tensor:
            return UNIT.log_prob((x - 8) * width).sum(1) + math.log(width)

        exact = torch.log(UNIT.cdf((x[:, 0] - 7) * width) - UNIT.cdf((x[:, 0] - 8) * width))
        bound = dequantised_log_prob(log_prob, x, 16, uniform((16, 1)), draws=20_000)
        assert (bound.value < exact + 4 * bound.error).all()
        weight = exact.exp() / exact.exp().sum()
        gaps.append(float((weight * (exact - bound.value)).sum()))
    # The gap is half the variance of log p over a cell, width^2 E[z^2] width^2 / 24 and so of order width^2.
    assert gaps[0] > 5 * gaps[1] > 0


@pytest.mark.parametrize(
    ("x", "levels", "draws", "words"),
    [
        ([[0.5]], 4, 4, "is 0.5"),
        ([[4.0]], 4, 4, "from 0 to 3"),
        ([[-1.0]], 4, 4, "is -1"),
        ([[1.0]], 1, 4, "at least 2 levels"),
        ([[1.0]], 4, 1, "at least 2 draws"),
    ],
)
def test_numbers_that_are_no_levels_are_refused(x: list[list[float]], levels: int, draws: int, words: str) -> None:
    with pytest.raises(InputError, match=words):
        dequantised_log_prob(lambda x: x.sum(1), f64(x), levels, uniform((1, 1)), draws)
