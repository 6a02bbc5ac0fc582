"""From a model and its evaluation to what a report shows."""

import shlex
from copy import deepcopy
from pathlib import Path

import numpy as np

from driftfield.codecs import FloatArray, TableCodec
from driftfield.evaluation import Evaluation
from driftfield.evaluation.rows import choose
from driftfield.model import run as runs
from driftfield.model.model import Model
from driftfield.report.contents import Contents, Grid, Process, ScoreField
from driftfield.seeds import stream

FILM_ROWS, FILM_FRAMES = 1_200, 45
GRID_CELLS = 120
SHOWN_ROWS = 1_000
ARROWS = 18
NOISE_LEVELS = (0.5, 0.15, 0.05)  # of a standard deviation: the whole, the shape, the detail


def gather(model: Model, judged: Evaluation, run: str) -> Contents:
    """Everything a report shows of a model."""
    parts = model.codec.parts if isinstance(model.codec, TableCodec) else ()
    planar, verified = model.dimensions == 2 and not parts, Path(run) / runs.VERIFY
    source = model.source if model.distribution is None else f"{model.source}, a distribution known in closed form"
    return Contents(
        title=model.source,
        verdict=judged.verdict,
        source=source,
        command=str(model.facts.get("command") or f"driftfield.fit({model.source!r})"),
        columns=model.columns,
        train=choose(model.train, len(model.train), stream(0, "training rows of a report"), model.train_weights),
        held_out=judged.real,
        samples=judged.samples if len(judged.samples) >= SHOWN_ROWS else model.sample(SHOWN_ROWS),
        process=None if parts else gather_process(model),
        density=_density(model) if planar and not model.density_is_bound else None,
        scores=_scores(model) if planar else (),
        history=model.history,
        schedule=(model.recipe.schedule.kind, deepcopy(model.denoiser.schedule).cpu()),
        prior=model.prior_mismatch,
        metrics=judged.metrics,
        baselines=judged.densities() if judged.baselines else (),
        verification=runs.read_json(verified) if verified.is_file() else None,
        neighbours=(judged.memorisation.generated, judged.memorisation.held_out),
        parts=parts,
        rules=model.recipe.rules.hold,
        imputation=judged.imputation,
        recipe=model.recipe.toml(),
        facts={
            key: f"{value:,}" if isinstance(value, int) else str(value)
            for key, value in model.facts.items()
            if key != "command"
        },
        next_steps=_next_steps(shlex.quote(run), model.source, bool(parts)),
    )


def gather_process(model: Model, seed: int = 0, frames: int = FILM_FRAMES) -> Process:
    """The forward and the reverse process as films of the same number of points."""
    forward = model.trajectory(FILM_ROWS, seed, direction="forward", frames=frames)  # of the held-out rows there are
    reverse = model.trajectory(forward.states.shape[1], seed, direction="reverse", frames=frames)
    return Process(model.columns, forward, reverse)


def _lattice(model: Model, cells: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """So many places on each axis over the training data, with a margin, and all points (cells^2, 2) of the plane."""
    low, high = np.quantile(model.train, [0.001, 0.999], axis=0)
    margin = 0.15 * (high - low)
    x, y = np.linspace(low - margin, high + margin, cells).T
    return x, y, np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)


def _density(model: Model) -> Grid:
    x, y, points = _lattice(model, GRID_CELLS)
    values, _ = model.log_prob(points, steps=16)
    return Grid(x, y, values.reshape(GRID_CELLS, GRID_CELLS))


def _scores(model: Model) -> list[ScoreField]:
    _, _, points = _lattice(model, ARROWS)
    return [ScoreField(noise, points, model.score(points, noise=noise)) for noise in NOISE_LEVELS]


def _next_steps(run: str, source: str, is_table: bool) -> list[tuple[str, str]]:
    if is_table:
        file = shlex.quote(source)
        return [
            (f"driftfield sample {run} -n 1000 -o new.csv", "draw new rows; --given column=value fixes some cells"),
            (
                f"driftfield impute {run} {file} -o full.csv",
                "fill the empty cells of a file; --draws 5 does it so often",
            ),
            (
                f"driftfield score {run} {file} -o scores.csv",
                "log-probabilities; --given and --of for conditional ones",
            ),
            (f"driftfield outliers {run} {file}", "the most surprising rows, and the cell that makes each so"),
            (f"driftfield evaluate {run} --json", "every metric with its floor, for scripts"),
        ]
    return [
        (f"driftfield sample {run} -n 10000 -o new.csv", "draw new rows, with the names of your columns"),
        (f"driftfield score {run} {shlex.quote(source)} -o scores.csv", "the log-density of each row, in nats"),
        (f"driftfield evaluate {run} --json", "every metric with its floor, for scripts"),
        (f"driftfield verify {run}", "check the model's numbers, against exact truth where it is known"),
        (f"driftfield animate {run} -o process.gif", "the two processes as an animation"),
        ("driftfield fit your.csv -o runs/yours", "fit a table of your own"),
    ]
