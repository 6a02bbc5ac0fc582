"""Fit: from DATA to a Model; with a folder, every 10 seconds of it can be resumed."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from driftfield.codecs import Codec, FloatArray, TableCodec
from driftfield.datasets import DISTRIBUTIONS
from driftfield.diffusion import Schedule
from driftfield.errors import DriftfieldError, InputError, unknown_name
from driftfield.fitting.devices import choose_device
from driftfield.fitting.facts import facts_of
from driftfield.fitting.plan import Labels, Plan, read_plan, write_plan
from driftfield.fitting.preparation import Preparation, prepare, prepare_again
from driftfield.memory import require
from driftfield.model import run as runs
from driftfield.model.files import write_model
from driftfield.model.model import Model
from driftfield.modes import own_modes
from driftfield.recipes.building import Objective, Parts, build_judge, build_loss
from driftfield.recipes.sampling import too_few_steps
from driftfield.recipes.schema import Recipe, load_recipe
from driftfield.seeds import derive, stream
from driftfield.training.batches import Batch, Batches, drawn, fresh, shuffled
from driftfield.training.callbacks import Callbacks
from driftfield.training.checkpoint import Progress
from driftfield.training.early_stopping import early_weights
from driftfield.training.loop import Trainer

MOST_KEPT_ROWS = 20_000  # that a model keeps of its training rows
# Of the weights: themselves, gradients, two moments, an average, the best, and two while Adam computes; a checkpoint is
# written from five of these, which are in memory twice more by then.
_COPIES = 18
_KEPT_OF_A_UNIT = 2  # numbers for each row, until the backward pass: before and after the activation

# Arguments of fit that stand for a key of a section.
SHORT = {
    "steps": "train",
    "epochs": "train",
    "lr": "train",
    "batch": "train",
    "head": "denoiser",
    "rows": "data",
    "scaling": "data",
    "label": "data",
    "held_out": "data",
}


@own_modes
def fit(
    data: Any,
    recipe: Any = None,
    seed: int = 0,
    *,
    sample_weight: Any = None,
    out: str | Path | None = None,
    force: bool = False,
    device: str = "auto",
    time: float | None = None,
    network: nn.Module | str | dict[str, Any] | None = None,
    schedule: Schedule | str | dict[str, Any] | None = None,
    objective: Objective | dict[str, Any] | None = None,
    callbacks: Callbacks | None = None,
    **overrides: Any,
) -> Model:
    """Fit a diffusion model.

    Args:
        data: a built-in name ("moons", "sklearn:wine"), a path to CSV, Parquet or NPY ("file.csv:col1,col2"), an array
            (n, D), a tensor, or a pandas or polars frame.
        recipe: a name, a TOML file, a mapping of sections, a Recipe, or None for the default.
        seed: of the rows, the split, the weights and the training.
        sample_weight: what each row counts, n numbers that are not negative, or the name of a column of them: a row of
            weight 2 counts as two rows. The column is not learned, and rows of weight 0 are left out.
        out: a run folder to write; a training that was cut off there can be resumed (:func:`resume`).
        force: replace the run that is in ``out``.
        device: "auto", "cpu", "cuda", ..
        time: a budget in seconds, in place of a number of steps.
        callbacks: functions that follow the training, and may stop it.
        network, schedule, objective: a part of your own (a module (x, label, cond) -> tensor, a Schedule, a function
            (denoiser, rows, generator) -> loss per row); or a kind, or a mapping of options.
        overrides: ``train={"lr": 1e-3}`` for any section of the recipe; for short ``head="v"``, ``steps=500``, or
            ``label="species"``, the column of classes.

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
    requested = load_recipe(recipe).updated(_sections(overrides), "arguments of fit")
    if sample_weight is not None:  # beats a column that the recipe names
        column = sample_weight if isinstance(sample_weight, str) else None
        requested = requested.updated({"data": {"weight": column}}, "arguments of fit")
    choose_device(device)
    weights = None if isinstance(sample_weight, str) else sample_weight
    prepared = prepare(data, requested, seed, time, parts=parts, weights=weights)
    if out is not None:
        runs.check_free(Path(out), force)
    return carry_out(prepared, Path(out) if out is not None else None, device, callbacks or Callbacks())


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


@own_modes
def resume(
    out: str | Path, *, device: str | None = None, callbacks: Callbacks | None = None, parts: Parts | None = None
) -> Model:
    """Resume the training in a run folder; the weights become those of an uninterrupted one, bit for bit.

    Raises:
        InputError: there is no training to resume.
    """
    folder = Path(out)
    if not runs.is_started(folder):
        done = runs.is_complete(folder)
        advice = "its training is finished" if done else "no training was started there"
        raise InputError(f"There is nothing to resume in {folder}: {advice}.")
    plan, used = read_plan(folder / runs.CHECKPOINT)
    prepared = prepare_again(plan, parts or Parts())
    return carry_out(prepared, folder, device or used, callbacks or Callbacks(), resuming=True)


def resume_command(out: Path) -> str:
    """The command that resumes the training in a folder."""
    return f"driftfield fit --resume -o {shlex.quote(str(out))}"


@own_modes
def carry_out(
    prepared: Preparation, out: Path | None, device: str, callbacks: Callbacks, resuming: bool = False
) -> Model:
    """Train what :func:`~driftfield.fitting.preparation.prepare` prepared, in a run folder or in memory."""
    where, plan = choose_device(device), prepared.plan
    if where.type == "cpu":
        _require_memory(plan, prepared.denoiser)
    checkpoint = None
    if out is not None:
        folder = out / runs.CHECKPOINT if resuming else runs.start(out)
        if not resuming:
            try:
                write_plan(plan, folder, device)
            except DriftfieldError:
                runs.discard(out)
                raise
        checkpoint = folder / runs.STATE
    model = _untrained(prepared, where)
    steps_warning = too_few_steps(plan.recipe.sample, model.denoiser.schedule.T)
    for warning in (*prepared.warnings, model.prior_mismatch.warning, steps_warning):
        if warning:
            callbacks.message(warning)
    progress = _train(model, prepared, where, checkpoint, callbacks)
    model.facts = facts_of(plan, model, progress, where)
    if early := early_weights(progress):
        callbacks.message(early)
    if out is not None:
        new = out / runs.CHECKPOINT / "new"
        new.mkdir(exist_ok=True)
        write_model(model, new)
        runs.finish(out, new)
    return model


def _require_memory(plan: Plan, denoiser: nn.Module) -> None:
    """Refuse a training that takes more memory than there is, before anything is written."""
    units = sum(layer.out_features for layer in denoiser.modules() if isinstance(layer, nn.Linear))
    batch, train = plan.rows_per_step, plan.recipe.train
    require(
        4 * batch * (_KEPT_OF_A_UNIT * units + len(plan.columns)),
        f"The {batch:,} rows of a step",
        "lower train.batch, or make the network smaller",
    )
    weights, snapshots = sum(weight.numel() for weight in denoiser.parameters()), len(train.snapshots)
    require(
        4 * weights * (_COPIES + 2 * snapshots),
        f"{weights:,} weights" + (f" with {snapshots:,} snapshots" if snapshots else ""),
        "make the network smaller, or keep fewer snapshots",
    )


def _untrained(prepared: Preparation, device: torch.device) -> Model:
    plan = prepared.plan
    kept = stream(plan.seed, "training rows that a model keeps").permutation(len(plan.rows))[:MOST_KEPT_ROWS]
    kept.sort()
    return Model(
        recipe=plan.recipe,
        codec=prepared.codec,
        denoiser=prepared.denoiser.to(device),
        source=plan.source,
        train=plan.rows[kept],
        held_out=plan.held_out,
        train_weights=None if plan.weights is None else plan.weights[kept],
        held_out_weights=plan.held_out_weights,
        classes=plan.classes,
        class_counts=plan.class_counts,
        parts=prepared.parts,
    )


def _train(
    model: Model, prepared: Preparation, device: torch.device, checkpoint: Path | None, callbacks: Callbacks
) -> Progress:
    plan, codec, parts = prepared.plan, prepared.codec, prepared.parts
    recipe, validation = plan.recipe, None
    rows = _batch(codec, plan.rows, plan.labels, device)
    if plan.validation is not None:
        validation = _batch(codec, plan.validation, plan.validation_labels, device)
    trainer = Trainer(
        model.denoiser,
        loss=lambda denoiser: build_loss(recipe, denoiser, parts),
        rows=rows,
        settings=recipe.train,
        seed=plan.seed,
        validation=validation,
        validation_weights=_on(plan.validation_weights, device),
        judge=lambda denoiser: build_judge(recipe, denoiser, parts),
        batches=_batches(plan, codec, rows, device),
        every=plan.steps_per_epoch if recipe.train.order == "shuffled" else None,
        work=plan.rows_per_step,
    )
    progress = trainer.run(callbacks, checkpoint=checkpoint, seconds=plan.seconds)
    model.denoiser.requires_grad_(False)
    model.history, model.snapshots = progress.history, trainer.snapshots
    if plan.seconds is not None:
        model.recipe = recipe.updated({"train": {"steps": max(progress.step, 1)}})
    return progress


def _batch(codec: Codec, rows: FloatArray, labels: Labels | None, device: torch.device) -> Batch:
    """Encoded rows, and their labels if they have any, on a device; of a table, all that is known of their cells."""
    if isinstance(codec, TableCodec):
        return tuple(torch.from_numpy(part).to(device) for part in codec.encoded(rows))
    columns: list[Tensor] = [torch.from_numpy(codec.encode(rows))]
    columns += [] if labels is None else [torch.from_numpy(labels)]
    return tuple(column.to(device) for column in columns)


def _batches(plan: Plan, codec: Codec, rows: Batch, device: torch.device) -> Batches | None:
    """The rows of each step, unless they are drawn with replacement and with equal chances, the default."""
    size = plan.recipe.train.batch or 1
    if plan.recipe.data.fresh:
        distribution, label = DISTRIBUTIONS[plan.source], plan.recipe.data.label

        def draw(n: int, step: int) -> Batch:
            seed = derive(plan.seed, "fresh rows", step)
            values, labels = (
                (distribution.sample(n, seed), None) if label is None else distribution.sample_labelled(n, seed)
            )
            return _batch(codec, values, labels, device)

        return fresh(draw, size)
    weights = _on(plan.weights, device)
    if plan.recipe.train.order == "shuffled":
        return shuffled(rows, size, plan.seed, weights)
    return None if weights is None else drawn(rows, size, weights)


def _on(weights: FloatArray | None, device: torch.device) -> Tensor | None:
    """The weights of rows on a device, in float64."""
    return None if weights is None else torch.from_numpy(weights).to(device)
