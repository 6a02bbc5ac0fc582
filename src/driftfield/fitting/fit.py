"""Fit: from DATA to a Model; with a folder, every 10 seconds of it can be resumed."""

from __future__ import annotations

import math
import os
import platform
import shlex
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from driftfield.codecs import Codec, FloatArray, NumericCodec, Scaler
from driftfield.datasets import DISTRIBUTIONS, Table, load, split
from driftfield.diffusion import Schedule
from driftfield.errors import InputError, unknown_name
from driftfield.model import run as runs
from driftfield.model.files import write_model
from driftfield.model.model import Model
from driftfield.recipes.building import (
    Objective,
    Parts,
    build_denoiser,
    build_judge,
    build_loss,
    build_schedule,
    check_names,
    too_few_steps,
)
from driftfield.recipes.defaults import choose_scaling, resolve
from driftfield.recipes.schema import Recipe, load_recipe
from driftfield.seeds import derive, stream
from driftfield.training.batches import Batch, Batches, fresh, shuffled, steps_of_a_pass
from driftfield.training.checkpoint import Progress
from driftfield.training.loop import Report, Surroundings, Trainer, early_weights

MOST_KEPT_ROWS = 20_000
MOST_STEPS = 10_000_000  # where time, not steps, ends a training
FEWEST_ROWS = 20  # to train on, to stop by and to judge by
MOST_SEED = 2**32 - 1
MOST_VALIDATION_ROWS = 10_000


Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Task:
    """All that a training is: rows, recipe, seed, and how it was asked for; plain data, so that it can be resumed."""

    rows: FloatArray
    validation: FloatArray | None
    held_out: FloatArray
    columns: tuple[str, ...]
    source: str
    recipe: Recipe
    seed: int
    seconds: float | None = None
    command: str = ""
    labels: Labels | None = None
    validation_labels: Labels | None = None
    classes: tuple[str, ...] = ()


def _warn(text: str) -> None:
    """A Python warning at the line outside of this package that led to it."""
    frame, level = sys._getframe(), 1
    while frame.f_back is not None and frame.f_globals["__name__"].startswith(f"{__name__.split('.')[0]}."):
        frame, level = frame.f_back, level + 1
    warnings.warn(text, stacklevel=level)


@dataclass(frozen=True)
class Watch:
    """Who is told, and who may interrupt; by default messages are Python warnings."""

    observe: Callable[[Report], None] | None = None
    interrupted: Callable[[], bool] | None = None
    message: Callable[[str], None] = _warn


def fit(
    data: Any,
    recipe: Any = None,
    seed: int = 0,
    *,
    out: str | Path | None = None,
    force: bool = False,
    device: str = "auto",
    time: float | None = None,
    network: nn.Module | str | dict[str, Any] | None = None,
    schedule: Schedule | str | dict[str, Any] | None = None,
    objective: Objective | dict[str, Any] | None = None,
    watch: Watch | None = None,
    **overrides: Any,
) -> Model:
    """Fit a diffusion model.

    Args:
        data: a built-in name ("moons", "sklearn:wine"), a path to CSV, Parquet or NPY ("file.csv:col1,col2"), an array
            (n, D), a tensor, or a pandas or polars frame.
        recipe: a name, a TOML file, a mapping of sections, a Recipe, or None for the default.
        seed: of the rows, the split, the weights and the training.
        out: a run folder to write; a training that was cut off there can be resumed (:func:`resume`).
        force: replace the run that is in ``out``.
        device: "auto", "cpu", "cuda", ..
        time: a budget in seconds, in place of a number of steps.
        network, schedule, objective: a part of your own (a module (x, label, cond) -> tensor, a Schedule, a function
            (denoiser, rows, generator) -> loss per row); or a kind, or a mapping of options.
        overrides: ``train={"lr": 1e-3}`` for any section of the recipe, ``head="v"``, or ``steps=500`` for short.

    Raises:
        InputError: the data, the recipe or the folder cannot be used; nothing has been written.
        TrainingError: the loss is not finite.
    """
    parts = Parts(
        network if isinstance(network, nn.Module) else None,
        schedule if isinstance(schedule, Schedule) else None,
        objective if callable(objective) else None,
    )
    for section, value in (("network", network), ("schedule", schedule), ("objective", objective)):
        if isinstance(value, str | dict):
            overrides[section] = value
    asked = load_recipe(recipe).updated(_sections(overrides), "arguments of fit")
    choose_device(device)
    task = prepare(data, asked, seed, time, parts=parts)
    if out is not None:
        runs.check_free(Path(out), force)
    return carry_out(task, Path(out) if out is not None else None, device, watch or Watch(), parts)


SHORT = {
    "steps": "train",
    "epochs": "train",
    "lr": "train",
    "batch": "train",
    "head": "denoiser",
    "rows": "data",
    "scaling": "data",
}


def _sections(overrides: dict[str, Any]) -> dict[str, dict[str, Any]]:
    changes: dict[str, dict[str, Any]] = {}
    for name, value in overrides.items():
        if name in SHORT:
            changes.setdefault(SHORT[name], {})[name] = value
        elif name not in Recipe.model_fields:
            raise unknown_name("argument of fit", name, [*SHORT, *Recipe.model_fields, "out", "device", "time"])
        elif isinstance(value, dict):
            changes.setdefault(name, {}).update(value)
        else:
            changes.setdefault(name, {})["kind"] = value
    return changes


def prepare(
    data: Any,
    recipe: Recipe,
    seed: int,
    seconds: float | None = None,
    command: str = "",
    parts: Parts | None = None,
) -> Task:
    """Read the rows, hold some out, and fill in the recipe; nothing is written.

    Of a file, 20 % are held out for judging (at most 10,000), and of the rest 10 % decide when to stop (at most
    10,000). A distribution is drawn from instead: its training rows are all used, and the others are drawn beside them.
    With ``train.validation = 0`` no rows decide when to stop.
    """
    parts = parts or Parts()
    check_names(recipe)
    if not 0 <= seed <= MOST_SEED:
        raise InputError(f"The seed must lie between 0 and {MOST_SEED}, but it is {seed}.")
    if seconds is not None and not seconds > 0:
        raise InputError(f"The time must be positive, but it is {seconds:g} seconds.")
    data = recipe.data.name if data is None else data
    if data is None:
        raise InputError("No data are named: give DATA, such as moons or file.csv, or data.name in the recipe.")
    train, validation, held_out = _rows(data, recipe, seed)
    count, D = train.values.shape
    if seconds is not None and recipe.train.steps is None and recipe.train.epochs is None:
        recipe = recipe.updated({"train": {"steps": MOST_STEPS}})
    if parts.schedule is None:  # a chain whose length was left open has one all the same, and samplers walk it
        recipe = recipe.updated({"schedule": {"T": build_schedule(recipe).T}})
    scaling = recipe.data.scaling or choose_scaling(count, D)
    sample = train.values[:: max(1, count // MOST_KEPT_ROWS)]
    filled = resolve(recipe, Scaler.fit(train.values, scaling).forward(sample), count)
    rows = count + (
        0 if train.distribution is not None else len(held_out) + (0 if validation is None else len(validation.values))
    )
    filled = filled.updated({"data": {"rows": rows, "scaling": scaling}})
    denoiser = build_denoiser(filled, D, parts, seed, classes=len(train.classes))
    build_loss(filled, denoiser, parts)  # refuses what cannot be built
    return Task(
        train.values,
        None if validation is None else validation.values,
        held_out,
        train.columns,
        train.source,
        filled,
        seed,
        seconds,
        command,
        train.labels,
        None if validation is None else validation.labels,
        train.classes,
    )


def _rows(data: Any, recipe: Recipe, seed: int) -> tuple[Table, Table | None, FloatArray]:
    """The rows to train on, those to stop by, if any, and those to judge by."""
    section, share = recipe.data, recipe.train.validation
    table = load(data, rows=section.rows, seed=seed, label=section.label)
    if table.distribution is not None:
        beside = max(100, min(len(table.values), MOST_VALIDATION_ROWS))
        held_out = table.distribution.sample(beside, derive(seed, "held-out rows"))
        if share == 0:
            return table, None, held_out
        return table, load(data, beside, derive(seed, "validation rows"), section.label), held_out
    if section.fresh:
        raise InputError(
            f"Fresh rows can be drawn from a distribution alone, not from {table.source}: leave out data.fresh."
        )
    if len(table.values) < FEWEST_ROWS:
        raise InputError(
            f"{table.source} has {len(table.values)} rows: at least {FEWEST_ROWS} are needed, to learn "
            "from some and to judge by others."
        )
    train, rest = split(table, section.held_out, seed=seed)
    share = 0.1 if share is None else share
    if share == 0 or len(train.values) < 20:
        return train, None, rest.values
    train, stopping = split(train, share, MOST_VALIDATION_ROWS, seed=derive(seed, "validation rows"))
    return train, stopping, rest.values


def carry_out(task: Task, out: Path | None, device: str, watch: Watch, parts: Parts, resume: bool = False) -> Model:
    """Train what ``prepare`` prepared, in a run folder or in memory."""
    where = choose_device(device)
    checkpoint = None
    if out is not None:
        folder = out / runs.CHECKPOINT if resume else runs.start(out)
        if not resume:
            _write_task(task, folder, device)
        checkpoint = folder / runs.STATE
    model, progress = _train(task, where, checkpoint, watch, parts)
    model.facts = _facts(task, model, progress, where)
    if early := early_weights(progress):
        watch.message(early)
    if out is not None:
        new = out / runs.CHECKPOINT / "new"
        new.mkdir(exist_ok=True)
        write_model(model, new)
        runs.finish(out, new)
    return model


def _train(
    task: Task, device: torch.device, checkpoint: Path | None, watch: Watch, parts: Parts
) -> tuple[Model, Progress]:
    codec = NumericCodec.fit(task.rows, task.columns, task.recipe.data.scaling or "standard")
    directions = torch.from_numpy(codec.directions) if task.recipe.network.frequencies else None
    denoiser = build_denoiser(
        task.recipe, len(task.columns), parts, task.seed, directions, classes=len(task.classes)
    ).to(device)
    keep = stream(task.seed, "training rows that a model keeps").permutation(len(task.rows))[:MOST_KEPT_ROWS]
    model = Model(
        recipe=task.recipe,
        codec=codec,
        denoiser=denoiser,
        source=task.source,
        train=task.rows[np.sort(keep)],
        held_out=task.held_out,
        classes=task.classes,
        parts=parts,
    )
    for warning in (model.prior_mismatch.warning, too_few_steps(task.recipe.sample, denoiser.schedule.T)):
        if warning:
            watch.message(warning)
    settings = task.recipe.train
    rows = _batch(codec, task.rows, task.labels, device)
    trainer = Trainer(
        denoiser,
        build_loss(task.recipe, denoiser, parts),
        rows,
        None if task.validation is None else _batch(codec, task.validation, task.validation_labels, device),
        settings,
        task.seed,
        build_judge(task.recipe, denoiser, parts),
        _batches(task, codec, rows, device),
        _steps_of_an_epoch(task) if settings.order == "shuffled" else None,
        _rows_of_a_step(task),
    )
    progress = trainer.run(Surroundings(checkpoint, watch.observe, watch.interrupted, task.seconds))
    denoiser.requires_grad_(False)
    model.history, model.snapshots = progress.history, trainer.snapshots
    if task.seconds is not None:
        model.recipe = task.recipe.updated({"train": {"steps": max(progress.step, 1)}})
    return model, progress


def _batch(codec: Codec, rows: FloatArray, labels: Labels | None, device: torch.device) -> Batch:
    """Encoded rows, and their labels if they have any, on a device."""
    columns: list[Tensor] = [torch.from_numpy(codec.encode(rows))]
    columns += [] if labels is None else [torch.from_numpy(labels)]
    return tuple(column.to(device) for column in columns)


def _batches(task: Task, codec: Codec, rows: Batch, device: torch.device) -> Batches | None:
    """Which rows each step sees, where the recipe asks for more than rows drawn with replacement."""
    size = task.recipe.train.batch or 1
    if task.recipe.data.fresh:
        distribution, label = DISTRIBUTIONS[task.source], task.recipe.data.label

        def draw(n: int, step: int) -> Batch:
            seed = derive(task.seed, "fresh rows", step)
            values, labels = (
                (distribution.sample(n, seed), None) if label is None else distribution.sample_labelled(n, seed)
            )
            return _batch(codec, values, labels, device)

        return fresh(draw, size)
    return shuffled(rows, size, task.seed) if task.recipe.train.order == "shuffled" else None


def choose_device(name: str) -> torch.device:
    """The torch device of a name; "auto" takes CUDA where there is one.

    Raises:
        InputError: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError):
        raise InputError(f'There is no device "{name}" here: use --device auto or cpu.') from None
    return device


def resume(
    out: str | Path, *, device: str | None = None, watch: Watch | None = None, parts: Parts | None = None
) -> Model:
    """Go on with the training in a run folder; the weights become those of an uninterrupted one, bit for bit.

    Raises:
        InputError: there is no training to resume.
    """
    folder = Path(out)
    if not runs.is_started(folder):
        done = runs.is_complete(folder)
        advice = "its training is finished" if done else "no training was started there"
        raise InputError(f"There is nothing to resume in {folder}: {advice}.")
    task, used = _read_task(folder / runs.CHECKPOINT)
    return carry_out(task, folder, device or used, watch or Watch(), parts or Parts(), resume=True)


def _write_task(task: Task, folder: Path, device: str) -> None:
    arrays = {
        "rows": task.rows,
        "validation": task.validation,
        "held_out": task.held_out,
        "labels": task.labels,
        "validation_labels": task.validation_labels,
    }
    for name, array in arrays.items():
        if array is not None:
            np.save(folder / f"{name}.npy", array, allow_pickle=False)
    setup = {
        "columns": list(task.columns),
        "source": task.source,
        "seed": task.seed,
        "seconds": task.seconds,
        "command": task.command,
        "classes": list(task.classes),
        "device": device,
        "recipe": task.recipe.model_dump(mode="json"),
    }
    runs.write_json(folder / runs.SETUP, setup)  # last: its presence says that the training can be resumed


def _read_task(folder: Path) -> tuple[Task, str]:
    setup = runs.read_json(folder / runs.SETUP)

    def array(name: str) -> NDArray[Any] | None:
        path = folder / f"{name}.npy"
        return np.load(path, allow_pickle=False) if path.exists() else None

    task = Task(
        np.load(folder / "rows.npy", allow_pickle=False),
        array("validation"),
        np.load(folder / "held_out.npy", allow_pickle=False),
        tuple(setup["columns"]),
        setup["source"],
        Recipe.parse(setup["recipe"]),
        setup["seed"],
        setup["seconds"],
        setup["command"],
        array("labels"),
        array("validation_labels"),
        tuple(setup["classes"]),
    )
    return task, setup["device"]


def _facts(task: Task, model: Model, progress: Progress, device: torch.device) -> dict[str, Any]:
    rate = progress.step * (task.recipe.train.batch or 0) / max(progress.seconds, 1e-9)
    judged = {
        "validation at the best step": round(progress.best, 6),
        "validation at the last step": round(progress.last, 6),
    }
    return {
        "command": task.command,
        "seed": task.seed,
        "training rows": len(task.rows),
        "held-out rows": len(task.held_out),
        **({"steps per epoch": _steps_of_an_epoch(task)} if task.recipe.train.order == "shuffled" else {}),
        "parameters": sum(p.numel() for p in model.denoiser.parameters()),
        "steps": progress.step,
        "best step": progress.best_step,
        **(judged if math.isfinite(progress.best) else {}),
        "training seconds": round(progress.seconds, 2),
        "rows per second": round(rate),
        "device": str(device),
        "threads": torch.get_num_threads(),
        "driftfield": version("driftfield"),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
        "finished": time.strftime("%Y-%m-%d %H:%M:%S %z"),
    }


def _rows_of_a_step(task: Task) -> int:
    """How many rows a network sees in one step: those of a batch, at every step of the chain where the loss has all."""
    batch = task.recipe.train.batch or 1
    all_terms = task.recipe.objective.kind == "elbo" and task.recipe.objective.terms in (None, "all")
    return batch * (task.recipe.schedule.T or 1) if all_terms else batch


def _steps_of_an_epoch(task: Task) -> int:
    return steps_of_a_pass(len(task.rows), task.recipe.train.batch or 1)


def resume_command(out: Path) -> str:
    """The command that goes on with a training."""
    return f"driftfield fit --resume -o {shlex.quote(str(out))}"


__all__ = ["Watch", "carry_out", "fit", "prepare", "resume", "resume_command"]
