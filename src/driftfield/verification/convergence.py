r"""How accurate a sampler is, measured on a distribution whose denoiser is exact, so that no network is to blame.

The distribution is a mixture of eight Gaussians of standard deviation 0.1 on a circle of radius 1, under VE from sigma
80 to 0.002 on the karras grid, rho = 7. Three numbers for each sampler:

    end error    of a solver: the median distance of 256 end points, at sigma 0.002, from those of a solution to 1e-11
    order        of a solver, the slope log_4(e_N / e_4N) of that error; of a random sampler, that of the variance's
                 error on Gaussian data N(0, 1/2), whose steps are linear, so that the variance is known without drawing
    Wasserstein  W2 between as many rows drawn with so many evaluations, down to t = 0, and real ones, beside its floor,
                 the W2 between two sets of real rows
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from driftfield.codecs import FloatArray
from driftfield.diffusion import (
    GRIDS,
    SAMPLERS,
    BaseDenoiser,
    Estimate,
    MixtureDenoiser,
    Sampler,
    Schedule,
    Step,
    sample,
)
from driftfield.diffusion.basics.schedules import VE
from driftfield.diffusion.further.adaptive import rk45
from driftfield.diffusion.further.row_noise import SAMPLES, BlockNoise
from driftfield.evaluation.distances import wasserstein2
from driftfield.seeds import derive

PARTICLES = 256
ROWS, DRAWS = 1_000, 3  # of each side of a Wasserstein distance, and how many of them are averaged
STEPS = (16, 64, 256)  # as in published comparisons
ORDER_STEPS = (64, 256)  # between which the order is taken
THIRD_ORDER_STEPS = (256, 1024)  # the same for third order, whose terms of the next order fall off later
MOMENT_STEPS = 50  # after which the error of a moment is reported
WEAK_STEPS = (240, 960)  # the same for random samplers
EVALUATIONS = (8, 12, 16, 32, 64, 128, 256)
RANDOM_EVALUATIONS = (10, 20, 50, 100)
TOLERANCES = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7)  # of rk45, for the same picture
FINEST = 1e-11  # tolerance of the reference
GAUSSIAN_VARIANCE = 0.5
CORRELATED = (0.05, 1.95)  # variances along the axes of two columns of variance 1 with a correlation of 0.95
FACTOR = 2.0  # between the variance that few steps make and the true one
SIGMA_MIN, SIGMA_MAX = 0.002, 80.0


@dataclass(frozen=True)
class Convergence:
    """What was measured of one sampler; lists are empty, and numbers None, where they do not apply.

    Attributes:
        steps_errors: end errors at 16, 64 and 256 steps.
        curve: (evaluations, end error) of solvers, for the picture.
        order: as measured.
        distances: (evaluations, Wasserstein-2) of random samplers.
        variance_error: of 50 steps of a random sampler, on Gaussian data: what they make of the variance, less 1.
        at_ten: (Wasserstein-2, grid) with at most ten evaluations, on the better of two grids.
    """

    name: str
    steps_errors: tuple[float, ...]
    curve: tuple[tuple[float, float], ...]
    order: float | None
    distances: tuple[tuple[int, float], ...]
    variance_error: float | None
    at_ten: tuple[float, str] | None


def ring(schedule: Schedule) -> MixtureDenoiser:
    """The exact denoiser of the mixture."""
    angles = torch.arange(8, dtype=torch.float64) * math.pi / 4
    means = torch.stack([angles.cos(), angles.sin()], 1)
    return MixtureDenoiser(schedule, torch.ones(8), means, 0.01 * torch.eye(2, dtype=torch.float64).expand(8, 2, 2))


def measure(names: tuple[str, ...] = (), seed: int = 0) -> Iterator[Convergence]:
    """Measure samplers, all but those that need more than a denoiser; yields each when it is done."""
    distribution = ring(VE(SIGMA_MIN, SIGMA_MAX))
    start = SIGMA_MAX * BlockNoise(seed, "start of the solvers", 0, PARTICLES, (2,), torch.device("cpu"))().double()
    truth = _solved(distribution, start, FINEST)
    for name in names or SAMPLERS:
        sampler = SAMPLERS[name]
        if sampler.needs:
            continue
        if sampler.random:
            yield Convergence(
                name,
                (),
                (),
                weak_order(sampler),
                tuple((n, distance(distribution, sampler, n, "karras", seed)) for n in RANDOM_EVALUATIONS),
                spread(sampler, MOMENT_STEPS) - 1,
                _at_ten(distribution, sampler, seed),
            )
        elif sampler.evaluations is None:
            yield Convergence(name, (), tuple(_adaptive_curve(distribution, start, truth)), None, (), None, None)
        else:
            yield _solver(distribution, name, sampler, start, truth, seed)


def _solver(
    distribution: MixtureDenoiser, name: str, sampler: Sampler, start: Tensor, truth: Tensor, seed: int
) -> Convergence:
    each = sampler.evaluations or 1
    counts = [n // each for n in EVALUATIONS if n // each > 1]
    ends = THIRD_ORDER_STEPS if sampler.order == 3 else ORDER_STEPS
    wanted = sorted({*STEPS, *counts, *ends})
    error = {n: end_error(distribution, sampler, start, truth, n) for n in wanted}
    coarse, fine = (error[n] for n in ends)
    return Convergence(
        name,
        tuple(error[n] for n in STEPS),
        tuple((n * each, error[n]) for n in counts),
        math.log(coarse / fine, 4),
        (),
        None,
        _at_ten(distribution, sampler, seed),
    )


def end_error(distribution: MixtureDenoiser, step: Step, start: Tensor, truth: Tensor, n: int) -> float:
    """Median distance of end points at t_low from the true ones after n steps from ``start`` (B, 2)."""
    times = GRIDS["karras"](distribution.schedule, n + 1)[:-1]
    *_, last = sample(distribution, start, times, step, _silent)
    return float((last.x - truth).norm(dim=1).median())


def _solved(distribution: BaseDenoiser, start: Tensor, tolerance: float) -> Tensor:
    low, one = torch.tensor([distribution.schedule.t_low, 1.0], dtype=torch.float64)
    *_, last = sample(distribution, start, torch.stack([one, low]), partial(rk45, tolerance=tolerance), _silent)
    return last.x


class _Counting(BaseDenoiser):
    """A denoiser that counts the rows it evaluates."""

    def __init__(self, denoiser: BaseDenoiser) -> None:
        super().__init__(denoiser.schedule)
        self.denoiser, self.rows = denoiser, 0

    def forward(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Estimate:
        self.rows += len(x_t)
        return self.denoiser(x_t, t, cond)


def _adaptive_curve(distribution: MixtureDenoiser, start: Tensor, truth: Tensor) -> Iterator[tuple[float, float]]:
    """(evaluations a row, end error) over tolerances."""
    for tolerance in TOLERANCES:
        counting = _Counting(distribution)
        end = _solved(counting, start, tolerance)
        yield counting.rows / len(start), float((end - truth).norm(dim=1).median())


def weak_order(step: Step) -> float:
    """log_4 of the ratio of the variance's errors at 240 and 960 steps; see :func:`spread`."""
    coarse, fine = (abs(spread(step, n) - 1) for n in WEAK_STEPS)
    return math.log(coarse / fine, 4)


def enough_steps(step: Step, n: int, seed: int = 0) -> bool:
    """Whether n steps make a variance within a factor of two of the true one, on two distributions.

    They are a Gaussian of two columns with a correlation of 0.95, along each of its axes (a step treats every direction
    alike, so that each axis is a Gaussian of its own), and the ring, in total.
    """
    ratios = [spread(step, n, variance) for variance in CORRELATED]
    distribution = ring(VE(SIGMA_MIN, SIGMA_MAX))
    drawn = _walked(distribution, step, n, "karras", seed)
    truth = float(distribution.means.var(0, correction=0).sum() + distribution.variances.sum(1).mean())
    ratios.append(float(drawn.var(0).sum()) / truth)
    return all(1 / FACTOR <= ratio <= FACTOR for ratio in ratios)


def spread(step: Step, n: int, variance: float = GAUSSIAN_VARIANCE) -> float:
    """The variance of n steps of VE for Gaussian data N(0, variance), over the true one, without drawing.

    The denoiser is linear, and so is every step: row i of the batch gets a one in place of the i-th noise and zeros in
    place of all others, and the variance is the sum of the squares of what becomes of them.
    """
    schedule = VE(SIGMA_MIN, SIGMA_MAX)
    distribution = MixtureDenoiser(
        schedule, torch.ones(1), torch.zeros(1, 1), torch.full((1, 1, 1), variance, dtype=torch.float64)
    )
    rows, calls = 2 * n + 3, iter(range(1, 2 * n + 3))

    def noise() -> Tensor:
        unit = torch.zeros(rows, 1, dtype=torch.float64)
        unit[next(calls)] = 1
        return unit

    start = torch.zeros(rows, 1, dtype=torch.float64)
    start[0] = math.sqrt(variance + SIGMA_MAX**2)
    *_, last = sample(distribution, start, GRIDS["karras"](schedule, n), step, noise)
    return float(last.x.square().sum()) / variance


def distance(distribution: MixtureDenoiser, sampler: Sampler, evaluations: int, grid: str, seed: int) -> float:
    """Wasserstein-2 of rows drawn with at most so many evaluations from as many real ones: a mean over three draws."""
    found = [
        wasserstein2(_drawn(distribution, sampler, evaluations, grid, own), _real(distribution, own), own).value
        for own in _seeds(seed)
    ]
    return float(np.mean(found))


def floor(seed: int = 0) -> float:
    """The same between two sets of real rows."""
    distribution = ring(VE(SIGMA_MIN, SIGMA_MAX))
    pairs = [
        wasserstein2(_real(distribution, own, "second real sample"), _real(distribution, own), own).value
        for own in _seeds(seed)
    ]
    return float(np.mean(pairs))


def _at_ten(distribution: MixtureDenoiser, sampler: Sampler, seed: int) -> tuple[float, str]:
    return min((distance(distribution, sampler, 10, grid, seed), grid) for grid in ("karras", "log-snr"))


def _seeds(seed: int) -> list[int]:
    return [derive(seed, "draw of a distance", draw) for draw in range(DRAWS)]


def _real(distribution: MixtureDenoiser, seed: int, purpose: str = "real sample") -> FloatArray:
    return distribution.sample(ROWS, torch.Generator().manual_seed(derive(seed, purpose))).numpy()


def _drawn(distribution: MixtureDenoiser, sampler: Sampler, evaluations: int, grid: str, seed: int) -> FloatArray:
    """Rows of a sampler whose last step, to t = 0, costs one evaluation, whatever the others do."""
    steps = 1 + (evaluations - 1) // (sampler.evaluations or 1)
    return _walked(distribution, sampler, steps, grid, seed).numpy()


def _walked(distribution: MixtureDenoiser, step: Step, n: int, grid: str, seed: int) -> Tensor:
    """Rows (1,000, 2) after n steps from sigma 80 to the data."""
    noise = BlockNoise(seed, SAMPLES, 0, ROWS, (2,), torch.device("cpu"))
    times = GRIDS[grid](distribution.schedule, n)
    *_, last = sample(distribution, SIGMA_MAX * noise().double(), times, step, lambda: noise().double())
    return last.x


def _silent() -> Tensor:
    raise AssertionError("a solver draws no noise")
