"""The ring by a score model in continuous time, by denoising and by sliced score matching."""

import numpy as np
import torch
from torch import Tensor

from driftfield.codecs import FloatArray
from driftfield.datasets import Distribution
from driftfield.diffusion import Schedule, walk
from driftfield.diffusion.further.fokker_planck import convolved, evolve
from driftfield.model.model import Model
from driftfield.report.curves import lines
from driftfield.report.histograms import histogram
from driftfield.report.maps import density_over_histogram, histogram_2d
from driftfield.report.section import Section, Table
from driftfield.report.view import robust_view
from driftfield.tutorials.comparison import Variant, comparison
from driftfield.tutorials.measure import ROWS, distribution_of, fresh_rows, mean_and_error, sampled_accuracy
from driftfield.tutorials.results import Results
from driftfield.wording import number, plus_minus

ROWS_OF_HISTOGRAMS, ROWS_OF_DENSITIES, ROWS_OF_SCORES = 20_000, 2_000, 300
PARTICLES = 20_000
CELLS, REACH, STEPS = 240, 3.6, 200  # of the grid of the density, its half width, and steps in time
BLOCKS = 24  # along each axis, of the histogram of the particles
SHOWN_TIMES = (0.0, 0.1, 0.2, 0.4)


def histograms(results: Results) -> Section:
    """Real and generated rows in the plane, by their radius and by their angle."""
    model = results.model
    real = fresh_rows(distribution_of(model), ROWS_OF_HISTOGRAMS, results.seed)
    made = model.sample(ROWS_OF_HISTOGRAMS, results.seed)
    (r, angle), (r_made, angle_made) = ((np.hypot(*x.T), np.arctan2(x[:, 1], x[:, 0])) for x in (real, made))
    fine = np.linspace(-np.pi, np.pi, 721)
    corner = 1 / (8 * np.maximum(np.cos(fine) ** 2, np.sin(fine) ** 2))  # the direction of a uniform point of a square
    view, turn = robust_view([real, made]), np.linspace(-np.pi, np.pi, 61)
    panels = (
        histogram_2d("ring-data", "Data", real, model.columns, view),
        histogram_2d("ring-samples", "Samples", made, model.columns, view),
        histogram("ring-radius", "Radius", r, r_made, np.linspace(0.6, 1.4, 61), "distance from the origin"),
        histogram("ring-angle", "Angle", angle, angle_made, turn, "angle (radians)", exact=(fine, corner)),
    )
    prose = (
        f"{ROWS_OF_HISTOGRAMS:,} rows each. The direction is that of a uniform point of a square, so the ring is "
        "denser at the diagonals; the thin line is the exact density of the angle.",
        f"Mean and standard deviation of the radius: {r.mean():.4f} and {r.std():.4f} for the data, "
        f"{r_made.mean():.4f} and {r_made.std():.4f} for the samples.",
    )
    return Section("ring-histograms", "Data and samples, three ways", prose, panels, across=2)


def two_objectives(results: Results) -> Section:
    """Denoising and sliced score matching, and the former with the network of the latter."""
    trained = {results.tutorial.name: results.model, **results.companions}
    distribution = distribution_of(results.model)
    x, levels = fresh_rows(distribution, ROWS_OF_DENSITIES, results.seed), np.geomspace(0.05, 2.0, 9)
    variants = []
    for name, key in (
        ("denoising", "ring-score-sde"),
        ("sliced", "ring-sliced-score"),
        ("denoising, network of sliced", "smooth"),
    ):
        model = trained[key]
        cells = (
            f"{model.facts['steps']:,}",
            number(float(model.facts["training seconds"])),
            f"{sampled_accuracy(model, results.seed):.3f}",
            plus_minus(*mean_and_error(-model.log_prob(x)[0])),
            _radius(model.sample(ROWS, results.seed)),
        )
        variants.append(Variant(name, cells, (score_errors(model, x[:ROWS_OF_SCORES], levels),)))
    cells = ("", "", f"{results.floor:.3f}", f"{distribution.entropy:.3f}", _radius(x))
    variants.append(Variant("the distribution", cells))
    prose = (
        "Denoising score matching needs the score of the transition kernel, −ε/σ. Sliced score matching needs only "
        "samples xₜ: it minimises σ² [vᵀ ∇s v + ½ |s|²] for random directions v, which has the same minimiser.",
        "In exchange, every step takes a second derivative and its gradient is noisier. The network must also be "
        "smooth: one with ReLU units, as the tutorial's, ends with a score of zero, because no gradient depends on "
        "where its kinks lie. The third row is therefore the denoising objective with the network of the second. The "
        "error is relative to the exact score of the noised ring.",
    )
    return comparison(
        "ring-sliced",
        "When the transition kernel is unknown: sliced score matching",
        prose,
        ("objective", "steps", "seconds", "C2ST", "NLL, nats", "radius"),
        variants,
        lambda curves: lines(
            "ring-score-error",
            "Error of the score",
            levels,
            curves,
            "noise level σ/α",
            "relative error of the score",
            log_x=True,
            log_y=True,
            markers=True,
        ),
    )


def _radius(x: FloatArray) -> str:
    """Mean and standard deviation of the distance from the origin."""
    r = np.hypot(*x.T)
    return f"{r.mean():.4f} ± {r.std():.4f}"


def score_errors(model: Model, x: FloatArray, levels: FloatArray) -> FloatArray:
    """Root mean square error of the score at each noise level, over that of the exact score, at rows x (n, 2), noised.

    The exact score of x_t / alpha is that of the distribution with noise of standard deviation sigma / alpha.
    """
    eps, errors = np.random.default_rng(0).standard_normal(x.shape), []
    for level in levels:
        noised = x + level * eps
        truth = distribution_of(model).score(noised, level)
        wrong = model.score(noised, noise=level) - truth
        errors.append(np.sqrt(np.square(wrong).mean() / np.square(truth).mean()))
    return np.array(errors)


def smoluchowski(results: Results) -> Section:
    """The density of the forward process by its partial differential equation, over simulated particles."""
    distribution, schedule = distribution_of(results.model), results.model.denoiser.schedule
    width = 2 * REACH / CELLS
    centres = torch.arange(CELLS, dtype=torch.float64) * width - REACH + width / 2
    start = _cell_means(distribution, centres.numpy(), width)
    times = torch.linspace(0, max(SHOWN_TIMES), STEPS + 1, dtype=torch.float64)
    densities, closed = evolve(schedule, start, centres, times), convolved(schedule, start, centres, times)
    x = fresh_rows(distribution, PARTICLES, results.seed)
    path = _particles(schedule, torch.from_numpy(x), times, results.seed)
    panels, rows = [], []
    for shown in SHOWN_TIMES:
        i = int(torch.argmin((times - shown).abs()))
        p, particles = densities[i].numpy(), path[i]
        error = float(np.abs(p - closed[i].numpy()).sum() * width**2)
        measured = (number(value, 2) for value in (error, *_histogram_error(particles, p * width**2)))
        rows.append((f"{shown:g}", f"{p.sum() * width**2:.6f}", *measured))
        name, title = f"smoluchowski-{i}", f"t = {shown:g}"
        panels.append(density_over_histogram(name, title, centres.numpy(), p, particles, distribution.columns))
    prose = (
        "The density of the forward process obeys the Smoluchowski (Fokker–Planck) equation "
        "∂p/∂t = −∇·(f x p) + ½ g² Δp. Here it is solved on a grid, starting from the density of the data (contours), "
        f"beside {PARTICLES:,} simulated particles of the same process (colours).",
        "Errors are ∫|p − q|, between 0 and 2: of the equation against the closed form ∫ p₀(x₀) N(x; αx₀, σ²) dx₀, and "
        "of the particles' histogram against the equation, beside the error expected from that many particles alone.",
    )
    header = ("t", "mass", "equation against closed form", "particles against equation", "expected for the particles")
    title = "The equation behind it: Smoluchowski's"
    return Section("smoluchowski", title, prose, tuple(panels), across=2, table=Table(header, tuple(rows)))


def _particles(schedule: Schedule, x: Tensor, times: Tensor, seed: int) -> list[FloatArray]:
    """Rows x (n, 2) walked through the forward process; at each of the times (K,) they are (n, 2)."""
    generator = torch.Generator().manual_seed(seed)
    states = walk(schedule, x, lambda: torch.randn(x.shape, generator=generator, dtype=x.dtype), times)
    return [state.x.numpy() for state in states]


def _cell_means(distribution: Distribution, centres: FloatArray, width: float) -> Tensor:
    """The mean density of each cell of the grid, by 4 by 4 points; (G, G), rows along the first axis."""
    assert distribution.log_prob is not None
    points = (centres[:, None] + (np.arange(4) + 0.5) / 4 * width - width / 2).ravel()
    grid = np.stack(np.meshgrid(points, points, indexing="ij"), -1).reshape(-1, 2)
    fine = np.exp(distribution.log_prob(grid)).reshape(len(centres), 4, len(centres), 4)
    return torch.from_numpy(fine.mean((1, 3)))


def _histogram_error(particles: FloatArray, mass: FloatArray) -> tuple[float, float]:
    """L1 distance of the particles' histogram from the mass of cells (G, G), and its mean for exact particles."""
    block = len(mass) // BLOCKS
    mass = mass.reshape(BLOCKS, block, BLOCKS, block).sum((1, 3))
    edges = np.linspace(-REACH, REACH, BLOCKS + 1)
    found = np.histogram2d(particles[:, 0], particles[:, 1], [edges, edges])[0] / len(particles)
    expected = np.sqrt(2 / np.pi * mass * (1 - mass) / len(particles)).sum()
    return float(np.abs(found - mass).sum()), float(expected)
