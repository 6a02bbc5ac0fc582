"""Moons, s-curve and Swiss roll by predicting the noise, with a network that is gated by the step."""

import numpy as np
import torch

from driftfield.datasets import DISTRIBUTIONS
from driftfield.diffusion import SCHEDULES
from driftfield.report.clouds import cloud
from driftfield.report.curves import lines
from driftfield.report.section import Section
from driftfield.tutorials.chapters import POINTS
from driftfield.tutorials.comparison import Variant, comparison
from driftfield.tutorials.measure import fresh_rows, mean_square
from driftfield.tutorials.results import Results
from driftfield.wording import number

THREE = {"s-curve": "S-curve", "swiss-roll-fine": "Swiss roll", "moons": "Moons"}


def three_distributions(results: Results) -> Section:
    """The three data sets of the tutorial, whichever of them is learned."""
    panels = tuple(
        cloud(f"distribution-{name}", title, fresh_rows(each, POINTS, results.seed), each.columns)
        for name, title in THREE.items()
        for each in [DISTRIBUTIONS[name]]
    )
    prose = (
        "Each has a recipe: s-curve-ddpm, swiss-roll-ddpm and moons-ddpm.",
        "For the dark style of the tutorial's pictures: driftfield report RUN --theme blackboard.",
    )
    return Section("tutorial-data", "The three data sets", prose, panels, across=3)


def three_schedules(results: Results) -> Section:
    """Three tables of betas between the same ends, and how far each is from noise at the end."""
    section, m2 = results.model.recipe.schedule, mean_square(results.model)
    T, start, end = section.T or 100, section.beta_start or 1e-5, section.beta_end or 5e-3
    i = np.arange(1, T + 1, dtype=float)
    variants = []
    for kind in ("linear", "quadratic", "sigmoid"):
        schedule = SCHEDULES[kind](T=T, beta_start=start, beta_end=end)
        signal = schedule.alpha(torch.as_tensor(i / T)).numpy() ** 2
        betas, left = 1 - signal / np.concatenate([[1.0], signal[:-1]]), schedule.prior_kl(m2)
        cells = [number(value) for value in (left.signal, left.bound, left.marginal)]
        variants.append(Variant(kind, cells, (betas, signal)))
    prose = (
        f"{T} steps from β = {number(start, 1)} to {number(end, 1)}. None of the three ends in noise: the last columns "
        f"say how far the end is from N(0, I) for rows with a mean square of {number(m2)}, like these.",
    )
    return comparison(
        "tutorial-schedules",
        "Three schedules",
        prose,
        ("schedule", "signal variance at the end", "L_T, nats per dimension", "the same for the marginal"),
        variants,
        lambda curves: lines("tutorial-betas", "Noise added in each step", i, curves, "step", "β"),
        lambda curves: lines("tutorial-signal", "Signal that is left", i, curves, "step", "signal variance ᾱ"),
    )
