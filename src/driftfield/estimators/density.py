"""Density: the log-density of rows, and new rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import DensityMixin
from sklearn.utils.validation import check_is_fitted, check_random_state

from driftfield.codecs import FloatArray
from driftfield.estimators.base import MOST_SEED, DiffusionEstimator, scored, varying
from driftfield.estimators.rows import frame_of, read_training
from driftfield.model.model import Model


class DiffusionDensity(DensityMixin, DiffusionEstimator):
    """A density of rows: ``score_samples`` and ``sample``, as of :class:`sklearn.neighbors.KernelDensity`.

    Complete numbers have a density. Where cells are missing, or columns hold text, a row has the mass of its categories
    and whole numbers times the density of its other numbers, and a missing cell is left out. Columns with one value are
    left out too.

    What cannot be used is refused with InputError, which is a ValueError.

    Args:
        steps: of training; those of the recipe by default, or 1,500: 1,000 x 10 numbers take 1 to 4 s on two cores.
        width, depth: units of each hidden layer of the network, and number of layers; chosen from the data by default.
        validation_fraction: fraction of the rows that decide when to stop; 0.1 by default, 0 trains on all rows.
        recipe: all else: the name of a recipe, a file, or a mapping of sections, such as
            ``{"train": {"lr": 1e-3}, "likelihood": {"steps": 20}}``.
        random_state: of training, an int for the same result at each call.
        verbose: 1 prints the progress.

    Attributes:
        model_: the fitted :class:`driftfield.Model`, of the columns that vary.
        n_features_in_, feature_names_in_: as of any estimator.
    """

    model_: Model

    def fit(self, X: Any, y: Any = None) -> DiffusionDensity:
        """Fit to rows X (n, C), an array or a frame; ``y`` is ignored.

        Raises:
            InputError: no column varies, or a parameter is out of range.
        """
        values, layout = read_training(self, X)
        self._layout = varying(layout)
        self.model_ = self._fit_model(layout.table(values))
        return self

    def score_samples(self, X: Any) -> FloatArray:
        """The log-density of each row of X (n, C) in nats; (n,).

        It is minus infinity for a row with a text, or a level of a category, that no training row has.

        Raises:
            InputError: X does not fit the training rows; or it has missing cells and they had none, unless the recipe
                is that of a table.
        """
        rows = self._known(X)
        return scored(self.model_, rows, lambda block: self.model_.log_prob(block, seed=self._seed)[0])

    def score(self, X: Any, y: Any = None) -> float:
        """The mean log-density of the rows X (n, C) in nats, which is larger for a better model.

        It is the mean, not the sum as of ``KernelDensity``, so that scores of parts of different sizes compare.
        """
        return float(np.mean(self.score_samples(X)))

    def sample(self, n_samples: int = 1, random_state: Any = None) -> Any:
        """New rows (n_samples, C): an array, or a frame of the same types where the training rows were a frame."""
        check_is_fitted(self)
        seed = int(check_random_state(random_state).randint(MOST_SEED))
        rows = self._layout.whole(self.model_.sample(n_samples, seed))
        return frame_of(rows, self._layout) if self._layout.library else rows
