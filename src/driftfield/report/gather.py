"""From a model and its evaluation to what a report shows."""

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import torch

from driftfield.evaluation import Evaluation
from driftfield.model import run as runs
from driftfield.model.model import Model
from driftfield.report.contents import (
    Baseline,
    Command,
    Contents,
    Film,
    Grid,
    Neighbours,
    Process,
    ScheduleCurves,
    ScoreField,
)

FILM_ROWS, FILM_FRAMES = 1_200, 45
GRID_CELLS = 120
SHOWN_ROWS = 1_000
ARROWS = 18
NOISE_LEVELS = (0.5, 0.15, 0.05)  # of a standard deviation: the whole, the shape, the detail


def gather(model: Model, judged: Evaluation, run: str) -> Contents:
    """Everything a report shows of a model."""
    planar = model.dimensions == 2
    source = model.source if model.distribution is None else f"{model.source}, a distribution known in closed form"
    return Contents(
        title=model.source,
        verdict=judged.verdict,
        source=source,
        command=str(model.facts.get("command") or f"driftfield.fit({model.source!r})"),
        columns=model.columns,
        train=model.train,
        held_out=judged.real,
        samples=judged.samples if len(judged.samples) >= SHOWN_ROWS else model.sample(SHOWN_ROWS),
        process=gather_process(model),
        density=_density(model) if planar and not model.density_is_bound else None,
        scores=_scores(model) if planar else (),
        history=model.history,
        schedule=_schedule(model),
        metrics=judged.metrics,
        baselines=[
            Baseline(label, mean, error, ours=i == 0)
            for i, (label, mean, error) in enumerate(judged.densities() if judged.baselines else [])
        ],
        verification=_verification(Path(run) / runs.VERIFY),
        neighbours=Neighbours(judged.memorisation.generated, judged.memorisation.held_out),
        recipe=model.recipe.toml(),
        facts={key: str(value) for key, value in model.facts.items() if key != "command"},
        next_steps=_next_steps(shlex.quote(run), model.source),
    )


def _verification(path: Path) -> dict[str, Any] | None:
    """What a verification of this run found, if there was one."""
    if not path.is_file():
        return None
    found: dict[str, Any] = runs.read_json(path)
    return found


def gather_process(model: Model, seed: int = 0, frames: int = FILM_FRAMES) -> Process:
    """The forward and the reverse process as films of the same number of points."""
    n = min(FILM_ROWS, len(model.held_out))
    films = {}
    for direction in ("forward", "reverse"):
        path = model.trajectory(n, seed, direction=direction, frames=frames)
        scale = None if np.allclose(path.scale, 1, atol=1e-3) else path.scale
        films[direction] = Film(path.times, path.states, path.noise, scale)
    return Process(model.columns, films["forward"], films["reverse"])


def _frame(model: Model) -> tuple[np.ndarray[tuple[int], np.dtype[np.float64]], ...]:
    """The range of each of two columns, with a margin."""
    low, high = np.quantile(model.train, [0.001, 0.999], axis=0)
    margin = 0.15 * (high - low)
    return low - margin, high + margin


def _density(model: Model) -> Grid:
    low, high = _frame(model)
    x, y = (np.linspace(low[i], high[i], GRID_CELLS) for i in (0, 1))
    points = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
    values, _ = model.log_prob(points, steps=16)
    return Grid(x, y, values.reshape(GRID_CELLS, GRID_CELLS))


def _scores(model: Model) -> list[ScoreField]:
    low, high = _frame(model)
    x, y = (np.linspace(low[i], high[i], ARROWS) for i in (0, 1))
    points = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
    return [ScoreField(noise, points, model.score(points, noise=noise)) for noise in NOISE_LEVELS]


def _schedule(model: Model) -> ScheduleCurves:
    mismatch = model.prior_mismatch
    schedule = model.denoiser.schedule.to("cpu")
    t = torch.linspace(schedule.t_low, 1, 201, dtype=torch.float64)
    curves = ScheduleCurves(
        model.recipe.schedule.kind,
        t.numpy(),
        schedule.alpha(t).numpy(),
        schedule.sigma(t).numpy(),
        np.clip(-schedule.gamma(t).numpy(), -60, 60),
        mismatch.bound,
        mismatch.marginal,
        mismatch.warning,
    )
    model.denoiser.schedule.to(model.device)
    return curves


def _next_steps(run: str, source: str) -> list[Command]:
    return [
        Command(f"driftfield sample {run} -n 10000 -o new.csv", "draw new rows under the names of your columns"),
        Command(f"driftfield score {run} {shlex.quote(source)} -o scores.csv", "log-density of each row, in nats"),
        Command(f"driftfield evaluate {run} --json", "every metric with its floor, for scripts"),
        Command(f"driftfield verify {run}", "check the model's own numbers, also against exact truth"),
        Command(f"driftfield animate {run} -o process.gif", "the process as a moving picture"),
        Command("driftfield fit your.csv -o runs/yours", "the same for a table of your own"),
    ]
