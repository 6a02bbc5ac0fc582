"""The variational bound of a denoising diffusion model, term by term, beside everything that is known exactly."""

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from driftfield.diffusion import Schedule, importance_bound, reverse_kernel, walk
from driftfield.diffusion.basics.bridge import bridge_log_variance, bridge_mean
from driftfield.diffusion.basics.forward import chain_times
from driftfield.model.model import Model
from driftfield.report.curves import Curve, Level, ladder, lines
from driftfield.report.section import Section, Table
from driftfield.tutorials.common import beside_section, data_section, loss_section
from driftfield.tutorials.measure import distribution_of, fresh_rows
from driftfield.tutorials.tutorial import Fault, Idea, Lesson, Tutorial
from driftfield.tutorials.x0 import VARIANCES, bound_of
from driftfield.wording import number, plus_minus

PATHS = 20_000
ROWS = 2_000
IMPORTANCE_PATHS = 32


def chapters(lesson: Lesson) -> Iterator[Section]:
    """The closed forms, the terms, the two variances, and the ladder from the entropy to the bound."""
    yield data_section(lesson)
    yield _closed_forms(lesson)
    yield loss_section(lesson, ("The hybrid loss: squared error of the noise plus a thousandth of the bound.",))
    yield beside_section(lesson)
    yield from _terms_and_ladder(lesson)


def _closed_forms(lesson: Lesson) -> Section:
    """q(x_t given x_0) and the posterior, against a simulation of the chain from one row."""
    schedule = lesson.model.denoiser.schedule
    x = torch.full((PATHS, 1), 1.5, dtype=torch.float64)
    generator = torch.Generator().manual_seed(lesson.seed)
    times = chain_times(schedule)
    path = torch.stack(
        [
            state.x[:, 0]
            for state in walk(schedule, x, lambda: torch.randn(x.shape, generator=generator, dtype=x.dtype), times)
        ]
    )  # (T + 1, paths)
    T = len(times) - 1
    chosen = sorted({1, 2, *(max(round(T * share), 1) for share in (0.1, 0.3, 0.6)), T})
    rows = [_marginal_row(schedule, path, times, i) for i in chosen]
    steps = np.arange(1, T + 1, dtype=float)
    mean = (path[1:].mean(1) - 1.5 * schedule.alpha(times[1:])) / (path[1:].std(1) / math.sqrt(PATHS))
    spread = (path[1:].var(1) / schedule.sigma(times[1:]) ** 2 - 1) * math.sqrt((PATHS - 1) / 2)
    panel = lines(
        "closed-forms",
        "Deviation of the simulation from the closed form",
        steps,
        [Curve("mean", mean.numpy(), role="data"), Curve("variance", spread.numpy(), role="generated")],
        "step t",
        "standard errors",
        references=[("+2", 2.0), ("−2", -2.0)],
    )
    posterior = tuple(_posterior_row(schedule, path, times, i) for i in chosen if i > 1)
    prose = (
        f"{PATHS:,} chains are walked step by step from x₀ = 1.5. Their mean and variance at t should be √ᾱ x₀ and "
        "1 − ᾱ; deviations are in standard errors of the simulation, and should mostly lie between −2 and 2.",
        "The posterior q(xₜ₋₁ | xₜ, x₀) is linear in xₜ: a regression over the walked chains gives its slope, its "
        "mean at xₜ = 1 and its variance.",
    )
    table = Table(
        ("t", "quantity", "closed form", "simulated ± error"),
        tuple(line for row in (*rows, *posterior) for line in row),
    )
    return Section("closed-forms", "Closed forms against the chain", prose, (panel,), beside=True, table=table)


def _marginal_row(schedule: Schedule, path: Tensor, times: Tensor, i: int) -> list[tuple[str, ...]]:
    at, n = path[i], path.shape[1]
    mean, variance = float(1.5 * schedule.alpha(times[i])), float(schedule.sigma(times[i]) ** 2)
    return [
        (str(i), "mean of xₜ", number(mean, 4), plus_minus(float(at.mean()), float(at.std()) / math.sqrt(n))),
        (
            str(i),
            "variance of xₜ",
            number(variance, 4),
            plus_minus(float(at.var()), variance * math.sqrt(2 / (n - 1))),
        ),
    ]


def _posterior_row(schedule: Schedule, path: Tensor, times: Tensor, i: int) -> list[tuple[str, ...]]:
    before, after, n = path[i - 1], path[i], path.shape[1]
    centred = after - after.mean()
    slope = float((centred * before).sum() / centred.square().sum())
    residual = before - before.mean() - slope * centred
    variance = float(residual.square().sum() / (n - 2))
    at_one = float(before.mean()) + slope * (1 - float(after.mean()))
    slope_error = math.sqrt(variance / float(centred.square().sum()))
    one_error = math.sqrt(variance / n + (slope_error * (1 - float(after.mean()))) ** 2)
    t, s = times[i], times[i - 1]
    one, x0 = torch.ones(1, 1, dtype=torch.float64), torch.full((1, 1), 1.5, dtype=torch.float64)
    exact_slope = float(bridge_mean(schedule, one, 0 * one, t, s))
    exact_mean, exact_variance = (
        float(bridge_mean(schedule, one, x0, t, s)),
        float(bridge_log_variance(schedule, t, s).exp()),
    )
    return [
        (str(i), "slope of xₜ₋₁ in xₜ", number(exact_slope, 4), plus_minus(slope, slope_error)),
        (str(i), "mean of xₜ₋₁ at xₜ = 1", number(exact_mean, 4), plus_minus(at_one, one_error)),
        (str(i), "variance of xₜ₋₁", number(exact_variance, 4), plus_minus(variance, variance * math.sqrt(2 / n))),
    ]


def _terms_and_ladder(lesson: Lesson) -> Iterator[Section]:
    model, seed = lesson.model, lesson.seed
    found = {variance: bound_of(model, variance, seed, ROWS) for variance in _variances(model)}
    T = model.denoiser.schedule.T or 1
    panel = lines(
        "terms",
        "Terms of the bound",
        np.arange(2, T + 1, dtype=float),
        [
            Curve(f"{name} variance", terms[1:-1], role=VARIANCES[name], dashed=name == "learned")
            for name, (_, _, terms) in reversed(found.items())  # the learned one on top
        ],
        "step t",
        "Lₜ₋₁ (nats)",
        log_x=True,
        log_y=True,
    )
    rows = [
        (name, number(terms[0]), number(terms[1:-1].sum()), number(terms[-1], 2), f"{bound:.3f} ± {error:.3f}")
        for name, (bound, error, terms) in found.items()
    ]
    prose = (
        "−log p(x₀) ≤ L₀ + Σ Lₜ₋₁ + L_T. Every Lₜ₋₁ is a KL divergence of two Gaussians in closed form, at one "
        "xₜ for each row; L₀ is a Gaussian decoder's, whose variance is σ₁²/α₁²; no network can change L_T.",
        f"{ROWS:,} fresh rows, in nats of the network's units; the bound is in the user's, with its Monte Carlo error.",
        "The small variance pays at t = 2 even with a perfect denoiser: β₁ is 1e-4 and β₂ sixteen times larger, so the "
        "posterior of a single row is far narrower than what is unknown about it.",
    )
    header = ("variance", "L₀", "Σ Lₜ₋₁", "L_T", "bound on the NLL, nats")
    yield Section("terms", "The bound, term by term", prose, (panel,), beside=True, table=Table(header, tuple(rows)))
    yield _ladder(lesson, {name: (bound, error) for name, (bound, error, _) in found.items()})


def _variances(model: Model) -> list[str]:
    return [name for name in VARIANCES if name != "learned" or model.recipe.denoiser.variance == "learned"]


def _ladder(lesson: Lesson, bounds: dict[str, tuple[float, float]]) -> Section:
    model, distribution = lesson.model, distribution_of(lesson.model)
    x = fresh_rows(distribution, ROWS, lesson.seed)
    log_p, _ = model.log_prob(x)
    best = min(bounds, key=lambda name: bounds[name][0])
    z = torch.from_numpy(model.codec.encode(x))
    generator = torch.Generator().manual_seed(lesson.seed)
    kernel = reverse_kernel(model.denoiser, best)
    tightened = -(
        importance_bound(kernel, z, model.prior, generator, IMPORTANCE_PATHS).value.numpy() + model.codec.log_det(x)
    )
    levels = [
        Level("entropy of the distribution", distribution.entropy or 0.0, None, "data"),
        Level("NLL, probability-flow ODE", -float(log_p.mean()), float(log_p.std() / math.sqrt(ROWS)), "generated"),
        Level(
            f"bound tightened by {IMPORTANCE_PATHS} paths, {best} variance",
            float(tightened.mean()),
            float(tightened.std() / math.sqrt(ROWS)),
            "ink",
        ),
        *(
            Level(f"bound, {name} variance", *bounds[name], "ink")
            for name in sorted(bounds, key=lambda n: bounds[n][0])
        ),
    ]
    assert distribution.log_prob is not None
    gap = distribution.log_prob(x) - log_p
    divergence = plus_minus(float(gap.mean()), float(gap.std() / math.sqrt(ROWS)))
    prose = (
        "The entropy of the distribution is the least NLL that any density can have. The gap up to the NLL is the KL "
        f"divergence from the distribution to the model, {divergence} nats, "
        "row by row. The gap from there to the bound is that of the reverse chain to the forward one: too few steps, a "
        "Gaussian where the posterior is none, a variance that does not fit.",
        "The ODE and the chain are two models of one network: the bound holds for the chain, whose NLL lies below the "
        "tightened bound. Errors are over the same rows, so they hardly count for the gaps.",
    )
    ladder_panel = ladder("ladder", "In nats", levels)
    return Section("ladder", "From the entropy to the bound", prose, (ladder_panel,), beside=True)


DDPM_VLB = Tutorial(
    name="ddpm-vlb",
    source="001, diffusion models",
    title="The variational bound of a diffusion model",
    summary="every term of the bound, closed forms against simulation, learned variance",
    chapters=chapters,
    ideas=(
        Idea("xₜ given x₀ in closed form", "Schedule.perturb", "driftfield.diffusion.basics.schedules"),
        Idea("the chain, step by step", "walk", "driftfield.diffusion.basics.forward"),
        Idea("the posterior of xₜ₋₁", "bridge", "driftfield.diffusion.basics.bridge"),
        Idea("L_T, Lₜ₋₁, L₀", "bound_terms", "driftfield.diffusion.further.chain_bound"),
        Idea("the KL divergence of two Gaussians", "Gaussian.kl", "driftfield.diffusion.basics.gaussian"),
        Idea("fixed and learned variance", "DenoiserKernel", "driftfield.diffusion.basics.kernels"),
        Idea("the likelihood that is bounded", "log_prob", "driftfield.diffusion.further.likelihood"),
    ),
    faults=(
        Fault(
            "Nothing is run: no number can be checked",
            "the decoder for images of 8 bits, which the sources use, has no meaning for real numbers",
        ),
    ),
)
