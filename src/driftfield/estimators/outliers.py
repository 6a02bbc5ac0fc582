"""Outliers: rows that are unlikely under a density of the training rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import OutlierMixin

from driftfield.codecs import FloatArray, TableCodec
from driftfield.errors import InputError
from driftfield.estimators.base import DiffusionEstimator, scored, varying
from driftfield.estimators.rows import read_training
from driftfield.model.model import Model
from driftfield.model.surprise import row_surprise, usual_surprise
from driftfield.modes import threads
from driftfield.seeds import stream

MOST_ROWS = 2_000  # training rows whose scores say where outliers begin
USUAL_ROWS = 50  # training rows that say how surprising a cell usually is, to some hundredths of a nat
USUAL_STEPS = 10  # Runge-Kutta steps of their densities
STEPS = 20  # Runge-Kutta steps at most: scores are compared, so that thousandths of a nat do not matter


class DiffusionOutlierDetector(OutlierMixin, DiffusionEstimator):
    """A detector of outliers: rows of low density, of arrays and frames with missing cells and text.

    The score of a row is its log-density. Where cells are missing or columns hold text, it is the log-probability of
    what is there, above what is usual for such cells, so that rows with different missing cells compare.

    What cannot be used is refused with InputError, which is a ValueError.

    Args:
        contamination: fraction of the training rows that count as outliers, above 0 and at most 0.5.
        steps, width, depth, validation_fraction, recipe, random_state, verbose: as of
            :class:`~driftfield.estimators.DiffusionDensity`.

    Attributes:
        offset_: the score below which a row is an outlier; from at most 2,000 of the training rows.
        model_: the fitted :class:`driftfield.Model`, of the columns that vary.
        n_features_in_, feature_names_in_: as of any estimator.
    """

    model_: Model
    offset_: float

    def __init__(
        self,
        *,
        contamination: float = 0.1,
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
        self.contamination = contamination

    def fit(self, X: Any, y: Any = None) -> DiffusionOutlierDetector:
        """Fit to rows X (n, C), an array or a frame, most of which are no outliers; ``y`` is ignored.

        Raises:
            InputError: the contamination is not in (0, 0.5], no column varies, or a parameter is out of range.
        """
        if not 0 < self.contamination <= 0.5:
            raise InputError(f"The contamination must be in (0, 0.5], got {self.contamination}.")
        values, layout = read_training(self, X)
        self._layout = varying(layout)
        self.model_ = self._fit_model(layout.table(values))
        rows = values[:, layout.varying]
        self._usual = None
        if isinstance(self.model_.codec, TableCodec):
            with threads(1):
                self._usual = np.nan_to_num(usual_surprise(self.model_, self._seed, USUAL_ROWS, USUAL_STEPS))
        some = stream(self._seed, "rows that say where outliers begin").permutation(len(rows))[:MOST_ROWS]
        self.offset_ = float(np.percentile(self._scores(rows[some]), 100 * self.contamination))
        return self

    def score_samples(self, X: Any) -> FloatArray:
        """The score of each row of X (n, C), in nats; low for outliers, (n,)."""
        return self._scores(self._known(X))

    def decision_function(self, X: Any) -> FloatArray:
        """``score_samples`` less ``offset_`` for rows X (n, C): negative for outliers; (n,)."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> NDArray[np.int64]:
        """-1 for outliers among the rows X (n, C), 1 for others; (n,)."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def _scores(self, rows: FloatArray) -> FloatArray:
        return scored(self.model_, rows, self._score)

    def _score(self, rows: FloatArray) -> FloatArray:
        if self._usual is None:
            steps = min(STEPS, self.model_.recipe.likelihood.steps)
            return self.model_.log_prob(rows, steps=steps, seed=self._seed)[0]
        return -row_surprise(self.model_, rows, self._seed, usual=self._usual)
