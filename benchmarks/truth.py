"""Measure samplers and densities against closed form, print every figure with its bound, and draw the guide's pictures.

    python -m benchmarks.truth [samplers densities probes networks coverage speed] [--to docs/images] [--seed 0]

The denoisers are exact; only `networks`, `coverage` and `speed` train models, and small ones.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

import driftfield
from benchmarks.__main__ import median, show
from driftfield.codecs.scaling import Scaler
from driftfield.datasets import DISTRIBUTIONS, random_mixture
from driftfield.diffusion import (
    SAMPLERS,
    SCHEDULES,
    BaseDenoiser,
    LogDensity,
    RescheduledDenoiser,
    Sampler,
    exact_denoiser,
    log_prob,
    matched_prior,
)
from driftfield.diffusion.basics.schedules import VE
from driftfield.recipes.schema import LikelihoodSection
from driftfield.report.convergence import convergence_png
from driftfield.report.curves import Curve, lines
from driftfield.report.panels import figure
from driftfield.report.style import LIGHT
from driftfield.verification import convergence

PUBLISHED = {  # median end-point errors at 16, 64 and 256 steps, as published with the mixture
    "euler": (5.4e-2, 1.3e-2, 3.1e-3),
    "heun": (2.6e-2, 1.1e-3, 6.2e-5),
    "midpoint": (1.6e-2, 7.0e-4, 4.1e-5),
    "dpmpp-2m": (4.6e-2, 1.5e-3, 8.2e-5),
    "lms-2": (2.2e-2, 2.0e-3, 1.3e-4),
}
ORDER_TOLERANCE, TABLE_TOLERANCE, FLOOR_FACTOR = 0.15, 0.2, 1.1
DIMENSIONS = (1, 2, 5, 10, 30)
DEFAULT = LikelihoodSection().steps
FINE = 160
STEPS = (10, 20, 40, 80, 160)
SIGMA_MIN, SIGMA_MAX = 0.0002, 300.0  # at 80 the mismatch of the prior alone would be 2e-5 nats in 30 dimensions
MIXTURES, ROWS = 3, 64  # random mixtures for each number of dimensions, and rows of each
PROBES = (4, 16, 64, 256)
PARTS = ["samplers", "densities", "probes", "networks", "coverage", "speed"]
REFERENCE = 640  # Runge-Kutta steps beside which the default's error is measured


def samplers(to: Path, seed: int) -> Iterator[list[str]]:
    """Orders and errors of all samplers, and the picture of error over evaluations."""
    yield ["sampler", "order", "measured", "off by", "<=", "N = 16", "64", "256", "worst relative to published", "<=",
           "variance after 50 steps", "W2 at 10 evaluations / floor", "grid"]  # fmt: skip
    found = list(convergence.measure(seed=seed))
    floor = convergence.floor(seed)
    to.mkdir(parents=True, exist_ok=True)
    (to / "samplers.png").write_bytes(convergence_png(found, floor))
    for one in found:
        yield _sampler_row(one, SAMPLERS[one.name], floor)
    best = min((one for one in found if one.at_ten), key=lambda one: one.at_ten[0])
    ratio = best.at_ten[0] / floor
    yield [f"best at 10: {best.name}", *[""] * 10, f"{ratio:.2f} (<= {FLOOR_FACTOR})", best.at_ten[1]]


def _sampler_row(one: convergence.Convergence, sampler: Sampler, floor: float) -> list[str]:
    stated = sampler.order if not sampler.random else None
    off = ["", ""] if stated is None or one.order is None else [f"{abs(one.order - stated):.2f}", f"{ORDER_TOLERANCE}"]
    table = ["", ""]
    if one.name in PUBLISHED:
        pairs = zip(one.steps_errors, PUBLISHED[one.name], strict=True)
        table = [f"{max(abs(ours / theirs - 1) for ours, theirs in pairs):.0%}", f"{TABLE_TOLERANCE:.0%}"]
    return [
        one.name,
        "–" if sampler.order is None else str(sampler.order),
        "–" if one.order is None else f"{one.order:.2f}",
        *off,
        *([f"{error:.1e}" for error in one.steps_errors] or ["–"] * 3),
        *table,
        "–" if one.variance_error is None else f"{one.variance_error:+.1%}",
        *(["–", "–"] if one.at_ten is None else [f"{one.at_ten[0] / floor:.2f}", one.at_ten[1]]),
    ]


class Exact(NamedTuple):
    """A random mixture in the units of a network: exact denoiser, moments (D,), rows (64, D) and their log p (64,)."""

    denoiser: BaseDenoiser
    mean: Tensor
    variance: Tensor
    rows: Tensor
    truth: Tensor

    def log_prob(self, denoiser: BaseDenoiser | None = None, **options: Any) -> LogDensity:
        """log p of the rows by the ODE, with a prior that has the exact moments; of another denoiser, if given."""
        denoiser = denoiser or self.denoiser
        return log_prob(denoiser, self.rows, matched_prior(denoiser.schedule, self.mean, self.variance), **options)


def mixture(D: int, seed: int) -> Exact:
    """Five Gaussians with full covariances, whitened as the default recipe does."""
    distribution = random_mixture(D, 5, seed)
    scaler = Scaler.fit(distribution.sample(20_000, seed), "whiten")
    nodes = distribution.nodes.transformed(scaler.mean, scaler.rotation / scaler.scale[:, None])
    points, log_weights, covariance = (
        torch.from_numpy(part) for part in (nodes.points, nodes.log_weights, nodes.covariance)
    )
    weights = log_weights.exp()[:, None]
    mean = (weights * points).sum(0)
    variance = (weights * (points.square() + covariance.diagonal(dim1=1, dim2=2))).sum(0) - mean.square()
    denoiser = exact_denoiser(VE(SIGMA_MIN, SIGMA_MAX), points, log_weights, covariance)
    rows = distribution.sample(ROWS, seed + 1)
    z = torch.from_numpy(((rows - scaler.mean) / scaler.scale) @ scaler.rotation)
    truth = torch.from_numpy(distribution.log_prob(rows) - scaler.log_det)
    return Exact(denoiser, mean, variance, z, truth)


def density_errors(exact: Exact, **options: Any) -> Tensor:
    """log p by the ODE minus the exact log p, (64,), in nats."""
    return exact.log_prob(**options).value - exact.truth


def densities(to: Path, seed: int) -> Iterator[list[str]]:
    """Error of the ODE's log-density with an exact denoiser, by dimension and steps; draws densities.png."""
    yield ["dimensions", *(f"{n} steps" for n in STEPS), f"<= at {DEFAULT}", f"<= at {FINE}", "tolerance 1e-6"]
    curves = []
    for D in DIMENSIONS:
        distributions = [mixture(D, each) for each in range(seed * MIXTURES, (seed + 1) * MIXTURES)]

        def error(distributions: list[Exact] = distributions, **options: Any) -> float:
            return float(
                torch.stack(
                    [density_errors(distribution, **options).abs().mean() for distribution in distributions]
                ).mean()
            )

        errors = [error(steps=n) for n in STEPS]
        curves.append(Curve(f"{D}-D", np.array(errors)))
        yield [str(D), *(f"{each:.1e}" for each in errors), "1e-3", "1e-5", f"{error(tolerance=1e-6):.1e}"]
    by_steps = lines(
        "steps",
        "Error of the log-density",
        np.array(STEPS, dtype=float),
        curves,
        "Runge-Kutta steps",
        "mean absolute error (nats)",
        log_x=True,
        log_y=True,
        markers=True,
    )
    measured = np.array([error for error, _ in _probe_errors(seed)])
    fall = measured[0] * np.sqrt(PROBES[0] / np.array(PROBES))
    by_probes = lines(
        "probes",
        "Hutchinson's estimate in 30 dimensions",
        np.array(PROBES, dtype=float),
        [Curve("measured", measured), Curve("1 / √probes", fall, dashed=True)],
        "probes",
        "root mean square error (nats)",
        log_x=True,
        log_y=True,
        markers=True,
    )
    figure([by_steps, by_probes], LIGHT, 2).savefig(to / "densities.png", dpi=150)


@cache
def _probe_errors(seed: int) -> list[tuple[float, float]]:
    """(actual error, reported error) of Hutchinson's estimate for each number of probes."""
    exact, found = mixture(30, seed), []
    for n in PROBES:
        density = exact.log_prob(divergence="hutchinson", probes=n, seed=seed)
        error = float((density.value - exact.truth).square().mean().sqrt())
        found.append((error, float(density.probe_error.square().mean().sqrt())))
    return found


def probes(seed: int) -> Iterator[list[str]]:
    """Actual and reported error of Hutchinson's estimate by the number of probes."""
    yield ["probes", "root mean square error, nats", "reported", "error × √probes"]
    for n, (error, reported) in zip(PROBES, _probe_errors(seed), strict=True):
        yield [str(n), f"{error:.3f}", f"{reported:.3f}", f"{error * n**0.5:.2f}"]


def speed(seed: int) -> Iterator[list[str]]:
    """Time and memory of log-densities with the default network."""
    yield ["what", "measured", "<="]
    for name, n, bound in (("moons", 10_000, 5), ("mixture-30d", 1_000, 20)):
        model = driftfield.fit(name, seed=seed, steps=50)
        rows = DISTRIBUTIONS[name].sample(n, 3)
        yield [
            f"log_prob of {n:,} rows of {name}, s",
            f"{median(partial(model.log_prob, rows)):.2f}",
            f"{bound}",
        ]
    peaks = [_peak(n) for n in (10_000, 100_000)]
    yield ["peak memory of 10,000 and of 100,000 rows, MB", f"{peaks[0]:.0f}, {peaks[1]:.0f}", "bounded"]


def networks(seed: int) -> Iterator[list[str]]:
    """Densities of networks trained for ten seconds: actual and estimated error, and the gaps of bounds, in nats."""
    yield [
        "distribution", "mean error", "mean estimate", "error above estimate", "bound below", "4 paths", "16 paths",
    ]  # fmt: skip
    for name in ("moons", "8-gaussians"):
        model = driftfield.fit(name, seed=seed, time=10.0)
        rows = DISTRIBUTIONS[name].sample(1_000, 3)
        (value, estimate), (fine, _) = model.log_prob(rows), model.log_prob(rows, steps=320)
        error = np.abs(value - fine)
        bounds = [model.bound(rows)[0], *(model.importance_bound(rows[:250], n)[0] for n in (4, 16))]
        below = [float((fine[: len(bound)] - bound).mean()) for bound in bounds]
        yield [
            name,
            f"{error.mean():.1e}",
            f"{estimate.mean():.1e}",
            f"{(error > estimate).mean():.0%}",
            *(f"{gap:.2f}" for gap in below),
        ]


def coverage(seed: int) -> Iterator[list[str]]:
    """How often the error of log p exceeds its estimate under each schedule: tiny networks in 1-D and 2-D, and exact.

    The networks are trained on moons, or on its first column; the exact denoiser is that of a mixture in 2-D, at the
    noise levels of the network in 2-D. The reference has 640 steps.
    """
    parts = ("error above estimate", "mean error", "mean estimate")
    yield ["schedule", *(f"{what}: {part}" for what in ("1-D", "2-D", "exact") for part in parts)]
    rows, fresh = (DISTRIBUTIONS["moons"].sample(n, seed + i) for i, n in enumerate((4_000, 500)))
    exact = mixture(2, seed)
    for name in SCHEDULES:
        options: dict[str, Any] = {"train": {"steps": 500}, "network": {"width": 16}, "schedule": {"kind": name}}
        if name == "learned":
            options["objective"] = {"kind": "bound"}
        found = []
        for columns in (1, 2):
            model = driftfield.fit(rows[:, :columns], seed=seed, **options)
            value, estimate = model.log_prob(fresh[:, :columns])
            found.append((np.abs(value - model.log_prob(fresh[:, :columns], steps=REFERENCE)[0]), estimate))
        denoiser = RescheduledDenoiser(exact.denoiser, model.denoiser.schedule)
        density, reference = exact.log_prob(denoiser), exact.log_prob(denoiser, steps=REFERENCE)
        found.append(((density.value - reference.value).abs().numpy(), density.total_error.numpy()))
        texts = [(f"{(e > told).mean():.1%}", f"{e.mean():.1e}", f"{told.mean():.1e}") for e, told in found]
        yield [name, *(text for each in texts for text in each)]


def _peak(n: int) -> float:
    """Peak resident memory, in MB, of a process that computes the densities of n rows in 2-D with 4 steps."""
    code = (
        "import driftfield, numpy; m = driftfield.fit('moons', steps=2); "
        f"m.log_prob(numpy.random.default_rng(0).normal(size=({n}, 2)), steps=4)"
    )
    probe = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, capture_output=True); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    command = [sys.executable, "-c", probe, sys.executable, "-c", code]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(found.stdout) / (1024**2 if sys.platform == "darwin" else 1024)


def main() -> None:
    """Run the chosen parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", default=PARTS, help="which parts")
    parser.add_argument("--to", type=Path, default=Path("docs/images"), help="the folder of the pictures")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    begun, threads = time.perf_counter(), torch.get_num_threads()
    torch.set_num_threads(1)  # a second thread gains nothing on a few hundred rows
    if "samplers" in options.what:
        show("Samplers on the exact mixture", samplers(options.to, options.seed))
    if "densities" in options.what:
        show("Mean absolute error of the log-density, nats", densities(options.to, options.seed))
    if "probes" in options.what:
        show("Hutchinson's estimate in 30 dimensions", probes(options.seed))
    if "coverage" in options.what:
        show("How often the error of log p exceeds its estimate", coverage(options.seed))
    torch.set_num_threads(threads)
    if "networks" in options.what:
        show("Densities of networks trained for ten seconds, nats", networks(options.seed))
    if "speed" in options.what:
        show("Speed and memory of densities", speed(options.seed))
    print(f"\n{time.perf_counter() - begun:.0f} s in total.")


if __name__ == "__main__":
    main()
