"""The ring by a score model in continuous time, by denoising and by sliced score matching."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from driftfield.codecs import FloatArray
from driftfield.datasets import Distribution
from driftfield.diffusion import walk
from driftfield.diffusion.further.fokker_planck import convolved, evolve
from driftfield.model.model import Model
from driftfield.report.clouds import robust_view
from driftfield.report.curves import Curve, lines
from driftfield.report.histograms import density_over_histogram, histogram, histogram_2d
from driftfield.report.section import Section, Table
from driftfield.report.style import Role
from driftfield.tutorials.common import data_section, loss_section
from driftfield.tutorials.measure import ROWS, distribution_of, fresh_rows, sampled_accuracy
from driftfield.tutorials.tutorial import Companion, Fault, Idea, Lesson, Tutorial
from driftfield.wording import number, plus_minus

ROWS_OF_HISTOGRAMS = 20_000
PARTICLES = 20_000
CELLS, REACH, STEPS = 240, 3.6, 200  # of the grid of the density, its half width, and steps in time
ROLES: tuple[Role, ...] = ("data", "generated", "ink")
SHOWN_TIMES = (0.0, 0.1, 0.2, 0.4)


def chapters(lesson: Lesson) -> Iterator[Section]:
    """The tutorial's figures, then what its conclusion announces."""
    yield data_section(lesson)
    yield _histograms(lesson)
    yield loss_section(lesson, _loss_words(lesson.model))
    yield _two_objectives(lesson)
    yield _smoluchowski(lesson)


def _loss_words(model: Model) -> tuple[str, ...]:
    if model.recipe.objective.kind == "sliced-score":
        return (
            "The sliced objective differs from the denoising one by a constant that nobody knows, and is negative: "
            "its value says nothing, only its change does.",
        )
    return ("Squared error of the score times σ², which is that of the noise; fresh rows for every step.",)


def polar(x: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Distance from the origin, and angle in (-π, π]; two of (n,)."""
    return np.hypot(x[:, 0], x[:, 1]), np.arctan2(x[:, 1], x[:, 0])


def _histograms(lesson: Lesson) -> Section:
    model = lesson.model
    real = fresh_rows(distribution_of(model), ROWS_OF_HISTOGRAMS, lesson.seed)
    made = model.sample(ROWS_OF_HISTOGRAMS, lesson.seed)
    (r, angle), (r_made, angle_made) = polar(real), polar(made)
    turn = np.linspace(-np.pi, np.pi, 61)
    fine = np.linspace(-np.pi, np.pi, 721)
    corner = 1 / (8 * np.maximum(np.cos(fine) ** 2, np.sin(fine) ** 2))  # the direction of a uniform point of a square
    view = robust_view([real, made])
    panels = (
        histogram_2d("ring-data", "Data", real, model.columns, view),
        histogram_2d("ring-samples", "Samples", made, model.columns, view),
        histogram("ring-radius", "Radius", r, r_made, np.linspace(0.6, 1.4, 61), "distance from the origin"),
        histogram("ring-angle", "Angle", angle, angle_made, turn, "angle (radians)", exact=(fine, corner)),
    )
    prose = (
        f"{ROWS_OF_HISTOGRAMS:,} rows on either side. The direction is that of a uniform point of a square, so the "
        "ring is denser at the diagonals; the thin line is its exact density.",
        f"Mean and spread of the radius: {r.mean():.4f} and {r.std():.4f} of the data, {r_made.mean():.4f} and "
        f"{r_made.std():.4f} of the samples.",
    )
    return Section("ring-histograms", "Data beside samples, three ways", prose, panels, across=2)


def _two_objectives(lesson: Lesson) -> Section:
    trained = {lesson.tutorial.name: lesson.model, **lesson.companions}
    models = {
        "denoising": trained["ring-score-sde"],
        "sliced": trained["ring-sliced-score"],
        "denoising, network of sliced": trained["smooth"],
    }
    distribution, rows, curves = distribution_of(lesson.model), [], []
    x = fresh_rows(distribution, 2_000, lesson.seed)
    levels = np.geomspace(0.05, 2.0, 9)
    for (name, model), role in zip(models.items(), ROLES, strict=True):
        made = model.sample(ROWS, lesson.seed)
        r = polar(made)[0]
        density = model.log_prob(x)[0]
        rows.append(
            (
                name,
                f"{model.facts['steps']:,}",
                number(float(model.facts["training seconds"])),
                f"{sampled_accuracy(model, lesson.seed):.3f}",
                plus_minus(-float(density.mean()), float(density.std() / np.sqrt(len(density)))),
                f"{r.mean():.4f} ± {r.std():.4f}",
            )
        )
        curves.append(Curve(name, _score_errors(model, x, levels), role=role))
    real = polar(x)[0]
    rows.append(
        (
            "the distribution",
            "",
            "",
            f"{lesson.costs.floor:.3f}",
            f"{distribution.entropy:.3f}",
            f"{real.mean():.4f} ± {real.std():.4f}",
        )
    )
    panel = lines(
        "ring-score-error",
        "Error of the score",
        levels,
        curves,
        "noise level σ/α",
        "relative error of the score",
        log_x=True,
        log_y=True,
        markers=True,
    )
    prose = (
        "Denoising score matching needs the score of the transition kernel, −ε/σ. Sliced score matching needs samples "
        "xₜ alone: it minimises σ² [vᵀ ∇s v + ½ |s|²] for random directions v, with the same minimiser in the mean.",
        "It pays with a second derivative in every step and a noisier gradient. And its network must be smooth: one of "
        "ReLU units, as the tutorial's, ends at a score of zero, since no gradient sees where its kinks lie. So the "
        "third row is the denoising objective with the network of the second. The error is against the exact score of "
        "the noised ring, by quadrature.",
    )
    header = ("objective", "steps", "seconds", "C2ST", "NLL, nats", "radius")
    return Section(
        "ring-sliced",
        "When the transition kernel is unknown: sliced score matching",
        prose,
        (panel,),
        table=Table(header, tuple(rows)),
    )


def _score_errors(model: Model, x: FloatArray, levels: FloatArray) -> FloatArray:
    """Root mean square error of the score at each noise level, over that of the exact score, at 300 noised rows."""
    schedule, distribution = model.denoiser.schedule, distribution_of(model)
    rows = torch.from_numpy(x[:300])
    eps = torch.from_numpy(np.random.default_rng(0).standard_normal(rows.shape))
    errors = []
    for level in levels:
        t = schedule.time(2 * torch.log(torch.tensor(level, dtype=torch.float64)))
        x_t = schedule.perturb(rows, t, eps)
        truth = _exact_score(distribution, x_t, float(schedule.alpha(t)), float(schedule.sigma(t)))
        with torch.no_grad():
            ours = model.denoiser(x_t.float(), t).score
        errors.append(float((ours - truth).square().mean().sqrt() / truth.square().mean().sqrt()))
    return np.array(errors)


def _exact_score(distribution: Distribution, x_t: Tensor, alpha: float, sigma: float) -> Tensor:
    """(alpha E[x | x_t] - x_t) / sigma^2, with the posterior mean by the midpoint rule on cells of width 0.01."""
    assert distribution.log_prob is not None
    middles = np.arange(-1.495, 1.5, 0.01)
    nodes = np.stack(np.meshgrid(middles, middles), -1).reshape(-1, 2)
    log_p = distribution.log_prob(nodes)
    near = log_p > -25  # a mass of e^-25 each is nothing
    places, weights = torch.from_numpy(nodes[near]), torch.from_numpy(log_p[near])
    distance = torch.cdist(x_t, alpha * places).square()  # (B, nodes)
    posterior = torch.softmax(weights - distance / (2 * sigma**2), 1) @ places
    return (alpha * posterior - x_t) / sigma**2


def _smoluchowski(lesson: Lesson) -> Section:
    """The density of the forward process by its partial differential equation, over simulated particles."""
    distribution, schedule = distribution_of(lesson.model), lesson.model.denoiser.schedule
    assert distribution.log_prob is not None
    width = 2 * REACH / CELLS
    centres = torch.arange(CELLS, dtype=torch.float64) * width - REACH + width / 2
    start = _cell_means(distribution.log_prob, centres.numpy(), width)
    times = torch.tensor([t for t in np.linspace(0, max(SHOWN_TIMES), STEPS + 1)], dtype=torch.float64)
    densities = evolve(schedule, start, centres, times)
    closed = convolved(schedule, start, centres, times)
    generator = torch.Generator().manual_seed(lesson.seed)
    x = torch.from_numpy(fresh_rows(distribution, PARTICLES, lesson.seed))
    path = list(walk(schedule, x, lambda: torch.randn(x.shape, generator=generator, dtype=torch.float64), times))
    panels, rows = [], []
    for shown in SHOWN_TIMES:
        i = int(torch.argmin((times - shown).abs()))
        p, exact, particles = densities[i].numpy(), closed[i].numpy(), path[i].x.numpy()
        error = float(np.abs(p - exact).sum() * width**2)
        scatter, expected = _histogram_error(particles, p, centres.numpy(), width)
        rows.append(
            (f"{shown:g}", f"{p.sum() * width**2:.6f}", number(error, 2), number(scatter, 2), number(expected, 2))
        )
        panels.append(
            density_over_histogram(
                f"smoluchowski-{i}", f"t = {shown:g}", centres.numpy(), p, particles, distribution.columns
            )
        )
    prose = (
        "The density of the forward process obeys the Smoluchowski (Fokker–Planck) equation "
        "∂p/∂t = −∇·(f x p) + ½ g² Δp. Here it is solved on a grid from the density of the data (contours), beside "
        f"{PARTICLES:,} particles that walk the same process (colours).",
        "Errors are ∫|p − q|, between 0 and 2: of the equation against the closed form ∫ p₀(x₀) N(x; αx₀, σ²) dx₀, and "
        "of the particles' histogram against the equation, beside what so many particles alone would give.",
    )
    header = (
        "t",
        "mass",
        "equation against closed form",
        "particles against equation",
        "expected of so many particles",
    )
    return Section(
        "smoluchowski",
        "The equation behind it: Smoluchowski's",
        prose,
        tuple(panels),
        across=2,
        table=Table(header, tuple(rows)),
    )


def _cell_means(log_prob: Callable[[FloatArray], FloatArray], centres: FloatArray, width: float) -> Tensor:
    """The mean density of each cell of the grid, by 4 by 4 points; (G, G), rows along the first axis."""
    offsets = (np.arange(4) + 0.5) / 4 * width - width / 2
    points = (centres[:, None] + offsets).ravel()
    grid = np.stack(np.meshgrid(points, points, indexing="ij"), -1).reshape(-1, 2)
    fine = np.exp(log_prob(grid)).reshape(len(centres), 4, len(centres), 4)
    return torch.from_numpy(fine.mean((1, 3)))


def _histogram_error(particles: FloatArray, p: FloatArray, centres: FloatArray, width: float) -> tuple[float, float]:
    """L1 distance of a histogram of 24 by 24 blocks from the density, and its expectation for independent particles."""
    block = len(centres) // 24
    mass = p.reshape(24, block, 24, block).sum((1, 3)) * width**2
    edges = np.linspace(-REACH, REACH, 25)
    share = np.histogram2d(particles[:, 0], particles[:, 1], [edges, edges])[0] / len(particles)
    expected = np.sqrt(2 / np.pi * mass * (1 - mass) / len(particles)).sum()
    return float(np.abs(share - mass).sum()), float(expected)


IDEAS = (
    Idea("the Langevin equation with linear beta(t), A(t) and B(t)", "VP", "driftfield.diffusion.basics.schedules"),
    Idea("the score network", "the head score", "driftfield.diffusion.basics.heads"),
    Idea("score matching weighted by B²", "denoising_loss, weight snr", "driftfield.diffusion.basics.denoising"),
    Idea("the reverse Langevin equation by Euler–Maruyama", "euler-maruyama", "driftfield.diffusion.basics.stochastic"),
    Idea("densities by the probability-flow ODE", "log_prob", "driftfield.diffusion.further.likelihood"),
    Idea("sliced score matching", "sliced_score_loss", "driftfield.diffusion.further.sliced"),
    Idea("the Smoluchowski equation", "evolve", "driftfield.diffusion.further.fokker_planck"),
    Idea("fresh data in every step", "fresh", "driftfield.training.batches"),
)
FAULTS = (
    Fault(
        "loss.backward(loss) scales every gradient by the loss",
        "it minimises ½ loss²; Adam divides most of the factor out again, but late steps are relatively smaller",
        "train.square_loss = true",
    ),
    Fault(
        "The last step of the reverse equation adds noise",
        "samples carry the noise of the last step, a variance of 7.5e-4 (1.0e-3 as published)",
        "sample.last_noise = true",
        {"last_noise": True},
    ),
    Fault(
        "The numbers of its betas are not printed", "0.1 and 20, the usual ones, are taken here", "schedule.beta_max"
    ),
)

SHARED = ("data", "schedule", "sample")
SMOOTH = Companion(
    "smooth",
    "denoising score matching with a smooth network",
    "ring-sliced-score",
    {"objective": {"kind": "denoising", "weight": "snr"}},
    SHARED,
    share=0.5,
)
RING_SCORE_SDE = Tutorial(
    name="ring-score-sde",
    source="003, nano diffusion",
    title="The ring: a score model in continuous time",
    summary="denoising score matching on the VP SDE, Euler–Maruyama, fresh rows",
    chapters=chapters,
    ideas=IDEAS,
    faults=FAULTS,
    companions=(
        Companion("ring-sliced-score", "sliced score matching", "ring-sliced-score", shared=SHARED, share=1.0),
        SMOOTH,
    ),
)
RING_SLICED_SCORE = Tutorial(
    name="ring-sliced-score",
    source="003, nano diffusion",
    title="The ring: sliced score matching",
    summary="the same without the score of the transition kernel",
    chapters=chapters,
    ideas=IDEAS,
    faults=FAULTS,
    companions=(
        Companion("ring-score-sde", "denoising score matching", "ring-score-sde", shared=SHARED, share=1.0),
        SMOOTH,
    ),
)
