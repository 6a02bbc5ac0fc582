"""Two-sample metrics between generated and real rows, each with its floor.

The floor is the same metric, by the same code and for the same number of rows, between two independent real samples:
the score of a perfect model. Distances are computed on columns standardised by the real rows.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike

from driftfield.codecs import FloatArray, Scaler
from driftfield.errors import InputError
from driftfield.evaluation.classifiers import FOLDS, c2st, judge_settings
from driftfield.evaluation.distances import (
    KERNEL_ROWS,
    PROJECTIONS,
    kernel_distances,
    median_distance,
    sliced_wasserstein2,
    transport_blocks,
    wasserstein2,
)
from driftfield.evaluation.memorisation import Memorisation, memorisation
from driftfield.evaluation.metric import Measured, Metric
from driftfield.evaluation.ranges import out_of_range
from driftfield.evaluation.rows import checked, choose, standardised
from driftfield.seeds import stream

__all__ = ["Measured", "Memorisation", "Metric", "memorisation", "nll", "two_sample"]

Pair = tuple[Measured, Measured]  # a metric of the generated rows, and its floor
DISTANCE = "standard deviations"


def two_sample(
    generated: ArrayLike,
    real: ArrayLike,
    other: ArrayLike,
    seed: int = 0,
    columns: Sequence[str] | None = None,
) -> list[Metric]:
    """Every two-sample metric of ``generated`` against ``real``, with the floor of ``other`` against ``real``.

    Args:
        generated: rows of the model, (n, D), in the user's units.
        real: rows that training never saw, or fresh draws of a known distribution.
        other: a second, independent real sample. For a file these are training rows: they and the held-out rows are two
            samples of one distribution.
        seed: of every random choice. All three are subsampled to the size of the smallest.
        columns: their names, by default x1, x2, ..

    Returns:
        C2ST by k-NN and by boosting, Wasserstein-2, sliced Wasserstein-2, energy distance, squared MMD, and the
        fraction of rows out of the range of ``other`` (all of it) in the worst column.

    Raises:
        InputError: different columns, fewer than three rows, NaN or infinity.
    """
    sides = [checked(real, "real")]
    D = sides[0].shape[1]
    sides = [checked(generated, "generated", D), *sides, checked(other, "other real", D)]
    sizes = [len(rows) for rows in sides]
    n = min(sizes)
    streams = [stream(seed, "rows of a two-sample test", side) for side in range(3)]
    made, fresh, second = (choose(rows, n, rng) for rows, rng in zip(sides, streams, strict=True))
    cut = "" if max(sizes) == n else f"; all subsampled to the {n:,} rows of the smallest"
    return [
        *_classifiers(made, fresh, second, seed, cut),
        *_distances(made, fresh, second, seed, cut),
        out_of_range(made, sides[2], columns or [f"x{i + 1}" for i in range(D)]),
    ]


def _classifiers(made: FloatArray, fresh: FloatArray, second: FloatArray, seed: int, cut: str) -> Iterator[Metric]:
    n = len(made)
    neighbours, _ = judge_settings(n)
    labels = ("c2st_knn", f"C2ST, k-NN({neighbours})"), ("c2st_boosting", "C2ST, boosting")
    note = f"Accuracy at telling samples from real rows, {FOLDS}-fold; 0.5 is chance{cut}."
    for (name, label), value, floor in zip(labels, c2st(made, fresh, seed), c2st(second, fresh, seed), strict=True):
        yield _metric(name, label, (value, floor), "accuracy", 0.5, n, note)


def _distances(made: FloatArray, fresh: FloatArray, second: FloatArray, seed: int, cut: str) -> Iterator[Metric]:
    scaler = Scaler.fit(fresh, "standard")
    made, fresh, second = (standardised(scaler, rows) for rows in (made, fresh, second))
    n = len(made)

    def beside_floor(distance: Callable[[FloatArray, FloatArray, int], Measured]) -> Pair:
        return distance(made, fresh, seed), distance(second, fresh, seed)

    blocks, size = transport_blocks(n)
    note = "Root mean squared distance of the optimal transport to real rows, exact"
    if size < n:
        note += f", between {size:,} rows drawn" if blocks == 1 else f", over {blocks} blocks of {size:,} rows"
    note += cut + "."
    yield _metric("wasserstein2", "Wasserstein-2", beside_floor(wasserstein2), DISTANCE, 0.0, blocks * size, note)
    along = f"{PROJECTIONS} random directions" if made.shape[1] > 1 else "its only direction"
    note = f"Wasserstein-2 along {along}{cut}."
    yield _metric(
        "sliced_wasserstein2", "Sliced Wasserstein-2", beside_floor(sliced_wasserstein2), DISTANCE, 0.0, n, note
    )
    bandwidth = median_distance(fresh, seed)
    energy, mmd = zip(
        kernel_distances(made, fresh, bandwidth, seed), kernel_distances(second, fresh, bandwidth, seed), strict=True
    )
    used = min(n, KERNEL_ROWS)
    end = f"unbiased, so it can be negative{f'; {used:,} rows drawn' if used < n else ''}{cut}."
    yield _metric("energy", "Energy distance", energy, DISTANCE, 0.0, used, f"2E|x-y| - E|x-x'| - E|y-y'|, {end}")
    note = f"Squared distance of kernel means, Gaussian kernel of width {bandwidth:.3g} (median distance), {end}"
    yield _metric("mmd", "MMD, squared", mmd, "", 0.0, used, note)


def _metric(name: str, label: str, pair: Pair, unit: str, best: float, rows: int, note: str) -> Metric:
    value, floor = pair
    return Metric(name, label, value.value, floor.value, value.error, floor.error, unit, best, rows, note)


def nll(log_prob: ArrayLike, entropy: float | None = None, bound: bool = False) -> Metric:
    """Mean negative log-density of held-out rows, in nats; its floor is the entropy of their distribution, if known.

        NLL = -mean log p(x_i),      E NLL = H(q) + KL(q || p) >= H(q)      for rows of the distribution q.

    Args:
        log_prob: the log-density of each row, (n,), in nats; -inf makes the mean infinite.
        entropy: H(q) in nats, in the units of ``log_prob``.
        bound: ``log_prob`` is a lower bound on the log-density, so that the result is an upper bound on the NLL.

    Raises:
        InputError: no rows, or a log-density that is NaN or +inf.
    """
    values: FloatArray = np.asarray(log_prob, dtype=np.float64).ravel()
    bad = np.isnan(values) | (values == np.inf)
    if len(values) == 0 or bad.any():
        where = f"NaN or +inf in {int(bad.sum())} rows, first in row {int(bad.argmax())}" if len(values) else "no rows"
        raise InputError(f"The log-densities cannot be averaged: {where}.")
    impossible = int(np.isneginf(values).sum())
    note = "Mean -log p of held-out rows; the floor is the entropy, below which no mean can be."
    if impossible:
        note = f"Infinite: {impossible:,} held-out rows have density zero."
    error = float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 and not impossible else None
    best = float("nan") if entropy is None else entropy
    label = "NLL, upper bound" if bound else "NLL"
    return Metric("nll", label, -float(values.mean()), entropy, error, None, "nats", best, len(values), note)
