"""Classifier: the probabilities of a category given all else."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets

from driftfield.codecs import FloatArray
from driftfield.estimators.base import DiffusionEstimator, without_unseen
from driftfield.estimators.blocks import in_blocks
from driftfield.estimators.rows import read_training
from driftfield.estimators.targets import read_target, with_target
from driftfield.model.model import Model
from driftfield.model.table_densities import probabilities


class DiffusionClassifier(ClassifierMixin, DiffusionEstimator):
    """A classifier: the class is one more category of the table, with exact probabilities given the cells of a row.

    Cells may be missing, in training and in prediction, and columns of a frame may hold text; a text that no training
    row has counts as missing.

    What cannot be used is refused with InputError, which is a ValueError.

    Args:
        steps, width, depth, validation_fraction, recipe, random_state, verbose: as of
            :class:`~driftfield.estimators.DiffusionDensity`.

    Attributes:
        classes_: the classes, (K,).
        model_: the fitted :class:`driftfield.Model`, whose last column is y; None if there is one class.
        n_features_in_, feature_names_in_: as of any estimator.
    """

    classes_: NDArray[Any]
    model_: Model | None

    def fit(self, X: Any, y: Any) -> DiffusionClassifier:
        """Fit to rows X (n, C), an array or a frame, with classes y (n,).

        Raises:
            ValueError: X or y cannot be used, or a parameter is out of range.
        """
        values, self._layout = read_training(self, X)
        y = read_target(self, X, y)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        texts = tuple(str(name) for name in self.classes_)
        table = with_target(self._layout.table(values, real=True), codes.astype(np.float64), texts)
        self.model_ = self._fit_model(table, has_target=True) if len(texts) > 1 else None
        return self

    def predict_proba(self, X: Any) -> FloatArray:
        """The probability of each class for rows X (n, C); (n, K), in the order of ``classes_``."""
        rows, model = self._known(X), self.model_
        if model is None:
            return np.ones((len(rows), 1))
        rows = np.column_stack([rows, np.full(len(rows), np.nan)])
        return in_blocks(without_unseen(model, rows), lambda block: probabilities(model, block, model.columns[-1]))

    def predict(self, X: Any) -> NDArray[Any]:
        """The most probable class for each row of X (n, C); (n,)."""
        chances = self.predict_proba(X)
        found: NDArray[Any] = self.classes_[chances.argmax(1)]
        return found
