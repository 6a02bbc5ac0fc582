"""Preparation: from DATA and a recipe to a plan and the parts that it names, each built once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from driftfield.codecs import Codec, EncodedRows, FloatArray, NumericCodec, TableCodec
from driftfield.codecs.columns import ColumnOptions
from driftfield.diffusion import BaseDenoiser, TableMixture
from driftfield.errors import InputError
from driftfield.fitting.mixture import fit_mixture, stands_in
from driftfield.fitting.plan import Plan
from driftfield.fitting.splitting import split_rows
from driftfield.recipes.building import Parts, build_denoiser, build_loss, check_recipe, is_table
from driftfield.recipes.defaults import FEW_ROWS, as_table, choose_scaling, resolve
from driftfield.recipes.schema import Recipe
from driftfield.seeds import stream

MOST_ROWS = 20_000  # that the choices of a recipe are made from
MOST_STEPS = 10_000_000  # where time, not steps, ends a training
MOST_SEED = 2**32 - 1


@dataclass(frozen=True)
class Preparation:
    """A plan with its parts: what is left to do is to train."""

    plan: Plan
    codec: Codec
    denoiser: BaseDenoiser
    parts: Parts
    notes: tuple[str, ...] = ()  # how the file of the data was read, where it is not plain CSV
    warnings: tuple[str, ...] = ()  # on the data, a sentence each


def prepare(
    data: Any,
    recipe: Recipe,
    seed: int,
    seconds: float | None = None,
    command: str = "",
    parts: Parts | None = None,
    weights: Any = None,
) -> Preparation:
    """Read and split the rows, fill in the recipe, and build its parts; nothing is written.

    ``weights`` are those of the rows, where they are not in a column of their own.

    Raises:
        InputError: the data or the recipe cannot be used.
    """
    parts = parts or Parts()
    check_recipe(recipe)
    if not 0 <= seed <= MOST_SEED:
        raise InputError(f"The seed must lie between 0 and {MOST_SEED}, got {seed}.")
    if seconds is not None and not seconds > 0:
        raise InputError(f"The time must be positive, got {seconds:g} seconds.")
    data = recipe.data.name if data is None else data
    if data is None:
        raise InputError("No data are named: give DATA, such as moons or file.csv, or data.name in the recipe.")
    split = split_rows(data, recipe, seed, weights)
    train, validation = split.train, split.validation
    count, D = train.values.shape
    if seconds is not None and recipe.train.steps is None and recipe.train.epochs is None:
        recipe = recipe.updated({"train": {"steps": MOST_STEPS}})
    levels = train.levels or ((),) * D * (is_table(recipe) or bool(recipe.columns) or bool(recipe.rules.hold))
    if levels:
        check_recipe(recipe := as_table(recipe))
    scaling = "standard" if levels else recipe.data.scaling or choose_scaling(count, D)
    plan = Plan(
        recipe=recipe.updated({"data": {"rows": split.rows, "scaling": scaling}}),
        source=train.source,
        columns=train.columns,
        rows=train.values,
        held_out=split.held_out,
        seed=seed,
        validation=None if validation is None else validation.values,
        labels=train.labels,
        validation_labels=None if validation is None else validation.labels,
        weights=train.weights,
        validation_weights=None if validation is None else validation.weights,
        held_out_weights=split.held_out_weights,
        classes=train.classes,
        levels=levels,
        dates=train.dates,
        spelled=train.spelled,
        real=train.real,
        seconds=seconds,
        command=command,
    )
    codec = _codec(plan)
    some = plan.rows[:: max(1, count // MOST_ROWS)]
    encoded = _complete(codec, some) if isinstance(codec, TableCodec) else codec.encode(some)
    plan = replace(plan, recipe=resolve(plan.recipe, encoded, count))
    return replace(_built(plan, codec, parts), notes=train.notes, warnings=train.warnings)


def _codec(plan: Plan) -> NumericCodec | TableCodec:
    """The codec of the training rows of a plan."""
    if plan.levels:
        others = [plan.held_out, *([] if plan.validation is None else [plan.validation])]
        declared = {name: ColumnOptions(kind="number") for name in plan.real} | dict(plan.recipe.columns)
        beside = np.concatenate(others)
        hold = plan.recipe.rules.hold
        codec = TableCodec.fit(plan.rows, plan.columns, plan.levels, plan.weights, beside, declared, plan.dates, hold)
        return codec.with_spellings(plan.spelled)
    scaling = plan.recipe.data.scaling or "standard"
    return NumericCodec.fit(plan.rows, plan.columns, scaling, plan.weights, shrink=plan.shrink)


def _complete(codec: TableCodec, rows: FloatArray) -> NDArray[np.float32]:
    """The numbers of rows of a table (n, D), with those of other rows in place of missing ones."""
    z, _, present, *_ = codec.encoded(rows)
    rng = stream(0, "numbers in place of missing ones")
    for column, there in zip(z.T, present.T, strict=True):
        if there.any():
            column[~there] = rng.choice(column[there], int((~there).sum()))
    return z


def prepare_again(plan: Plan, parts: Parts) -> Preparation:
    """The parts of a plan that was read from a run folder."""
    return _built(plan, _codec(plan), parts)


def _mixed(plan: Plan, codec: NumericCodec | TableCodec) -> tuple[Plan, TableMixture | None]:
    """The mixture that the network starts from, and the plan with the number of its components.

    Where a classifier tells its draws from many rows, it is one Gaussian, which says how columns go together. Of few
    rows a network learns less than a mixture knows.
    """
    components = plan.recipe.network.get("components")
    if components == 0 or plan.recipe.network.kind not in ("mlp", "table"):
        return plan, None
    if isinstance(codec, TableCodec):
        rows, levels = codec.encoded(plan.rows), codec.levels
    else:
        rows, levels = EncodedRows.whole(codec.encode(plan.rows)), ()
    mixture = fit_mixture(rows, levels, plan.seed, plan.weights, components)
    found = len(mixture.means)
    if components is None:
        many = len(plan.rows) >= FEW_ROWS
        if many and found > 1 and not stands_in(mixture, codec, plan.rows, plan.seed, plan.weights):
            mixture, found = fit_mixture(rows, levels, plan.seed, plan.weights, 1), 1
        found = 0 if plan.recipe.network.kind == "mlp" and found == 1 else found  # which starts from one as it is
    recipe = plan.recipe.updated({"network": {"components": found}})
    return replace(plan, recipe=recipe), mixture if found else None


def _built(plan: Plan, codec: NumericCodec | TableCodec, parts: Parts) -> Preparation:
    plan, mixture = _mixed(plan, codec)
    if isinstance(codec, TableCodec):
        denoiser = build_denoiser(plan.recipe, codec.shape[0], parts, plan.seed, levels=codec.levels)
    else:
        directions = torch.from_numpy(codec.directions) if plan.recipe.network.get("frequencies") else None
        classes = len(plan.classes)
        denoiser = build_denoiser(plan.recipe, len(plan.columns), parts, plan.seed, directions, classes=classes)
    if mixture is not None and parts.network is None:
        denoiser.network.mixture.load_state_dict(mixture.state_dict())  # type: ignore[union-attr]
    build_loss(plan.recipe, denoiser, parts)  # refuses an objective that cannot be built, before anything is written
    return Preparation(plan, codec, denoiser, parts)
