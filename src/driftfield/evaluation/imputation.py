r"""Imputation: how well hidden cells are filled, and how honest the draws are, beside other imputers.

A fifth of the cells of held-out rows are hidden and drawn M times. For a number with the true value y and draws y_i, in
standard deviations of its column,

    CRPS = E|y_i - y| - 1/2 E|y_i - y_j|      (Gneiting, Raftery 2007, eq. 21; lower is better, and proper)

and the central 50 and 90 % of the draws should hold the true value so often. For a category, the accuracy is that of
the most frequent draw, and the log-loss that of the drawn frequencies, with half a draw added to each level.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from driftfield.codecs import FloatArray, TableCodec
from driftfield.seeds import derive, stream

HIDDEN = 0.2
MOST_ROWS, DRAWS = 500, 40
MOST_FITTED = 5_000  # training rows of the other imputers
NEIGHBOURS = 10


@dataclass(frozen=True)
class Imputation:
    """How one method fills hidden cells; NaN where it does not apply.

    Attributes:
        name: of the method.
        rmse: of the mean of the draws, over hidden numbers in standard deviations.
        crps: mean, in standard deviations.
        within_50, within_90: fraction of true values in the central 50 and 90 % of the draws.
        accuracy, log_loss: of hidden categories; nats.
        numbers, categories: how many cells were hidden.
    """

    name: str
    rmse: float
    crps: float
    within_50: float
    within_90: float
    accuracy: float
    log_loss: float
    numbers: int
    categories: int

    def cells(self) -> tuple[str, ...]:
        """Its name and scores as text, in the order of the attributes; "" where one does not apply."""
        scores = self.rmse, self.crps, self.within_50, self.within_90, self.accuracy, self.log_loss
        return self.name, *("" if np.isnan(score) else f"{score:.3f}" for score in scores)


Fill = Callable[[FloatArray], FloatArray]  # rows (n, C) with holes -> draws (M, n, C)


def judge_imputation(
    codec: TableCodec, own: Fill, train: FloatArray, held_out: FloatArray, seed: int = 0, rivals: bool = True
) -> list[Imputation]:
    """The model's own imputation of hidden cells of held-out rows (n, C), then those of scikit-learn's imputers."""
    rows = codec.usable(held_out[:MOST_ROWS])
    hidden = hide(rows, seed)
    for _ in codec.columns:  # what a rule cannot use without a hidden cell is hidden as well
        hidden = np.isnan(codec.usable(np.where(hidden, np.nan, rows))) & ~np.isnan(rows)
    if not hidden.any():
        return []
    holes = np.where(hidden, np.nan, rows)
    spread = np.nanstd(train, axis=0)
    found = [score_draws("this model", codec, own(holes), rows, hidden, spread)]
    for name, filled in _rivals(codec, train, holes, seed) if rivals else ():
        found.append(score_draws(name, codec, filled, rows, hidden, spread))
    return found


def hide(rows: FloatArray, seed: int) -> NDArray[np.bool_]:
    """Which cells are hidden: a fifth of those that are there, but never all of a row."""
    u = stream(seed, "cells that are hidden").random(rows.shape)
    there = ~np.isnan(rows)
    hidden = there & (u < HIDDEN)
    hidden[(hidden == there).all(1)] = False
    return hidden


def score_draws(
    name: str, codec: TableCodec, draws: FloatArray, rows: FloatArray, hidden: NDArray[np.bool_], spread: FloatArray
) -> Imputation:
    """The scores of draws (M, n, C) of the hidden cells of rows (n, C)."""
    errors, scores, half, most = [], [], [], []
    hits, losses = [], []
    for i, part in enumerate(codec.parts):
        y, of = rows[hidden[:, i], i], draws[:, hidden[:, i], i]
        if part.numeric:
            of, scale = part.near(of, y), spread[i] or 1.0
            errors.append((of.mean(0) - y) / scale)
            if len(of) > 1:
                scores.append(crps(of, y) / scale)
                half.append(_within(of, y, 0.5))
                most.append(_within(of, y, 0.9))
        else:
            chances = np.stack([(of == value).sum(0) for value in part.values])
            true = np.stack([y == value for value in part.values])
            hits.append(true[chances.argmax(0), np.arange(len(y))])
            if len(of) > 1:
                smooth = (chances + 0.5) / (len(of) + 0.5 * len(part.values))
                losses.append(-np.log(smooth[true.argmax(0), np.arange(len(y))]))
    numbers = [i for i, part in enumerate(codec.parts) if part.numeric]
    return Imputation(
        name=name,
        rmse=float(np.sqrt(_mean([error**2 for error in errors]))),
        crps=_mean(scores),
        within_50=_mean(half),
        within_90=_mean(most),
        accuracy=_mean(hits),
        log_loss=_mean(losses),
        numbers=int(hidden[:, numbers].sum()),
        categories=int(hidden.sum() - hidden[:, numbers].sum()),
    )


def crps(draws: FloatArray, y: FloatArray) -> FloatArray:
    """The continuous ranked probability score of draws (M, n) for true values y (n,), unbiased in M; (n,)."""
    M = len(draws)
    ordered = np.sort(draws, axis=0)
    weights = 2 * np.arange(1, M + 1) - M - 1
    between = 2 * (weights[:, None] * ordered).sum(0) / (M * (M - 1))
    found: FloatArray = np.abs(draws - y).mean(0) - between / 2
    return found


def _within(draws: FloatArray, y: FloatArray, level: float) -> NDArray[np.bool_]:
    """Whether y (n,) lies in the central part of draws (M, n), whose ends count for a part where they tie."""
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=0, method="weibull")
    inside: NDArray[np.bool_] = (y >= low) & (y <= high)
    return inside


def _mean(parts: Sequence[NDArray[np.generic]]) -> float:
    return float(np.concatenate(parts).mean()) if parts and sum(map(len, parts)) else float("nan")


def _rivals(codec: TableCodec, train: FloatArray, holes: FloatArray, seed: int) -> Iterator[tuple[str, FloatArray]]:
    """The imputers of scikit-learn on one-hot columns: the mean or mode, nearest neighbours, chained regressions."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401 - makes the next import work
    from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

    order = stream(seed, "rows of other imputers").permutation(len(train))[:MOST_FITTED]
    fitted, scaled = _one_hot(codec, train[order]), _one_hot(codec, holes)
    middle, spread = np.nanmean(fitted, 0), np.nanstd(fitted, 0)
    spread[spread == 0] = 1.0
    state = derive(seed, "other imputers", bits=32)
    methods = (
        ("mean and mode", SimpleImputer()),
        (f"{NEIGHBOURS} nearest neighbours", KNNImputer(n_neighbors=NEIGHBOURS)),
        ("chained regressions", IterativeImputer(random_state=state, max_iter=5)),
    )
    for name, method in methods:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            warnings.simplefilter("ignore", UserWarning)  # columns without a value
            method.set_params(keep_empty_features=True)
            filled = method.fit((fitted - middle) / spread).transform((scaled - middle) / spread) * spread + middle
        yield name, _from_one_hot(codec, filled)[None]


def _one_hot(codec: TableCodec, rows: FloatArray) -> FloatArray:
    columns = []
    for part, cells in zip(codec.parts, rows.T, strict=True):
        if part.numeric:
            columns.append(cells[:, None])
        else:
            hot = (cells[:, None] == np.array(part.values)).astype(np.float64)
            hot[np.isnan(cells)] = np.nan
            columns.append(hot)
    return np.concatenate(columns, 1)


def _from_one_hot(codec: TableCodec, table: FloatArray) -> FloatArray:
    rows, place = np.empty((len(table), len(codec.parts))), 0
    for i, part in enumerate(codec.parts):
        width = 1 if part.numeric else len(part.values)
        block = table[:, place : place + width]
        rows[:, i] = block[:, 0] if part.numeric else np.array(part.values)[block.argmax(1)]
        place += width
    return rows
