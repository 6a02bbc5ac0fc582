"""The variational bound of a denoising diffusion model, term by term, beside everything that is known exactly."""

import math

import numpy as np
import torch
from scipy.stats import linregress

from driftfield.codecs import FloatArray
from driftfield.diffusion import Schedule, walk
from driftfield.diffusion.basics.bridge import bridge_log_variance, bridge_mean
from driftfield.diffusion.basics.forward import chain_times
from driftfield.report.curves import Curve, lines
from driftfield.report.dots import Level, ladder
from driftfield.report.section import Section, Table
from driftfield.tutorials.comparison import Variant, comparison, terms_of_bound
from driftfield.tutorials.measure import Bound, bound, distribution_of, fresh_rows, mean_and_error
from driftfield.tutorials.results import Results
from driftfield.wording import number, plus_minus

START = 1.5  # x₀ of the chains that are simulated
PATHS = 20_000
ROWS = 2_000
IMPORTANCE_PATHS = 32
Quantity = tuple[str, float, float, float]  # its name, in closed form, as simulated, and the error of that


def closed_forms(results: Results) -> Section:
    """q(x_t given x_0) and the posterior, against a simulation of the chain from one row."""
    schedule, n = results.model.denoiser.schedule, PATHS
    x, generator = torch.full((n,), START, dtype=torch.float64), torch.Generator().manual_seed(results.seed)
    times = chain_times(schedule)
    states = walk(schedule, x, lambda: torch.randn((n, 1), generator=generator, dtype=x.dtype)[:, 0], times)
    path, T = np.stack([state.x.numpy() for state in states]), len(times) - 1  # (T + 1, paths)
    means, variances = START * schedule.alpha(times).numpy(), schedule.sigma(times).numpy() ** 2
    spread = path[1:].std(1, ddof=1)
    curves = [
        Curve("mean", (path[1:].mean(1) - means[1:]) / (spread / math.sqrt(n)), role="data"),
        Curve("variance", (spread**2 / variances[1:] - 1) * math.sqrt((n - 1) / 2), role="generated"),
    ]
    chosen = sorted({1, 2, *(max(round(T * fraction), 1) for fraction in (0.1, 0.3, 0.6)), T})
    found: list[tuple[int, Quantity]] = []
    for i in chosen:
        found += [
            (i, ("mean of xₜ", means[i], path[i].mean(), spread[i - 1] / math.sqrt(n))),
            (i, ("variance of xₜ", variances[i], spread[i - 1] ** 2, variances[i] * math.sqrt(2 / (n - 1)))),
        ]
    found += [(i, quantity) for i in chosen[1:] for quantity in _posterior(schedule, path, times, i)]
    rows = tuple((f"{i}", name, number(exact, 4), plus_minus(value, error)) for i, (name, exact, value, error) in found)
    prose = (
        f"{n:,} chains are simulated step by step from x₀ = {START}. Their mean and variance at t should be √ᾱ x₀ and "
        "1 − ᾱ; deviations are in standard errors of the simulation, and should mostly lie between −2 and 2.",
        "The posterior q(xₜ₋₁ | xₜ, x₀) is linear in xₜ: a regression over the simulated chains gives its slope, its "
        "mean at xₜ = 1 and its variance.",
    )
    panel = lines(
        "closed-forms",
        "Deviation of the simulation from the closed form",
        np.arange(1, T + 1, dtype=float),
        curves,
        "step t",
        "standard errors",
        references=[("+2", 2.0), ("−2", -2.0)],
    )
    table = Table(("t", "quantity", "closed form", "simulated ± error"), rows)
    return Section("closed-forms", "Closed forms against the chain", prose, (panel,), beside=True, table=table)


def _posterior(schedule: Schedule, path: FloatArray, times: torch.Tensor, i: int) -> list[Quantity]:
    """Slope, mean at x_t = 1 and variance of q(x_{t-1} given x_t, x_0), by a regression over the paths (T + 1, n)."""
    t, s, n = times[i], times[i - 1], path.shape[1]
    found = linregress(path[i] - 1, path[i - 1])
    variance = float(found.stderr**2 * path[i].var() * n)
    one = torch.ones(1, 1, dtype=torch.float64)
    slope, mean = (float(bridge_mean(schedule, one, x0 * one, t, s)) for x0 in (0, START))
    return [
        ("slope of xₜ₋₁ in xₜ", slope, found.slope, found.stderr),
        ("mean of xₜ₋₁ at xₜ = 1", mean, found.intercept, found.intercept_stderr),
        ("variance of xₜ₋₁", float(bridge_log_variance(schedule, t, s).exp()), variance, variance * math.sqrt(2 / n)),
    ]


def _bounds(results: Results) -> tuple[FloatArray, dict[str, Bound]]:
    """Fresh rows, and the bound on them with each variance that the model has."""
    model, seed = results.model, results.seed
    x = fresh_rows(distribution_of(model), ROWS, seed)
    learned = ["learned"] if model.recipe.denoiser.variance == "learned" else []
    return x, {variance: bound(model, variance, x, seed) for variance in (*learned, "small", "large")}


def terms(results: Results) -> Section:
    """Every term of the bound, for every variance that the model has."""
    T, variants = results.model.denoiser.schedule.T or 1, []
    for name, found in _bounds(results)[1].items():
        L = found.terms
        cells = (number(L[0]), number(L[1:-1].sum()), number(L[-1], 2), plus_minus(found.value, found.error))
        variants.append(Variant(name, cells, (L[1:-1],), dashed=name == "learned"))
    prose = (
        "−log p(x₀) ≤ L₀ + Σ Lₜ₋₁ + L_T. Every Lₜ₋₁ is a KL divergence of two Gaussians in closed form, at one xₜ for "
        "each row; L₀ is that of a Gaussian decoder with variance σ₁²/α₁²; L_T does not depend on the network.",
        f"{ROWS:,} fresh rows, in nats of the network's units; the bound is in the user's, with its Monte Carlo error.",
        "The small variance is too small at t = 2 even with a perfect denoiser: β₁ is 1e-4 and β₂ sixteen times "
        "larger, so the posterior given a single row is far narrower than the uncertainty about that row.",
    )
    return comparison(
        "terms",
        "The bound, term by term",
        prose,
        ("variance", "L₀", "Σ Lₜ₋₁", "L_T", "bound on the NLL, nats"),
        variants,
        lambda curves: terms_of_bound("terms", T, curves, "Lₜ₋₁ (nats)"),
    )


def from_entropy_to_bound(results: Results) -> Section:
    """The entropy, the NLL and the bounds, one above the other."""
    model, distribution = results.model, distribution_of(results.model)
    x, bounds = _bounds(results)
    order = sorted(bounds, key=lambda name: bounds[name].value)
    log_p = model.log_prob(x)[0]
    tighter = -model.importance_bound(x, IMPORTANCE_PATHS, variance=order[0], seed=results.seed)[0]
    levels = [
        Level("entropy of the distribution", distribution.entropy or 0.0, None, "data"),
        Level("NLL, probability-flow ODE", *mean_and_error(-log_p), "generated"),
        Level(f"bound tightened by {IMPORTANCE_PATHS} paths, {order[0]} variance", *mean_and_error(tighter)),
        *(Level(f"bound, {name} variance", bounds[name].value, bounds[name].error) for name in order),
    ]
    assert distribution.log_prob is not None
    divergence = plus_minus(*mean_and_error(distribution.log_prob(x) - log_p))
    prose = (
        "The entropy of the distribution is the smallest NLL that any density can have. The gap up to the NLL is the "
        f"KL divergence from the distribution to the model, {divergence} nats, computed row by row. The gap from there "
        "to the bound is that between the reverse chain and the forward one: too few steps, a Gaussian where the "
        "posterior is not one, a variance that does not fit.",
        "The ODE and the chain are two models with one network: the bound holds for the chain, whose NLL lies below "
        "the tightened bound. All errors are over the same rows, so they matter little for the gaps.",
    )
    return Section(
        "ladder", "From the entropy to the bound", prose, (ladder("ladder", "In nats", levels),), beside=True
    )
