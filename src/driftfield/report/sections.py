"""What the report says, section by section; a section with nothing to show is left out."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from driftfield.report import charts, plots
from driftfield.report.contents import Baseline, Contents, FloatArray, Metric, Neighbours, Process
from driftfield.report.section import Section
from driftfield.report.verification import verification_section
from driftfield.wording import number


@dataclass(frozen=True)
class KeyNumber:
    """One number of the row under the verdict."""

    value: str
    label: str
    aside: str


def sections(contents: Contents) -> Iterator[Section]:
    """The chapters, then the sections that these contents allow, in reading order."""
    yield from contents.chapters
    yield from _samples(contents)
    if contents.process is not None:
        yield _process(contents.process)
    if contents.scores or contents.density is not None:
        yield _field(contents)
    if contents.metrics:
        yield _metrics(contents)
    if contents.verification is not None:
        yield verification_section(contents.verification, contents.columns)
    if contents.baselines:
        yield _baselines(contents)
    if contents.neighbours is not None:
        yield _memorisation(contents.neighbours)
    if contents.history:
        yield _loss(contents)
    if contents.schedule is not None:
        yield _schedule(contents)


def key_numbers(contents: Contents) -> list[KeyNumber]:
    """The first three metrics that have a value, the rows that were learned from, and the time it took."""
    measured = [metric for metric in contents.metrics if math.isfinite(metric.value)][:3]
    shown = [KeyNumber(number(m.value), m.label, _floor(m)) for m in measured]
    columns = len(contents.columns)
    aside = f"{columns:,} column" + "s" * (columns != 1)
    shown.append(KeyNumber(f"{len(contents.train):,}", "rows to learn from", aside))
    seconds = contents.history[-1].get("seconds") if contents.history else None
    if seconds is not None:
        shown.append(KeyNumber(_duration(seconds), "of training", f"{contents.history[-1]['step']:,.0f} steps"))
    return shown


def _samples(contents: Contents) -> Iterator[Section]:
    generated = "The data, and rows that the model made"
    columns = len(contents.columns)
    if columns == 1:
        prose = f"{len(contents.train):,} rows of data as an area, {len(contents.samples):,} samples as a line."
        yield Section("samples", generated, (prose,), tuple(plots.marginals(contents)))
    elif columns == 2:
        panels = tuple(plots.data_beside_samples(contents))
        prose = "As many points on either side, on the same axes: real rows in blue, generated ones in orange."
        yield Section("samples", generated, (prose,), panels, across=2)
    else:
        pairs = (
            "Each cell is one pair of columns: data below the diagonal in blue, samples above it in orange, mirrored."
        )
        yield Section("samples", generated, (pairs,), (plots.pairs(contents),))
        some = (
            f"the first {plots.SHOWN_COLUMNS} of {columns} columns" if columns > plots.SHOWN_COLUMNS else "each column"
        )
        prose = f"The histogram of {some}: data as an area, samples as a line."
        yield Section("marginals", "Column by column", (prose,), tuple(plots.marginals(contents)), across=3)


def _process(process: Process) -> Section:
    prose = (
        "Forward, noise is added to real rows until nothing is left of them. Reverse, the model starts from noise and "
        "takes it away again. At every t both clouds should look alike: that is all a diffusion model learns."
    )
    scaled = " Where the noise outgrows the data, the picture is scaled back to stay in its frame."
    return Section("process", "From data to noise, and back", (prose + scaled * (process.forward.scale is not None),))


def _field(contents: Contents) -> Section:
    panels, prose = plots.score_fields(contents), []
    if panels:
        prose.append(
            "The score is what the model knows: at each noise level, arrows point to where the noised data are denser. "
            "Lengths are compressed, so that weak arrows stay visible."
        )
    if contents.density is not None:
        panels.append(plots.density(contents, contents.density))
        prose.append(
            "The log-density follows from the scores at all noise levels; it is in nats, per unit of the axes."
        )
    titles = {0: "The density", 1: "The score field", 2: "The score field and the density"}
    title = titles[len(prose) if contents.scores else 0]
    return Section("field", title, tuple(prose), tuple(panels), across=3 if len(panels) == 3 else min(len(panels), 2))


def _metrics(contents: Contents) -> Section:
    prose = (
        "A score alone says little. Its floor is the same score between two independent sets of real rows: the best "
        "that any model can be expected to reach.",
        "The orange dot is this model, with its standard error; the blue band is the floor, as wide as its own error.",
    )
    return Section(
        "metrics", "How good, against how good it can be", prose, (charts.metrics(contents.metrics),), beside=True
    )


def _baselines(contents: Contents) -> Section:
    prose = (
        "The mean log-density of held-out rows, under this model and under simpler ones fitted to the same training "
        "rows. Higher is better."
    )
    panels = (charts.baselines(contents.baselines),)
    return Section("baselines", "Beside simpler models", (prose, _ranking(contents.baselines)), panels, beside=True)


def _ranking(models: Sequence[Baseline]) -> str:
    """Which model is best, in a sentence: this one or, plainly, another."""
    finite = [model for model in models if math.isfinite(model.log_density)]
    ours = max((model.log_density for model in finite if model.ours), default=-math.inf)
    others = max((model for model in finite if not model.ours), key=lambda model: model.log_density, default=None)
    if others is None or not math.isfinite(ours):
        return "There is nothing to compare with: no finite log-density on one of the two sides."
    lead = f"{number(abs(ours - others.log_density))} nats"
    if ours >= others.log_density:
        return f"This model is the best of them, {lead} above the next, {others.label}."
    return f"This model is not the best of them: {others.label} is better, by {lead}."


def _memorisation(neighbours: Neighbours) -> Section:
    made, real = _median(neighbours.generated), _median(neighbours.held_out)
    copies = int((neighbours.generated == 0).sum())
    prose = (
        "A model that memorises lays its samples on its training rows. One that has learned the distribution keeps the "
        "distance that fresh real rows keep.",
        f"Median distance: {number(made)} for generated rows, {number(real)} for held-out rows.",
        f"Exact copies of a training row: {copies:,} of {len(neighbours.generated):,}.",
    )
    panels = (plots.nearest_neighbours(neighbours),)
    return Section("memorisation", "Has it memorised?", prose, panels, beside=True)


def _loss(contents: Contents) -> Section:
    held_out = [value for record in contents.history if (value := record.get("validation")) is not None]
    prose = ["The denoising loss: thin, every record; thick, the running median."]
    if held_out:
        prose.append(f"On held-out rows it ends at {number(held_out[-1])}; its lowest was {number(min(held_out))}.")
    return Section("loss", "Training", tuple(prose), (charts.loss(contents.history),), beside=True)


def _schedule(contents: Contents) -> Section:
    curves = contents.schedule
    assert curves is not None
    prose = (
        f"A noised row is xₜ = α(t) x + σ(t) ε; the schedule is {curves.name}.",
        "Sampling starts from a prior that should be the distribution of x at t = 1. Their difference is the mismatch: "
        f"{number(curves.prior_bound, 2)} nats per dimension in the variational bound, "
        f"{number(curves.prior_mismatch, 2)} for the marginal itself. Below 0.01 it does no harm.",
    )
    panels = tuple(charts.schedule(curves))
    return Section("schedule", "The schedule", prose, panels, across=2, warning=curves.warning)


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
