"""Moons by class: a network that is given the class, classifier-free guidance, and fewer steps."""

import numpy as np
from numpy.typing import NDArray

from driftfield.codecs import FloatArray
from driftfield.model.model import Model
from driftfield.report.clouds import field_of_clouds
from driftfield.report.curves import lines
from driftfield.report.section import Section
from driftfield.tutorials.comparison import Variant, comparison
from driftfield.tutorials.measure import ROWS, accuracy, distribution_of, sampled_accuracy
from driftfield.tutorials.results import Results
from driftfield.wording import number

GUIDANCE = (0.0, 1.0, 2.0, 4.0)
PER_CLASS = 500  # rows for each guidance
STRIDES = (200, 50, 20, 10)


def guidance(results: Results) -> Section:
    """Both classes under more and more guidance."""
    model, seed = results.model, results.seed
    distribution = distribution_of(model)
    classes = np.repeat(np.arange(len(model.classes)), PER_CLASS)
    names = [model.classes[i] for i in classes]
    real, truth = distribution.sample_labelled(2 * PER_CLASS, seed + 1)
    variants = [Variant("the distribution", ("", _agreement(model, real, truth), "", _spread(real, truth)))]
    clouds = []
    for w in GUIDANCE:
        made = model.sample(len(names), seed, label=names, guidance=w)
        clouds.append((f"guidance {w:g}", made, classes))
        judged = [accuracy(made[classes == i], part, seed) for i, part in enumerate(distribution.classes)]
        each, overall = (", ".join(f"{value:.3f}" for value in judged)), f"{accuracy(made, distribution, seed):.3f}"
        cells = (each, _agreement(model, made, classes), overall, _spread(made, classes))
        variants.append(Variant(f"{w:g}", cells))
    prose = (
        f"Colours show the requested class, {' and '.join(model.classes)}. The guided noise is ε(none) + w (ε(class) − "
        "ε(none)): w = 0 ignores the class, w = 1 is the conditional model, and larger w exaggerates what "
        "distinguishes the class.",
        "Agreement is the mean posterior probability of the requested class, by the exact densities of the classes.",
    )
    return comparison(
        "guidance",
        "Classes and guidance",
        prose,
        ("guidance w", "C2ST against each class", "agreement", "C2ST against all", "spread within a class"),
        variants,
        lambda curves: field_of_clouds("guidance", "Guidance", clouds, model.columns),
    )


def _spread(x: FloatArray, classes: NDArray[np.int64]) -> str:
    """Standard deviation within a class, mean over columns and classes."""
    return number(float(np.mean([x[classes == i].std(0).mean() for i in np.unique(classes)])))


def _agreement(model: Model, x: FloatArray, classes: NDArray[np.int64]) -> str:
    """Mean exact posterior probability of the given classes of rows."""
    parts = distribution_of(model).classes
    log_p = np.stack([part.log_prob(x) for part in parts if part.log_prob is not None], 1)
    posterior = np.exp(log_p - np.logaddexp.reduce(log_p, axis=1, keepdims=True))
    return f"{posterior[np.arange(len(x)), classes].mean():.3f}"


def striding(results: Results) -> Section:
    """Three samplers on coarser and coarser grids over the chain."""
    model, T = results.model, results.model.denoiser.schedule.T or 1
    steps = [n for n in STRIDES if n <= T] or [T]
    labels = [model.classes[i % len(model.classes)] for i in range(ROWS)]
    variants = []
    for sampler in ("ancestral", "ddim", "dpmpp-2m"):
        options = {"sampler": sampler, "grid": "trailing", "label": labels}
        found = [sampled_accuracy(model, results.seed, steps=n, **options) for n in steps]
        variants.append(Variant(sampler, [f"{value:.3f}" for value in found], (np.array(found),)))
    prose = (
        "Every stride is a coarser grid over the same chain: the reverse step takes the exact posterior for its own "
        "two times, so no step reads the beta of another.",
        "Rows of both classes in equal numbers, at guidance 1.",
    )
    return comparison(
        "striding",
        "Striding",
        prose,
        ("sampler", *(f"{n} steps" for n in steps)),
        variants,
        lambda curves: lines(
            "striding",
            "Fewer steps",
            np.array(steps, dtype=float),
            curves,
            "steps",
            "C2ST accuracy",
            log_x=True,
            references=[("floor", results.floor)],
            markers=True,
        ),
    )
