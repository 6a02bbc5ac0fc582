r"""Rows out of range: how many generated rows lie where hardly any real row does, in one column or another.

Of m sorted real numbers x_(1) <= x_(2) <= .., the k-th and the (m + 1 - k)-th enclose the central 98 %, k = 1 % of
m + 1, rounded, at least 1. The number K of n independent rows of the same distribution outside them is

    K ~ BetaBinomial(n, 2k, m + 1 - 2k),      E K / n = 2k / (m + 1),

whatever the distribution; where numbers repeat, fewer are outside. Heavy tails and single huge numbers, by which
distances in standard deviations are blinded, do not matter.

Source: Wilks 1941, Determination of sample sizes for setting tolerance limits.
"""

import math
from collections.abc import Sequence

import numpy as np

from driftfield.codecs import FloatArray
from driftfield.evaluation.metric import Metric
from driftfield.wording import shorten

EDGE = 0.01  # fraction of real rows beyond either end of the range


def out_of_range(made: FloatArray, real: FloatArray, columns: Sequence[str]) -> Metric:
    """The fraction of rows ``made`` (n, D) outside the central 98 % of ``real`` (m, D), in the worst of the columns.

    Its floor is the quantile D / (D + 1) of K / n, about the mean of the largest of D independent ones.
    """
    from scipy.stats import betabinom

    (n, D), m = made.shape, len(real)
    k = max(1, round(EDGE * (m + 1)))
    ordered = np.partition(real, (k - 1, m - k), axis=0)
    outside = ((made < ordered[k - 1]) | (made > ordered[m - k])).mean(0)  # (D,)
    worst = int(outside.argmax())
    value = float(outside[worst])
    expected = betabinom(n, 2 * k, m + 1 - 2 * k)
    success = (value * n + 1) / (n + 2)  # with one success and one failure added, so that the error is not 0
    note = f"Fraction of samples outside the central {100 - 200 * k / (m + 1):.0f} % of {m:,} real rows, worst column."
    return Metric(
        "out_of_range",
        f'Rows out of range in "{shorten(columns[worst], 20)}"',
        value,
        float(expected.ppf(D / (D + 1))) / n,
        math.sqrt(success * (1 - success) / n),
        float(expected.std()) / n,
        "fraction",
        2 * k / (m + 1),
        n,
        note,
    )
