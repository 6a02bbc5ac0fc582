"""Moons, s-curve and Swiss roll by predicting the noise, with a network that the step gates."""

from collections.abc import Iterator

import numpy as np
import torch

from driftfield.datasets import DISTRIBUTIONS
from driftfield.diffusion import SCHEDULES
from driftfield.report.clouds import cloud
from driftfield.report.curves import Curve, lines
from driftfield.report.section import Section, Table
from driftfield.report.style import Role
from driftfield.tutorials.common import (
    POINTS,
    beside_section,
    film_section,
    loss_section,
    process_sections,
)
from driftfield.tutorials.measure import fresh_rows
from driftfield.tutorials.tutorial import Fault, Idea, Lesson, Tutorial
from driftfield.wording import number

PRINTED = {  # the loss of the last batch of an epoch
    1: 0.9140, 101: 0.6532, 201: 0.6371, 301: 0.8389, 401: 0.6238,
    501: 0.5684, 601: 0.8178, 701: 0.7874, 801: 0.7548, 901: 0.8650,
}  # fmt: skip
PANELS = 10
THREE = {"s-curve": "S-curve", "swiss-roll-fine": "Swiss roll", "moons": "Moons"}
KINDS: dict[str, Role] = {"linear": "data", "quadratic": "generated", "sigmoid": "ink"}


def chapters(lesson: Lesson) -> Iterator[Section]:
    """The tutorial's figures in its order."""
    yield _three_distributions(lesson)
    yield _schedules(lesson)
    yield from process_sections(lesson, PANELS)
    yield loss_section(
        lesson,
        ("Squared error of the noise, mean over dimensions: 1 at first, as the noise has variance 1.",),
        PRINTED if lesson.model.source == "moons" else None,
    )
    yield beside_section(lesson)
    yield film_section(lesson)


def _three_distributions(lesson: Lesson) -> Section:
    panels = tuple(
        cloud(
            f"distribution-{name}",
            title,
            fresh_rows(DISTRIBUTIONS[name], POINTS, lesson.seed),
            DISTRIBUTIONS[name].columns,
        )
        for name, title in THREE.items()
    )
    prose = (
        "Each has a recipe: s-curve-ddpm, swiss-roll-ddpm and moons-ddpm.",
        "The dark style of the tutorial's pictures: driftfield report RUN --theme blackboard.",
    )
    return Section("tutorial-data", "The three data sets", prose, panels, across=3)


def _schedules(lesson: Lesson) -> Section:
    section = lesson.model.recipe.schedule
    T = section.T or 100
    start, end = section.beta_start or 1e-5, section.beta_end or 5e-3
    i = np.arange(1, T + 1, dtype=float)
    t = torch.as_tensor(i / T)
    betas, signals, rows = [], [], []
    m2 = float(np.square(lesson.model.codec.encode(lesson.model.train)).mean())
    for kind, role in KINDS.items():
        schedule = SCHEDULES[kind](T=T, beta_start=start, beta_end=end)
        alpha_bar = schedule.alpha(t).numpy() ** 2
        betas.append(Curve(kind, 1 - alpha_bar / np.concatenate([[1.0], alpha_bar[:-1]]), role=role))
        signals.append(Curve(kind, alpha_bar, role=role))
        mismatch = schedule.prior_kl(m2)
        rows.append((kind, number(mismatch.signal), number(mismatch.bound), number(mismatch.marginal)))
    panels = (
        lines("tutorial-betas", "Noise added in each step", i, betas, "step", "β"),
        lines("tutorial-signal", "Signal that is left", i, signals, "step", "signal variance ᾱ"),
    )
    header = ("schedule", "signal variance at the end", "L_T, nats per dimension", "of the marginal")
    prose = (
        f"{T} steps from β = {start:g} to {end:g}. None of the three ends in noise: the last columns say how "
        f"far the end is from N(0, I), for rows of mean square {number(m2)} as these.",
    )
    return Section("tutorial-schedules", "Three schedules", prose, panels, across=2, table=Table(header, tuple(rows)))


IDEAS = (
    Idea("linear, quadratic and sigmoid betas", "linear, quadratic, sigmoid", "driftfield.diffusion.basics.chains"),
    Idea("x_t in one step from x_0 and noise", "Schedule.perturb", "driftfield.diffusion.basics.schedules"),
    Idea("predicting the noise", "the head eps", "driftfield.diffusion.basics.heads"),
    Idea("antithetic steps t and T - 1 - t", "antithetic", "driftfield.diffusion.basics.times"),
    Idea("squared error of the noise", "denoising_loss, weight simple", "driftfield.diffusion.basics.denoising"),
    Idea("layers gated by an embedding of the step", "ConditionalMLP", "driftfield.networks.conditional"),
    Idea("the posterior's mean and variance", "bridge", "driftfield.diffusion.basics.bridge"),
    Idea("ancestral sampling with variance beta", "ancestral-large", "driftfield.diffusion.basics.stochastic"),
    Idea("an average of the weights", "train.ema", "driftfield.training.loop"),
)
FAULTS = (
    Fault(
        "The last step adds noise as the others do",
        "every sample carries noise of variance β₁ = 2.2e-5: nothing that one sees here",
        "sample.last_noise = true",
        {"last_noise": True},
    ),
    Fault(
        "The chain ends at a signal variance of 0.78 but sampling starts from N(0, I)",
        "samples start where training never was; see the prior above",
        "schedule.beta_end = 0.12 mends it",
    ),
    Fault(
        "The average of the weights is kept but never sampled from",
        "samples wobble with the last steps of the training",
        "train.ema = 0",
    ),
    Fault("A function called variance returns its logarithm", "nothing: it is never called"),
)


def _tutorial(name: str, title: str) -> Tutorial:
    return Tutorial(
        name=f"{name}-ddpm",
        source="002, diffusion models tutorial",
        title=f"{title}: predicting the noise",
        summary="eps-prediction on 100 sigmoid betas, a network gated by the step",
        chapters=chapters,
        ideas=IDEAS,
        faults=FAULTS,
    )


MOONS_DDPM = _tutorial("moons", "Moons")
S_CURVE_DDPM = _tutorial("s-curve", "S-curve")
SWISS_ROLL_DDPM = _tutorial("swiss-roll", "Swiss roll")
