"""Regressor: the distribution of a number given all else, as its mean, quantiles, intervals and draws."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from scipy.special import ndtri
from sklearn.base import RegressorMixin
from sklearn.utils.validation import check_random_state
from torch import Tensor

from driftfield.codecs import FloatArray
from driftfield.errors import InputError
from driftfield.estimators.base import MOST_SEED, DiffusionEstimator, without_unseen
from driftfield.estimators.blocks import in_blocks
from driftfield.estimators.rows import read_training
from driftfield.estimators.targets import read_target, with_target
from driftfield.model.model import Model
from driftfield.model.sampling import How
from driftfield.model.tables import filled_by, table_codec
from driftfield.seeds import stream

TOGETHER = 1_024  # draws, of some rows, that a network sees at once


class DiffusionRegressor(RegressorMixin, DiffusionEstimator):
    """A regressor that knows the whole distribution of y given the cells of a row.

    All rows share the noise of their draws, whose quantiles are evenly spread. So a prediction is a function of its row
    alone, and its error falls as one over the draws. Cells may be missing, in training and in prediction, and columns
    of a frame may hold text; a text that no training row has counts as missing.

    What cannot be used is refused with InputError, which is a ValueError.

    Args:
        draws: of y for each row, from which means, quantiles and intervals are computed.
        steps, width, depth, validation_fraction, recipe, random_state, verbose: as of
            :class:`~driftfield.estimators.DiffusionDensity`.

    Attributes:
        model_: the fitted :class:`driftfield.Model`, whose last column is y; None if y has one value.
        n_features_in_, feature_names_in_: as of any estimator.
    """

    model_: Model | None

    def __init__(
        self,
        *,
        draws: int = 100,
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

    def fit(self, X: Any, y: Any) -> DiffusionRegressor:
        """Fit to rows X (n, C), an array or a frame, with numbers y (n,).

        Raises:
            ValueError: X or y cannot be used, or a parameter is out of range.
        """
        if self.draws < 1:
            raise InputError(f"The number of draws must be at least 1, got {self.draws}.")
        values, self._layout = read_training(self, X)
        y = read_target(self, X, y, np.float64)
        self._constant = float(y[0])
        table = with_target(self._layout.table(values, real=True), y)
        self.model_ = self._fit_model(table, has_target=True) if np.ptp(y) > 0 else None
        return self

    def predict(self, X: Any) -> FloatArray:
        """The mean of y given each row of X (n, C); (n,)."""
        found: FloatArray = self._spread(X).mean(1)
        return found

    def predict_quantiles(self, X: Any, quantiles: Sequence[float] = (0.05, 0.5, 0.95)) -> FloatArray:
        """Quantiles of y given each row of X (n, C); (n, Q).

        Raises:
            InputError: a quantile is not between 0 and 1.
        """
        wanted = np.asarray(quantiles, dtype=np.float64)
        if wanted.ndim != 1 or not ((wanted > 0) & (wanted < 1)).all():
            raise InputError(f"Quantiles must lie between 0 and 1, got {quantiles}.")
        found: FloatArray = np.quantile(self._spread(X), wanted, axis=1, method="hazen").T
        return found

    def predict_interval(self, X: Any, coverage: float = 0.9) -> FloatArray:
        """The central interval that holds y with this probability given each row of X (n, C): low and high, (n, 2).

        Raises:
            InputError: the coverage is not between 0 and 1.
        """
        if not 0 < coverage < 1:
            raise InputError(f"The coverage must lie between 0 and 1, got {coverage}.")
        return self.predict_quantiles(X, ((1 - coverage) / 2, (1 + coverage) / 2))

    def sample_y(self, X: Any, n_samples: int = 1, random_state: Any = 0) -> FloatArray:
        """Independent draws of y given each row of X (n, C); (n, n_samples)."""
        rows, rng = self._asked(X), check_random_state(random_state)
        if self.model_ is None:
            return np.full((len(rows), n_samples), self._constant)
        generator = np.random.default_rng(rng.randint(MOST_SEED))
        K, (D,) = len(table_codec(self.model_).levels), table_codec(self.model_).shape

        def drawn(block: FloatArray) -> FloatArray:
            many = len(block) * n_samples
            u = generator.random((many, K))
            noise = _noises(generator.standard_normal((many, D)), generator, 1)
            return self._draws(block, n_samples, u, noise)

        return in_blocks(rows, drawn, max(1, TOGETHER // n_samples))

    def _asked(self, X: Any) -> FloatArray:
        """Rows X with an empty cell for y; (n, C + 1)."""
        rows = self._known(X)
        return np.column_stack([rows, np.full(len(rows), np.nan)])

    def _spread(self, X: Any) -> FloatArray:
        """Draws of y given each row of X, evenly spread over its distribution; (n, draws)."""
        rows, M = self._asked(X), self.draws
        if self.model_ is None:
            return np.full((len(rows), M), self._constant)
        codec = table_codec(self.model_)
        u = _strata(M, len(codec.levels), self._seed, "categories")
        z = ndtri(_strata(M, codec.shape[0], self._seed, "numbers"))

        def drawn(block: FloatArray) -> FloatArray:
            later = stream(self._seed, "later noise that rows share")
            return self._draws(block, M, np.tile(u, (len(block), 1)), _noises(z, later, len(block)))

        return in_blocks(rows, drawn, max(1, TOGETHER // M))

    def _draws(self, rows: FloatArray, M: int, u: FloatArray, noises: Iterator[FloatArray]) -> FloatArray:
        """M draws of the last column of rows (n, C), from u (n M, K) and noise (n M, D); (n, M)."""
        model = self.model_
        assert model is not None
        many, last = np.repeat(without_unseen(model, rows), M, axis=0), rows.shape[1] - 1

        def noise() -> Tensor:
            return torch.from_numpy(next(noises)).float().to(model.device)

        drawn = np.broadcast_to(np.arange(rows.shape[1]) == last, many.shape)
        found = filled_by(model, many, drawn, torch.from_numpy(u).to(model.device), noise, How())
        return found[:, last].reshape(len(rows), M)


def _strata(n: int, columns: int, seed: int, purpose: str) -> FloatArray:
    """(k + 1/2) / n for k = 0 .. n - 1, in each column in another order; (n, columns)."""
    rng = stream(seed, f"order of evenly spread {purpose}")
    return (rng.permuted(np.tile(np.arange(n)[:, None], columns), axis=0) + 0.5) / n


def _noises(first: FloatArray, rng: np.random.Generator, rows: int) -> Iterator[FloatArray]:
    """Noise that ``rows`` rows share: ``first`` (M, D), then fresh draws; (rows M, D) each."""
    each = first
    while True:
        yield np.tile(each, (rows, 1))
        each = rng.standard_normal(first.shape)
