"""The base of the estimators: their parameters, and the way from a table to a model."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, check_random_state

from driftfield.codecs import Codec, FloatArray, TableCodec
from driftfield.datasets import Table
from driftfield.diffusion import TargetLoss
from driftfield.errors import InputError
from driftfield.estimators.blocks import in_blocks
from driftfield.estimators.rows import Layout, read_rows, unseen
from driftfield.fitting.fit import carry_out
from driftfield.fitting.preparation import prepare
from driftfield.model.model import Model
from driftfield.modes import own_modes
from driftfield.recipes.building import Parts
from driftfield.recipes.defaults import DROPOUT, as_table
from driftfield.recipes.schema import Recipe, load_recipe
from driftfield.training.callbacks import Callbacks, Report

STEPS, STEPS_TO_FILL = 1_500, 600  # the latter of an imputer with few rows
FEW_ROWS_TO_FILL = 1_000
BATCH = 1_024  # rows of a step, of a regressor or a classifier with so many
MOST_SEED = 2**31 - 1


class DiffusionEstimator(BaseEstimator):
    """What all estimators have: a model of the columns that vary, fitted by :func:`driftfield.fit`."""

    def __init__(
        self,
        *,
        steps: int | None = None,
        width: int | None = None,
        depth: int | None = None,
        validation_fraction: float | None = None,
        recipe: Any = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.steps = steps
        self.width = width
        self.depth = depth
        self.validation_fraction = validation_fraction
        self.recipe = recipe
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _draw_seed(self) -> None:
        """Draw the seed of the fit and of all that is predicted after it."""
        self._seed = int(check_random_state(self.random_state).randint(MOST_SEED))

    @own_modes
    def _fit_model(self, table: Table, as_a_table: bool = False, has_target: bool = False) -> Model:
        """The model of a table.

        Args:
            as_a_table: it is to fill cells, also of complete numbers.
            has_target: only its last column is asked for, given the others.
        """
        self._draw_seed()
        few = as_a_table and len(table.values) < FEW_ROWS_TO_FILL
        recipe = self._recipe(STEPS_TO_FILL if few else STEPS)
        if as_a_table or table.levels:
            recipe = as_table(recipe)
        if few:
            recipe = recipe.updated(_for_filling(recipe))
        if has_target:
            recipe = recipe.updated({"sample": {"round": False}, **_for_a_target(recipe, len(table.values))})
        prepared = prepare(table, recipe, self._seed)
        if has_target:
            prepared = replace(prepared, parts=Parts(objective=_of_last_column(prepared.codec)))
        callbacks = Callbacks(observe=self._observe if self.verbose else None, message=self._message)
        return carry_out(prepared, None, "auto", callbacks)

    def _recipe(self, default_steps: int) -> Recipe:
        """The recipe with the parameters of the estimator, which beat its own keys."""
        recipe = load_recipe(self.recipe)
        steps = self.steps
        if steps is None and recipe.train.steps is None and recipe.train.epochs is None:
            steps = default_steps
        chosen: dict[str, dict[str, Any]] = {
            "train": {"steps": steps, "validation": self.validation_fraction},
            "network": {"width": self.width, "depth": self.depth},
        }
        own = {
            section: {key: _plain(value) for key, value in keys.items() if value is not None}
            for section, keys in chosen.items()
        }
        return recipe.updated(own | {"data": {"held_out": 0.0}}, "parameters of the estimator")

    def _known(self, X: Any) -> FloatArray:
        """Rows X (n, C) of the columns that vary, for a model that has them first; infinity for cells unseen before."""
        check_is_fitted(self)
        layout: Layout = self._layout
        values = read_rows(self, X, layout)[:, layout.varying]
        return values

    def _observe(self, report: Report) -> None:
        print(f"[{type(self).__name__}] step {report.step} of {report.steps}, loss {report.loss:.4f}")

    def _message(self, text: str) -> None:
        if self.verbose:
            print(f"[{type(self).__name__}] {text}")


def _for_a_target(recipe: Recipe, n: int) -> dict[str, dict[str, Any]]:
    """What suits the conditional of one column: large batches, and no mixture, which is made for all of them.

    With ten columns and 200 rows, a mixture to start from cost the regressor 0.1 of R^2.
    """
    changes: dict[str, dict[str, Any]] = {}
    if recipe.network.get("components") is None:
        changes["network"] = {"components": 0}
    if recipe.train.batch is None and n >= BATCH:
        changes["train"] = {"batch": BATCH}
    return changes


def _for_filling(recipe: Recipe) -> dict[str, dict[str, Any]]:
    """What suits filling the cells of few rows: dropout, and no row set aside to decide when to stop.

    A tenth of 140 rows says little of when to stop, and is missed in training.
    """
    changes: dict[str, dict[str, Any]] = {}
    if recipe.network.get("dropout") is None:
        changes["network"] = {"dropout": DROPOUT}
    if recipe.train.validation is None:
        changes["train"] = {"validation": 0.0}
    return changes


def _of_last_column(codec: Codec) -> TargetLoss:
    """The objective of the last column of a table given the others."""
    assert isinstance(codec, TableCodec)
    if codec.rules is not None:
        raise InputError("An estimator of a target takes no rules: leave out rules.hold.")
    last = len(codec.columns) - 1
    number, category = (each.index(last) if last in each else None for each in (codec.numbers, codec.categories))
    return TargetLoss(number, category)


def scored(model: Model, rows: FloatArray, score: Callable[[FloatArray], FloatArray]) -> FloatArray:
    """What ``score`` returns for rows (n, C), minus infinity for those with a cell that no training row has; (n,).

    Raises:
        InputError: cells are missing, and the model knows only whole rows.
    """
    if not isinstance(model.codec, TableCodec) and np.isnan(rows).any():
        raise InputError(
            "X has missing cells, but the training rows had none, so that only whole rows can be scored: fit again "
            'with recipe={"network": {"kind": "table"}, "objective": {"kind": "table"}}.'
        )
    strange = unseen(model.codec, rows)
    found = in_blocks(np.where(strange, np.nan, rows), score)
    return np.where(strange.any(1), -np.inf, found)


def without_unseen(model: Model, rows: FloatArray) -> FloatArray:
    """Rows (n, C) with missing cells in place of those that hold what the training rows never did."""
    return np.where(unseen(model.codec, rows), np.nan, rows)


def varying(layout: Layout) -> Layout:
    """The layout itself. Raises InputError where no column varies, so that there is no density."""
    if not layout.varying.any():
        raise InputError("Every column has the same value in all rows, so that there is nothing to learn: add others.")
    return layout


def _plain(value: Any) -> Any:
    """A number of NumPy as one of Python."""
    return value.item() if isinstance(value, np.generic) else value
