"""Imputer: missing cells drawn from, or estimated by, a model of all cells."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from driftfield.codecs import FloatArray, TableCodec
from driftfield.errors import InputError
from driftfield.estimators.base import DiffusionEstimator, without_unseen
from driftfield.estimators.rows import filled_frame, read_rows, read_training
from driftfield.model.model import Model
from driftfield.modes import threads


class DiffusionImputer(OneToOneFeatureMixin, TransformerMixin, DiffusionEstimator):
    """An imputer: fills missing cells given the other cells of their row, and keeps all others exactly.

    A draw has the spread of the data, as multiple imputation needs; the mean or mode of several draws has a smaller
    error. A frame comes back as a frame, with text where it has text. A column with one value is filled with it, and
    one without any value stays empty.

    What cannot be used is refused with InputError, which is a ValueError.

    Args:
        draws: how many draws ``transform_draws`` makes, and ``transform`` takes the mean of with ``point``.
        point: whether ``transform`` fills in the mean of the draws, or the mode of a category, in place of one draw.
        steps, width, depth, validation_fraction, recipe, random_state, verbose: as of
            :class:`~driftfield.estimators.DiffusionDensity`.

    Attributes:
        model_: the fitted :class:`driftfield.Model`, of the columns that vary; None if there are none.
        n_features_in_, feature_names_in_: as of any estimator.
    """

    model_: Model | None

    def __init__(
        self,
        *,
        draws: int = 10,
        point: bool = False,
        steps: int | None = None,
        width: int | None = None,
        depth: int | None = None,
        validation_fraction: float | None = None,
        recipe: Any = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            steps=steps,
            width=width,
            depth=depth,
            validation_fraction=validation_fraction,
            recipe=recipe,
            random_state=random_state,
            verbose=verbose,
        )
        self.draws = draws
        self.point = point

    def fit(self, X: Any, y: Any = None) -> DiffusionImputer:
        """Fit to rows X (n, C), an array or a frame; ``y`` is ignored.

        Raises:
            InputError: there are no draws, or a parameter is out of range.
        """
        if self.draws < 1:
            raise InputError(f"The number of draws must be at least 1, got {self.draws}.")
        values, layout = read_training(self, X)
        self._layout = layout
        self.model_ = self._fit_model(layout.table(values), as_a_table=True) if layout.varying.any() else None
        return self

    def transform(self, X: Any) -> Any:
        """X (n, C) with its missing cells filled: an array, or a frame where X is one."""
        values = self._read(X)
        draws = self._filled(values, self.draws if self.point else 1)
        return self._written(X, values, self._estimate(draws) if self.point else draws[0])

    def transform_draws(self, X: Any) -> list[Any]:
        """``draws`` tables, each X (n, C) with other draws of its missing cells; the first is that of a draw."""
        values = self._read(X)
        return [self._written(X, values, filled) for filled in self._filled(values, self.draws)]

    def _read(self, X: Any) -> FloatArray:
        check_is_fitted(self)
        return read_rows(self, X, self._layout)

    def _filled(self, values: FloatArray, draws: int) -> FloatArray:
        """Rows (n, C) with missing cells filled; (draws, n, C)."""
        layout = self._layout
        found = np.tile(np.where(np.isnan(values), layout.constant, values), (draws, 1, 1))
        holes = np.isnan(values[:, layout.varying]).any(1)
        if self.model_ is not None and holes.any():
            rows = values[np.ix_(holes, layout.varying)]
            with threads(1):
                filled = self.model_.impute(without_unseen(self.model_, rows), self._seed, draws=draws)
            found[np.ix_(np.ones(draws, dtype=bool), holes, layout.varying)] = np.where(np.isnan(rows), filled, rows)
        return found

    def _estimate(self, draws: FloatArray) -> FloatArray:
        """The mean of draws (m, n, C) of numbers, and the mode of categories; (n, C)."""
        found: FloatArray = draws.mean(0)
        if self.model_ is not None and isinstance(self.model_.codec, TableCodec):
            for j, part in zip(np.flatnonzero(self._layout.varying), self.model_.codec.parts, strict=True):
                found[:, j] = part.middle(draws[:, :, j])
        return found

    def _written(self, X: Any, values: FloatArray, filled: FloatArray) -> Any:
        if hasattr(X, "columns") and len(set(X.columns)) == len(X.columns):
            return filled_frame(X, filled, self._layout)
        return np.where(np.isnan(values), filled, values)
