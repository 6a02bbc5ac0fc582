"""Sections that several tutorials share: the data, the two processes in a row of pictures, the loss, the film."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from driftfield.codecs import FloatArray
from driftfield.model.model import Model
from driftfield.recipes.schema import load_recipe
from driftfield.report.animation import gif_bytes
from driftfield.report.clouds import cloud, robust_view, strip
from driftfield.report.curves import training_loss
from driftfield.report.gather import gather_process
from driftfield.report.section import Section, Table
from driftfield.tutorials.measure import distribution_of, fresh_rows
from driftfield.tutorials.tutorial import Lesson
from driftfield.wording import number

POINTS = 1_000  # in a picture
Clouds = list[tuple[str, FloatArray]]


def data_section(lesson: Lesson) -> Section:
    """The data on their own."""
    model = lesson.model
    panel = cloud("tutorial-data", "The data", model.train[: 2 * POINTS], model.columns)
    fresh = "fresh rows for every step" if model.recipe.data.fresh else f"{model.recipe.data.rows:,} rows"
    return Section(
        "tutorial-data",
        "The data",
        (f"The distribution is {distribution_of(model).summary}; {fresh} to learn from.",),
        (panel,),
    )


def step_label(model: Model, t: float) -> str:
    """The time as a step of the chain, or as t in continuous time."""
    T = model.denoiser.schedule.T
    return f"t = {t:.1f}" if T is None else f"t = {round(t * T)}"


def forward_clouds(model: Model, panels: int, seed: int = 0) -> Clouds:
    """Real rows on their way to noise, at equally spaced times."""
    path = model.trajectory(POINTS, seed, direction="forward", frames=panels, grid="uniform")
    return [(step_label(model, float(t)), x) for t, x in zip(path.times, path.states, strict=True)]


def reverse_clouds(model: Model, panels: int, seed: int = 0, points: int = POINTS) -> Clouds:
    """Noise on its way to rows, at nearly equally spaced times of the sampler."""
    path = model.trajectory(points, seed, frames=panels)
    chosen = np.linspace(0, len(path.times) - 1, panels).round().astype(int)
    return [(step_label(model, float(path.times[i])), path.states[i]) for i in chosen]


def process_sections(lesson: Lesson, panels: int) -> Iterator[Section]:
    """The forward and the reverse process, each as a row of pictures, the latter during training too."""
    model = lesson.model
    forward = strip("tutorial-forward", "Forward", forward_clouds(model, panels), model.columns)
    yield Section(
        "tutorial-forward", "The forward process", (f"Real rows at {panels} times, with ever more noise.",), (forward,)
    )
    end = reverse_clouds(model, panels)
    view = robust_view([end[0][1], end[-1][1], model.train])
    strips, kept = [], sorted(model.snapshots)
    a_pass = int(model.facts.get("steps per epoch", 1))
    word = "epoch" if "steps per epoch" in model.facts else "step"
    for step in kept:
        title = f"After {word} {step // a_pass:,}"
        clouds = reverse_clouds(model.at(step), panels, points=POINTS // 2)
        strips.append(strip(f"tutorial-reverse-{step}", title, clouds, model.columns, real=False, view=view))
    strips.append(strip("tutorial-reverse", "At the end", end, model.columns, real=False, view=view))
    by = f", by the weights of these {word}s" if kept else ""
    asked = load_recipe(lesson.tutorial.name).train.snapshots
    late = f"; later ones are not reached in {lesson.epochs:,.0f} {word}s" if len(asked) > len(kept) else ""
    yield Section(
        "tutorial-reverse",
        "The reverse process, as it is learned",
        (f"From noise on the left to samples on the right{by}{late}.",),
        tuple(strips),
    )


def epochs_and_losses(lesson: Lesson) -> tuple[FloatArray, FloatArray]:
    """The recorded mean losses, over epochs, or over steps where rows are fresh."""
    a_pass = float(lesson.model.facts.get("steps per epoch", 1))
    records = [record for record in lesson.model.history if record.get("loss") is not None]
    return (
        np.array([record["step"] for record in records], dtype=float) / a_pass,
        np.array([record["loss"] for record in records], dtype=float),
    )


def loss_section(lesson: Lesson, prose: Sequence[str], printed: Mapping[int, float] | None = None) -> Section:
    """The loss on a log axis, with the numbers that the tutorial prints, and a table of both."""
    epochs, losses = epochs_and_losses(lesson)
    word = "epoch" if "steps per epoch" in lesson.model.facts else "step"
    panel = training_loss("tutorial-loss", "The loss", epochs, losses, printed, word)
    table = None
    if printed:
        rows = []
        for epoch, value in printed.items():
            close = np.abs(epochs - epoch) < 0.5
            if close.any():
                rows.append((f"{epoch:,}", number(value), number(float(losses[close][-1]))))
        note = "" if len(rows) == len(printed) else f"The others come after {lesson.epochs:,.0f} {word}s."
        table = Table((word, "the tutorial prints", f"ours, mean of the {word}"), tuple(rows), note) if rows else None
    return Section("tutorial-loss", "The loss", tuple(prose), (panel,), beside=True, table=table)


def beside_section(lesson: Lesson) -> Section:
    """Original beside generated."""
    model = lesson.model
    made, real = model.sample(POINTS, lesson.seed), fresh_rows(distribution_of(model), POINTS, lesson.seed)
    view = robust_view([real, made])
    panels = (
        cloud("tutorial-original", "Original", real, model.columns, view=view),
        cloud("tutorial-generated", "Generated", made, model.columns, real=False, view=view),
    )
    return Section(
        "tutorial-result", "Original beside generated", ("As many points on either side.",), panels, across=2
    )


def film_section(lesson: Lesson) -> Section:
    """One hundred frames of noise added, one hundred of noise taken away, for ever."""
    film = gif_bytes(
        gather_process(lesson.model, lesson.seed, frames=101), view="loop", theme="blackboard", frames=100, fps=20
    )
    return Section(
        "tutorial-film",
        "The film",
        ("One hundred frames forward and one hundred back, in a loop; figures/film.gif is the same file.",),
        gif=film,
        gif_alt="The data dissolve into noise, and the model makes new rows of it.",
    )
