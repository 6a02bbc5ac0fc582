"""Chapters of several tutorials: the data, both processes as rows of pictures, the loss, the animation."""

import numpy as np

from driftfield.codecs import FloatArray
from driftfield.model.model import Model
from driftfield.recipes.schema import load_recipe
from driftfield.report.animation import gif_bytes
from driftfield.report.clouds import cloud, strip
from driftfield.report.curves import training_loss
from driftfield.report.gather import gather_process
from driftfield.report.section import Section, Table
from driftfield.report.view import robust_view
from driftfield.tutorials.measure import distribution_of, fresh_rows
from driftfield.tutorials.results import Results
from driftfield.wording import number

POINTS = 1_000  # in a picture


def data(results: Results) -> Section:
    """The data on their own."""
    model = results.model
    panel = cloud("tutorial-data", "The data", model.train[: 2 * POINTS], model.columns)
    rows = model.recipe.data.rows
    drawn = "every training step draws new rows" if model.recipe.data.fresh else f"the training set has {rows:,} rows"
    return Section(
        panel.name, panel.title, (f"The distribution is {distribution_of(model).summary}; {drawn}.",), (panel,)
    )


def _clouds(model: Model, panels: int, seed: int, points: int, **way: str) -> list[tuple[str, FloatArray]]:
    """Rows at nearly equally spaced times of a process, each under its t."""
    path = model.trajectory(points, seed, frames=panels, **way)
    chosen = np.linspace(0, len(path.times) - 1, panels).round().astype(int)
    labels = [f"t = {t:.2f}" for t in path.times[chosen]]
    return list(zip(labels, path.states[chosen], strict=True))


def forward(results: Results) -> Section:
    """The forward process as a row of pictures."""
    panels = results.tutorial.pictures
    clouds = _clouds(results.model, panels, 0, POINTS, direction="forward", grid="uniform")
    panel = strip("tutorial-forward", "Forward", clouds, results.model.columns)
    return Section(panel.name, "The forward process", (f"Real rows at {panels} times, from data to noise.",), (panel,))


def reverse(results: Results) -> Section:
    """The reverse process as rows of pictures: one with the weights of each snapshot, one after training."""
    model, panels, (word, steps) = results.model, results.tutorial.pictures, results.unit
    end = _clouds(model, panels, 0, POINTS)
    view, kept = robust_view([end[0][1], end[-1][1], model.train]), sorted(model.snapshots)
    rows = [
        (f"tutorial-reverse-{step}", f"After {word} {step // steps:,}", _clouds(model.at(step), panels, 0, POINTS // 2))
        for step in kept
    ]
    rows.append(("tutorial-reverse", "After training", end))
    strips = tuple(strip(name, title, clouds, model.columns, False, view) for name, title, clouds in rows)
    prose = [
        f"From noise on the left to samples on the right{f', with the weights after each {word} named' * bool(kept)}."
    ]
    if len(load_recipe(results.tutorial.name).train.snapshots) > len(kept):
        prose.append(f"The training ended after {results.length}, before the tutorial's later snapshots.")
    return Section("tutorial-reverse", "The reverse process during training", (" ".join(prose),), strips)


def loss(results: Results) -> Section:
    """The loss on a logarithmic axis, with the numbers that the tutorial prints, and a table of both."""
    printed, (word, steps) = results.tutorial.printed, results.unit
    records = [record for record in results.model.history if record.get("loss") is not None]
    at = np.array([record["step"] / steps for record in records], dtype=float)
    losses = np.array([record["loss"] for record in records], dtype=float)
    near = [(mark, losses[np.abs(at - mark) < 0.5]) for mark in printed]
    rows = tuple((f"{m:,}", number(printed[m]), number(float(found[-1]))) for m, found in near if found.size)
    note = f"Later values are not reached: this run ended after {results.length}." * (len(rows) < len(printed))
    table = Table((word, "printed by the tutorial", f"this run, mean of the {word}"), rows, note) if rows else None
    panel = training_loss("tutorial-loss", "The loss", at, losses, printed, word)
    return Section(panel.name, panel.title, results.tutorial.loss, (panel,), beside=True, table=table)


def result(results: Results) -> Section:
    """Real and generated rows side by side."""
    model = results.model
    made, real = model.sample(POINTS, results.seed), fresh_rows(distribution_of(model), POINTS, results.seed)
    view = robust_view([real, made])
    panels = (
        cloud("tutorial-original", "Original", real, model.columns, view=view),
        cloud("tutorial-generated", "Generated", made, model.columns, real=False, view=view),
    )
    return Section("tutorial-result", "Original and generated", (f"{POINTS:,} points each.",), panels, across=2)


def film(results: Results) -> Section:
    """One hundred frames of noising and one hundred of denoising, in an endless loop."""
    process = gather_process(results.model, results.seed, frames=101)
    return Section(
        "tutorial-film",
        "The animation",
        ("One hundred frames forward and one hundred back, in a loop; also in figures/film.gif.",),
        gif=gif_bytes(process, view="loop", theme="blackboard", frames=100, fps=20),
        gif_alt="The data dissolve into noise, and the model turns noise into new rows.",
    )
