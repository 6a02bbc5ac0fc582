"""Memorisation: do generated rows lie closer to the training rows than fresh real rows do?

The distance of any row to its nearest training row is small where the distribution is dense. Held-out rows therefore
set the scale: the generated rows of a model that has learned the distribution have the same distribution of distances,
and those of a model that stores its training rows have distances near zero. There are two measures: the ratio of the
medians, and the fraction of generated rows that are closer than the closest one per cent of held-out rows. The second
detects a model that copies only occasionally, which leaves the median unchanged.

Source: the three-sample test of Meehan et al. 2020, A non-parametric test to detect data-copying in generative models,
https://arxiv.org/abs/2004.05675.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from driftfield.codecs import FloatArray, Scaler
from driftfield.evaluation.metric import Metric
from driftfield.evaluation.rows import checked, choose, standardised
from driftfield.seeds import stream
from driftfield.wording import share

MOST_ROWS = 10_000
MOST_TRAINING_ROWS = 200_000
CLOSEST = 0.01  # fraction of held-out rows that counts as suspiciously close to a training row
SAME = 1e-6  # standard deviations: a copy that went through float32 is still a copy
LEVEL = 3e-5  # probability of a false alarm in each of two exact tests; that of 4 standard errors of a normal
MATERIAL = 0.01  # and the smallest excess fraction that matters in practice, even where less is significant


@dataclass(frozen=True)
class Memorisation:
    """Distances to the nearest training row, in standard deviations of the training rows.

    Attributes:
        generated: of generated rows, (rows,).
        held_out: of as many held-out rows, (rows,).
        training_rows: number of training rows they were compared with.
        duplicates: fraction of generated rows that equal a training row, to 1e-6 standard deviations.
        held_out_duplicates: the same for held-out rows; above zero where the table repeats rows.
    """

    generated: FloatArray
    held_out: FloatArray
    training_rows: int
    duplicates: float
    held_out_duplicates: float

    @property
    def rows(self) -> int:
        """Rows per side."""
        return len(self.generated)

    @property
    def median_generated(self) -> float:
        """Median distance of generated rows."""
        return float(np.median(self.generated))

    @property
    def median_held_out(self) -> float:
        """Median distance of held-out rows."""
        return float(np.median(self.held_out))

    @property
    def ratio(self) -> float:
        """Median of generated over median of held-out distances: 1 is ideal, 0 is memorised; nan for 0 / 0."""
        if self.median_held_out == 0:
            return float("nan") if self.median_generated == 0 else float("inf")
        return self.median_generated / self.median_held_out

    @property
    def threshold(self) -> float:
        """The k-th smallest held-out distance, k = 1 % of rows + 1 rounded, at least 1."""
        return float(np.sort(self.held_out)[self._rank - 1])

    @property
    def closer(self) -> float:
        """The fraction of generated rows closer to a training row than ``threshold``."""
        return float(np.mean(self.generated < self.threshold))

    @property
    def expected(self) -> float:
        """Mean of ``closer`` for fresh real rows: k / (rows + 1), by exchangeability; about 0.01 from 100 rows on."""
        return self._rank / (self.rows + 1)

    @property
    def expected_error(self) -> float:
        """The standard deviation of ``closer`` for fresh real rows.

        The fraction below the k-th of n order statistics is Beta(k, n + 1 - k), so that the count among n others is
        beta-binomial: Var = p (1 - p) (2n + 1) / (n (n + 2)), with p = k / (n + 1).
        """
        p, n = self.expected, self.rows
        return float(np.sqrt(p * (1 - p) * (2 * n + 1) / (n * (n + 2))))

    @property
    def error(self) -> float:
        """Standard error of ``closer``: the binomial one of p = (count + 1) / (rows + 2), and that of the threshold."""
        p = (self.closer * self.rows + 1) / (self.rows + 2)
        of_threshold = self.expected * (1 - self.expected) / (self.rows + 2)
        return float(np.sqrt(p * (1 - p) / self.rows + of_threshold))

    @property
    def present(self) -> bool:
        """Whether generated rows are close to training rows significantly and materially more often than fresh rows."""
        return self.closer > self.highest or self.copied

    @property
    def highest(self) -> float:
        """The fraction ``closer`` from which on it is significant, by its beta-binomial distribution, and material."""
        from scipy.stats import betabinom

        count = float(betabinom.isf(LEVEL, self.rows, self._rank, self.rows + 1 - self._rank))
        return max(count / self.rows, self.expected + MATERIAL)

    @property
    def copied(self) -> bool:
        """Whether significantly and materially more generated than held-out rows equal a training row.

        Of all copies, those among the generated rows are hypergeometric if both sides are alike (Fisher's exact test).
        """
        from scipy.stats import hypergeom

        made, real = (round(fraction * self.rows) for fraction in (self.duplicates, self.held_out_duplicates))
        chance = float(hypergeom.sf(made - 1, 2 * self.rows, made + real, self.rows))
        return chance <= LEVEL and made - real > MATERIAL * self.rows

    @property
    def _rank(self) -> int:
        return max(1, round(CLOSEST * (self.rows + 1)))

    def metrics(self) -> list[Metric]:
        """Three metrics: the ratio of the medians, the fraction of close rows, and the fraction of duplicates."""
        made, real = _median_error(self.generated), _median_error(self.held_out)
        error = floor_error = None
        if self.median_held_out > 0:
            floor_error = float(np.sqrt(2)) * real / self.median_held_out
            error = float(np.hypot(made, self.ratio * real)) / self.median_held_out
        closest = share(self.expected, self.rows, "held-out rows")
        return [
            Metric(
                "memorisation_ratio", "Distance to training rows", self.ratio, 1.0, error, floor_error, "ratio", 1.0,
                self.rows,
                "Median distance to the nearest training row, generated over held-out; well below 1 is memorised.",
            ),
            Metric(
                "memorisation_closer", "Rows close to training", self.closer, self.expected, self.error,
                self.expected_error, "fraction", self.expected, self.rows,
                f"Fraction of samples closer to a training row than the closest {closest}.",
            ),
            Metric(
                "duplicates", "Copies of training rows", self.duplicates, self.held_out_duplicates,
                _fraction_error(self.duplicates, self.rows), _fraction_error(self.held_out_duplicates, self.rows),
                "fraction", 0.0, self.rows,
                f"Fraction of samples that equal one of {self.training_rows:,} training rows.",
            ),
        ]  # fmt: skip


def memorisation(generated: ArrayLike, train: ArrayLike, held_out: ArrayLike, seed: int = 0) -> Memorisation:
    """Compare generated rows (n, D) and held-out rows (m, D) with the training rows (N, D), in the user's units.

    Columns are standardised by the training rows. Both sides are subsampled by ``seed`` to the same number of rows, at
    most 10,000, and the training rows to at most 200,000.

    Raises:
        InputError: different columns, fewer than three rows, NaN or infinity.
    """
    rows = checked(train, "training", fewest=1)
    scaler = Scaler.fit(rows, "standard")
    made, real = (
        checked(array, name, rows.shape[1]) for array, name in ((generated, "generated"), (held_out, "held-out"))
    )
    n = min(len(made), len(real), MOST_ROWS)
    streams = [stream(seed, "rows of the memorisation test", side) for side in range(3)]
    sizes = (n, n, MOST_TRAINING_ROWS)
    made, real, rows = (
        standardised(scaler, choose(array, size, rng))
        for array, size, rng in zip((made, real, rows), sizes, streams, strict=True)
    )
    distances = nearest_distances(made, rows), nearest_distances(real, rows)
    copies = [float(np.mean(distance <= SAME)) for distance in distances]
    return Memorisation(*distances, len(rows), *copies)


def nearest_distances(rows: FloatArray, among: FloatArray) -> FloatArray:
    """The Euclidean distance (n,) of each of ``rows`` (n, D) to the nearest of ``among`` (N, D).

    Recomputed from the neighbour that was found: with many columns the search expands |x - y|^2, whose rounding error
    would hide a copy.
    """
    from sklearn.neighbors import NearestNeighbors

    neighbour = NearestNeighbors(n_neighbors=1).fit(among).kneighbors(rows, return_distance=False)[:, 0]
    distances: FloatArray = np.linalg.norm(rows - among[neighbour], axis=1)
    return distances


def _median_error(values: FloatArray) -> float:
    """The standard error of a median: half the distance between the quantiles 1/2 -+ 1/(2 sqrt n) (Woodruff 1952)."""
    half = 0.5 / np.sqrt(len(values))
    low, high = np.quantile(values, [0.5 - half, 0.5 + half])
    return float(high - low) / 2


def _fraction_error(fraction: float, n: int) -> float:
    """The binomial standard error of a fraction of n rows, with one success and one failure added to avoid 0."""
    p = (fraction * n + 1) / (n + 2)
    return float(np.sqrt(p * (1 - p) / n))
