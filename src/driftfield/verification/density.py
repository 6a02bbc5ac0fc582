r"""Checks of the density: its mass, its gradient, its flow there and back, and the bound below it.

By the change of variables the density of a flow always has mass 1, for any network. So a mass other than 1 points to
the integration or to the units, never to the network. The gradient of the density and the learned score, in contrast,
agree only if the learned scores of all noise levels belong to one process (solve one Fokker-Planck equation), as those
of a well-trained network nearly do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import stats

from driftfield.verification.check import DoesNotApply, Finding
from driftfield.verification.subject import Subject

MASS_NOISE = 0.1  # standard deviations of noise; the density of rows with this noise is integrated
SPACING = 1.25  # of the grid, in units of the noise: the sum has an error of exp(-2 pi^2 / 1.25^2) = 3e-6
MOST_POINTS = {1: 2_001, 2: 128**2}
STRAY = 0.5  # of the range of the data, by which samples may at most widen the box
MASS_SLACK = 0.02  # measured: 0.999 to 1.001 on default models of the plane; 2 with a Jacobian that is off by ln 2
PROPOSALS = 2_000
INFLATION = 1.3  # of the proposal's covariances
DEGREES = 5  # of freedom of its tails
MASS_LEVEL = 0.5  # standard deviations of noise above two dimensions, where rows are far apart
UNCERTAIN = 0.1  # standard error of the mass above which the check does not apply

SCORE_LEVELS = (0.2, 1.0)  # standard deviations
SCORE_ROWS = 256
SCORE_DIRECTIONS = 4
DIFFERENCE = 0.1  # of the noise: the truncation error is then (0.1)^2 / 6 of a third derivative of order 1
# Measured slopes: 0.97 to 1.09 at noise 0.2 and 1.00 to 1.03 at 1 on default models of the plane, 1.3 for a rough
# network with the input t; -0.1 to 0.25 with the wrong sign, 70 and more under a swapped schedule.
SCORE_SLACK = 0.2
MOST_DOUBT = 0.3  # the most that a standard error may add: that of a broken model can be of any size

ROUND_TRIP_SLACK = 0.02  # standard deviations; 3e-6 on default models, 0.018 of a rough network on a chain in 24 steps
BOUND_SLACK = 0.02  # nats per dimension; default models of the plane are 0.47 to 0.53 above their bound of 200 steps


def mass(subject: Subject) -> Finding:
    """The integral of the density: by a grid in one and two dimensions, by importance sampling above."""
    needs_ode(subject)
    found = _grid_mass(subject) if subject.model.dimensions <= 2 else _sampled_mass(subject)
    error = found.error or 0.0
    if error > UNCERTAIN:
        raise DoesNotApply(
            f"{found.points:,} draws give {found.value:.2f} with a standard error of {error:.2f}, too large to judge by"
        )
    slack = MASS_SLACK + 4 * error
    details = {"noise": found.noise, "points": found.points}
    return Finding(found.value, 1 - slack, 1 + slack, found.error, 1.0, found.note, details)


def needs_ode(subject: Subject) -> None:
    """Raises DoesNotApply for a model without an ODE."""
    if subject.is_kernel:
        raise DoesNotApply("a learned kernel has no probability-flow ODE, and its density is a bound")


@dataclass(frozen=True)
class Mass:
    """The integral of a density, how it was computed, and at which noise level."""

    value: float
    error: float | None
    noise: float
    points: int
    note: str


def _grid_mass(subject: Subject) -> Mass:
    """The sum over a grid that reaches six noise levels beyond the data and the samples."""
    model, D = subject.model, subject.model.dimensions
    z = subject.z
    made = model.codec.encode(subject.samples).astype(np.float64)
    span = np.ptp(z, axis=0)
    low = np.maximum(np.minimum(z.min(0), made.min(0)), z.min(0) - STRAY * span)
    high = np.minimum(np.maximum(z.max(0), made.max(0)), z.max(0) + STRAY * span)
    noise = max(MASS_NOISE, model.denoiser.schedule.kappa(subject.time(0.0)).item())
    while True:
        counts = np.ceil((high - low + 12 * noise) / (SPACING * noise)).astype(int) + 1  # (D,)
        if counts.prod() <= MOST_POINTS[D]:
            break
        noise *= 1.05
    noise = subject.level(noise)
    axes = [np.linspace(low[d] - 6 * noise, high[d] + 6 * noise, counts[d]) for d in range(D)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, D)
    cell = float(np.prod([axis[1] - axis[0] for axis in axes]))
    x = model.codec.decode(points)
    log_p, _ = model.log_prob(x, noise=noise)
    value = float(np.exp(log_p + math.log(cell) + _log_volume(subject)).sum())
    shape = " x ".join(str(count) for count in counts)
    note = f"sum over a grid of {shape} points, of the density at noise {noise:.2g}"
    return Mass(value, None, noise, len(points), note)


def _log_volume(subject: Subject) -> float:
    """Log of the volume, in the user's units, of a unit cube in the network's, from the images of its corners."""
    D = subject.model.dimensions
    corner = subject.model.codec.decode(np.zeros((1, D)))
    edges = subject.model.codec.decode(np.eye(D)) - corner  # (D, D)
    return float(np.linalg.slogdet(edges)[1])


def _sampled_mass(subject: Subject) -> Mass:
    r"""Importance sampling: the mean of p / q over draws of a proposal q.

    q is a mixture of multivariate t distributions with 5 degrees of freedom, at the means and 1.3 times the covariances
    of a Gaussian mixture fitted to noised training rows.
    """
    from sklearn.mixture import GaussianMixture

    model, D = subject.model, subject.model.dimensions
    noise = subject.level(MASS_LEVEL)
    rows = model.codec.encode(subject.training[:4_000]).astype(np.float64)
    noised, _ = subject.noisy(noise, "mass", rows)
    rng = subject.stream("proposal")
    parts = int(np.clip(len(rows) // (20 * D), 1, 8))
    fitted = GaussianMixture(parts, reg_covar=1e-4, random_state=int(rng.integers(2**31))).fit(noised)
    distributions = [
        stats.multivariate_t(mean, INFLATION * covariance, df=DEGREES)
        for mean, covariance in zip(fitted.means_, fitted.covariances_, strict=True)
    ]
    counts = rng.multinomial(PROPOSALS, fitted.weights_)
    draws = [
        distribution.rvs(count, random_state=rng).reshape(count, D)
        for distribution, count in zip(distributions, counts, strict=True)
        if count
    ]
    y = np.concatenate(draws)
    log_q = np.logaddexp.reduce(
        [np.log(w) + distribution.logpdf(y) for w, distribution in zip(fitted.weights_, distributions, strict=True)]
    )
    log_p, _ = model.log_prob(model.codec.decode(y), noise=noise)
    ratio = np.exp(log_p + _log_volume(subject) - log_q)
    note = f"importance sampling with {PROPOSALS:,} draws, of the density at noise {noise:.2g}"
    return Mass(float(ratio.mean()), float(ratio.std() / math.sqrt(len(ratio))), noise, PROPOSALS, note)


def score(subject: Subject) -> Finding:
    """The slope of central differences of the log-density on those that the learned score predicts.

    Both are taken along random directions at noised rows. Differences of the density contain second derivatives of the
    network, so that they scatter around the score even for a good network. The slope shows systematic errors, such as a
    sign or a factor; the scatter is reported with it.
    """
    needs_ode(subject)
    found = {level: _differences(subject, level) for level in subject.levels(SCORE_LEVELS)}
    worst = max(found, key=lambda level: abs(found[level].slope - 1) - 4 * found[level].error)
    here = found[worst]
    slack = SCORE_SLACK + min(4 * here.error, MOST_DOUBT)
    note = (
        f"slope of finite differences of log p on the score, at noise {worst:.2g}; the scatter around it "
        f"is {here.scatter:.2g} of the score"
    )
    details = {
        "slope_by_noise": {f"{level:.3g}": each.slope for level, each in found.items()},
        "relative_error_by_noise": {f"{level:.3g}": each.relative_error for level, each in found.items()},
    }
    return Finding(here.slope, 1 - slack, 1 + slack, here.error, 1.0, note, details)


class Differences(NamedTuple):
    """Differences of log p against those that the score predicts: slope, its standard error, two relative errors."""

    slope: float
    error: float
    scatter: float
    relative_error: float


def _differences(subject: Subject, noise: float) -> Differences:
    model, D = subject.model, subject.model.dimensions
    y, _ = subject.noisy(noise, "score")
    y = y[:SCORE_ROWS]
    rng = subject.stream(f"directions {noise:.6g}")
    count = min(D, SCORE_DIRECTIONS)
    v = np.linalg.qr(rng.standard_normal((len(y), D, D)))[0][:, :count]  # (n, count, D), orthonormal
    ahead, behind = (
        model.codec.decode((y[:, None] + side * DIFFERENCE * noise / 2 * v).reshape(-1, D)) for side in (1, -1)
    )
    log_p, _ = model.log_prob(np.concatenate([ahead, behind]), noise=noise)
    found = np.subtract(*np.split(log_p, 2))  # (n count,)
    here = np.repeat(model.score(model.codec.decode(y), noise=noise), count, axis=0)
    predicted = ((ahead - behind) * here).sum(1)
    size = float(np.sum(predicted**2))
    if not size > 0:
        return Differences(math.nan, 0.0, math.nan, math.nan)
    slope = float(found @ predicted) / size
    left = found - slope * predicted
    error = math.sqrt(np.sum((left * predicted) ** 2)) / size
    scatter, relative = (math.sqrt(np.sum(rest**2) / size) for rest in (left, found - predicted))
    return Differences(slope, error, scatter, relative)


def round_trip(subject: Subject) -> Finding:
    """Data to latent codes and back."""
    needs_ode(subject)
    back = subject.model.decode(subject.latents)
    moved = (back - subject.real) / subject.real.std(0)  # (n, D)
    per_row = np.sqrt(np.mean(moved**2, axis=1))
    value = float(np.sqrt(np.mean(moved**2)))
    details = {"median": float(np.median(per_row)), "largest": float(per_row.max())}
    note = f"row to code to row, root mean square over {len(back):,} held-out rows; the worst {per_row.max():.2g}"
    return Finding(value, high=ROUND_TRIP_SLACK, floor=0.0, note=note, details=details)


def bound(subject: Subject) -> Finding:
    """Mean log p by the ODE minus the variational bound."""
    needs_ode(subject)
    lower, _ = subject.model.bound(subject.real, draws=1, seed=subject.seed)
    gap = subject.log_prob - lower
    error = float(gap.std(ddof=1) / math.sqrt(len(gap)))
    low = -(BOUND_SLACK * subject.model.dimensions + 3 * error)
    note = f"mean of log p(x) by the ODE, {subject.log_prob.mean():.3f}, minus the bound, {lower.mean():.3f}"
    details = {"ode": float(subject.log_prob.mean()), "bound": float(lower.mean())}
    return Finding(float(gap.mean()), low, None, error, note=note, details=details)
