"""The table of figures: each is a function from what a report shows to a section with its pictures, and one row.

A function returns None where these contents have nothing for it to show.
"""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from driftfield.codecs import FloatArray
from driftfield.evaluation.metric import Metric
from driftfield.report import clouds, curves, dots, histograms, maps, mixed
from driftfield.report.contents import Contents
from driftfield.report.dots import Level
from driftfield.report.section import Section, Table
from driftfield.report.verification import verification_section
from driftfield.report.view import shared_view
from driftfield.wording import number, plus_minus, share

MOST_MARGINALS = 24  # columns of a table


def samples(contents: Contents) -> Section:
    """Data beside samples: one column as histograms, two as clouds, more as every pair of columns."""
    title, names, train, made = "Data and samples", contents.columns, contents.train, contents.samples
    if contents.parts and len(names) > 1:
        prose = (
            "Each cell is one pair of columns: data below the diagonal in blue, samples above it in orange, mirrored. "
            "The levels of a category are bands; rows with a missing cell are left out of its pairs."
        )
        train, made = (mixed.filled(rows, contents.parts) for rows in (train, made))
        extents = [mixed.extent(part, rows) for part, rows in zip(contents.parts, contents.train.T, strict=True)]
        return Section("samples", title, (prose,), (clouds.pairs(train, made, names, extents),))
    if len(names) == 1:
        prose = f"{len(train):,} rows of data as an area, {len(made):,} samples as a line."
        if contents.parts:
            return Section("samples", title, (prose,), tuple(mixed.marginals(contents.parts, train, made)))
        return Section("samples", title, (prose,), tuple(histograms.marginals(train, made, names)))
    if len(names) == 2:
        prose = "The same number of points on the same axes: real rows in blue, generated rows in orange."
        return Section("samples", title, (prose,), tuple(clouds.data_beside_samples(train, made, names)), across=2)
    prose = "Each cell is one pair of columns: data below the diagonal in blue, samples above it in orange, mirrored."
    return Section("samples", title, (prose,), (clouds.pairs(train, made, names),))


def marginals(contents: Contents) -> Section | None:
    """A histogram of each column, where there are more than two."""
    columns, shown = len(contents.columns), contents.columns[: clouds.SHOWN_COLUMNS]
    if contents.parts:
        prose = "Each column: data in blue, samples in orange. Values with a share of their own are bars."
        drawn = tuple(mixed.marginals(contents.parts[:MOST_MARGINALS], contents.train, contents.samples))
        return Section("marginals", "Column by column", (prose,), drawn, across=3)
    if columns < 3:
        return None
    some = "each column" if columns == len(shown) else f"the first {len(shown)} of {columns} columns"
    prose = f"The distribution of {some}: data as a blue area, samples as an orange line."
    panels = histograms.marginals(contents.train, contents.samples, shown)
    return Section("marginals", "Column by column", (prose,), tuple(panels), across=3)


def understood(contents: Contents) -> Section | None:
    """What each column of a table with text or missing cells is."""
    if not contents.parts:
        return None
    prose = (
        "What was found out about each column. A category has a probability for each level, a whole number a mass on "
        "each integer, any other number a density. Missing cells are never filled in for training."
    )
    rules = (f"In every row: {'; '.join(contents.rules)}.",) if contents.rules else ()
    table = mixed.understood(contents.parts, contents.train)
    return Section("columns", "What each column is", (prose, *rules), table=table)


def associations(contents: Contents) -> Section | None:
    """How strongly each two columns of a table depend on each other, in the data and in samples."""
    if len(contents.parts) < 2:
        return None
    panels, sentence = mixed.association_maps(contents.parts, contents.train, contents.samples)
    prose = (
        "How strongly each two columns depend on each other: rank correlation of numbers, the correlation ratio of a "
        "category and a number, Cramér's V of two categories."
    )
    return Section("associations", "Which columns belong together", (prose, sentence), tuple(panels), across=2)


def imputation(contents: Contents) -> Section | None:
    """How well hidden cells are filled, and how honest the draws are."""
    if not contents.imputation:
        return None
    own = contents.imputation[0]
    prose = [
        f"A fifth of the cells of held-out rows were hidden and drawn: {own.numbers:,} numbers and {own.categories:,} "
        "categories. RMSE is that of the mean of the draws, and CRPS that of the draws themselves, in standard "
        "deviations; lower is better, as for the log-loss (nats)."
    ]
    if own.numbers:
        prose.append(
            f"{share(own.within_50, own.numbers, 'hidden numbers')} lie in the central 50 % of their draws, "
            f"{share(own.within_90, own.numbers)} in the central 90 %: honest draws hold as many as they say."
        )
    header = ("method", "RMSE", "CRPS", "in 50 %", "in 90 %", "accuracy", "log-loss")
    table = Table(header, tuple(each.cells() for each in contents.imputation))
    return Section("imputation", "Filling holes", tuple(prose), table=table)


def process(contents: Contents) -> Section | None:
    """The forward and the reverse process, in the player."""
    if contents.process is None:
        return None
    prose = (
        "The forward process adds noise to real rows until no signal is left. The reverse process starts from noise, "
        "and the model removes it step by step. At every t both clouds should look alike: that is what a diffusion "
        "model learns."
    )
    if contents.process.rescaled:
        prose += " Where the noise outgrows the data, the picture is scaled down to stay in the frame."
    return Section("process", "From data to noise and back", (prose,), player=True)


def field(contents: Contents) -> Section | None:
    """The score at some noise levels, and the log-density, in the plane."""
    panels, prose, columns = [], [], contents.columns
    if not contents.scores and contents.density is None:
        return None
    aspect = shared_view(contents.train, contents.samples).aspect
    if contents.scores:
        prose.append(
            "The score is what the model has learned: at each noise level, the arrows point to where the noised data "
            "are denser. Their lengths are compressed so that short arrows remain visible."
        )
        panels += [
            clouds.score_field(f"score-{place}", each, contents.train, columns, aspect)
            for place, each in enumerate(contents.scores, start=1)
        ]
    if contents.density is not None:
        prose.append("The log-density follows from the scores at all noise levels; in nats, per unit of the axes.")
        panels.append(maps.density(contents.density, columns, aspect))
    title = " and the density".join(["The score field", ""][: len(prose)]) if contents.scores else "The density"
    across = 3 if len(panels) == 3 else min(len(panels), 2)
    return Section("field", title, tuple(prose), tuple(panels), across=across)


def metrics(contents: Contents) -> Section | None:
    """Every metric beside its floor, as dots and as a table."""
    if not contents.metrics:
        return None
    prose = (
        "A metric alone says little. Its floor is the same metric between two independent sets of real rows: the "
        "best that any model can be expected to reach.",
        "The orange dot is this model with its standard error; the blue band is the floor, as wide as its own error.",
    )
    rows = tuple(
        (
            f"{m.label}\n{m.unit}{', ' * bool(m.unit)}{m.rows:,} rows",
            plus_minus(m.value, m.error),
            plus_minus(m.floor, m.floor_error),
            m.note,
        )
        for m in contents.metrics
    )
    table = Table(("metric", "model", "floor", "what it means"), rows, notes=True)
    title = "Quality, compared with the best possible"
    return Section("metrics", title, prose, (dots.metrics(contents.metrics),), beside=True, table=table)


def verification(contents: Contents) -> Section | None:
    """The checks of `driftfield verify`, where there was one."""
    if contents.verification is None:
        return None
    return verification_section(contents.verification, contents.columns)


def baselines(contents: Contents) -> Section | None:
    """The mean held-out log-density of this model and of simpler ones, best first."""
    if not contents.baselines:
        return None
    prose = (
        "The mean log-density of held-out rows under this model, and under simpler models fitted to the same training "
        "rows. Higher is better."
    )
    levels = [Level(*each, "muted" if i else "generated") for i, each in enumerate(contents.baselines)]
    levels.sort(key=lambda level: -level.value if math.isfinite(level.value) else math.inf)
    panel = dots.dots_on_rows("baselines", "Held-out log-density", levels, "mean log-density", "nats")
    return Section("baselines", "Compared with simpler models", (prose, _ranking(levels)), (panel,), beside=True)


def _ranking(levels: Sequence[Level]) -> str:
    """Which model is best, in a sentence: this one or, plainly, another."""
    finite = [level for level in levels if math.isfinite(level.value)]  # best first
    ours = next((level for level in finite if level.role == "generated"), None)
    other = next((level for level in finite if level.role != "generated"), None)
    if ours is None or other is None:
        return "There is nothing to compare: one of the two sides has no finite log-density."
    lead = f"{number(abs(ours.value - other.value))} nats"
    if ours.value >= other.value:
        return f"This model is the best of them, {lead} ahead of the next, {other.label}."
    return f"This model is not the best of them: {other.label} is better, by {lead}."


def memorisation(contents: Contents) -> Section | None:
    """How far samples lie from the training rows, beside how far fresh real rows do."""
    if contents.neighbours is None:
        return None
    generated, held_out = contents.neighbours
    copies = int((generated == 0).sum())
    prose = (
        "A model that memorises places its samples on training rows. One that has learned the distribution keeps them "
        "as far away as new real rows are.",
        f"Median distance: {number(_median(generated))} for generated rows, "
        f"{number(_median(held_out))} for held-out rows.",
        f"Exact copies of a training row: {copies:,} of {len(generated):,}.",
    )
    panels = (histograms.nearest_neighbours(generated, held_out),)
    return Section("memorisation", "Has it memorised?", prose, panels, beside=True)


def loss(contents: Contents) -> Section | None:
    """The loss over the steps of the training."""
    if not contents.history:
        return None
    held_out = [value for record in contents.history if (value := record.get("validation")) is not None]
    prose = ["The denoising loss: every record as a thin line, the running median as a thick one."]
    if held_out:
        prose.append(f"On held-out rows it ends at {number(held_out[-1])}; its lowest was {number(min(held_out))}.")
    return Section("loss", "Training", tuple(prose), (curves.loss(contents.history),), beside=True)


def schedule(contents: Contents) -> Section | None:
    """Signal and noise over t, and how well the process reaches its prior."""
    if contents.schedule is None or contents.prior is None:
        return None
    (name, shown), prior = contents.schedule, contents.prior
    t = torch.linspace(shown.t_low, 1, 201, dtype=torch.float64)
    alpha, sigma, log_snr = (values.numpy() for values in (shown.alpha(t), shown.sigma(t), -shown.gamma(t)))
    prose = (
        f"A noised row is xₜ = α(t) x + σ(t) ε; the schedule is {name}.",
        "Sampling starts from a prior that should be the distribution of xₜ at t = 1. The difference is the prior "
        f"mismatch: {number(prior.bound, 2)} nats per dimension in the variational bound, "
        f"{number(prior.marginal, 2)} for the marginal itself. Below 0.01 it is harmless.",
    )
    panels = tuple(curves.schedule(name, t.numpy(), alpha, sigma, np.clip(log_snr, -60, 60)))
    return Section("schedule", "The schedule", prose, panels, across=2, warning=prior.warning)


FIGURES: dict[str, Callable[[Contents], Section | None]] = {
    "columns": understood,
    "samples": samples,
    "marginals": marginals,
    "associations": associations,
    "process": process,
    "field": field,
    "metrics": metrics,
    "verification": verification,
    "baselines": baselines,
    "imputation": imputation,
    "memorisation": memorisation,
    "loss": loss,
    "schedule": schedule,
}
"""In reading order, under the anchor of the section and the name of its file in figures/."""


def sections(contents: Contents) -> Iterator[Section]:
    """The chapters, then the figures that these contents allow, in reading order."""
    yield from contents.chapters
    for figure in FIGURES.values():
        section = figure(contents)
        if section is not None:
            yield section


def key_numbers(contents: Contents) -> list[tuple[str, str, str]]:
    """Value, name and remark: of the first three metrics that have a value, of the training rows, of the time."""
    measured = [metric for metric in contents.metrics if math.isfinite(metric.value)][:3]
    shown = [(number(m.value), m.label, _floor(m)) for m in measured]
    columns = len(contents.columns)
    rows = contents.facts.get("training rows", f"{len(contents.train):,}")
    shown.append((rows, "training rows", f"{columns:,} column" + "s" * (columns != 1)))
    seconds = contents.facts.get("training seconds")
    if seconds is not None:
        shown.append((_duration(float(seconds)), "of training", f"{contents.facts['steps']} steps"))
    return shown


def _floor(metric: Metric) -> str:
    known = metric.floor is not None and math.isfinite(metric.floor)
    return "; ".join(filter(None, (metric.unit, f"floor {number(metric.floor)}" if known else "")))


def _median(distances: FloatArray) -> float:
    finite = distances[np.isfinite(distances)]
    return float(np.median(finite)) if finite.size else math.nan


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{number(seconds)} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
