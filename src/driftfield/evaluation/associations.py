"""Associations: how strongly each two columns of a table depend on each other, between 0 and 1, whatever their kinds.

number, number        |Spearman's rank correlation|
category, number      the correlation ratio of the ranks: the root of the variance between levels over all of it
category, category    Cramer's V, with the correction of its bias (Bergsma 2013)
"""

from collections.abc import Sequence

import numpy as np

from driftfield.codecs import FloatArray

FEWEST_ROWS = 10


def associations(rows: FloatArray, numeric: Sequence[bool]) -> FloatArray:
    """The association of each pair of columns (C, C) of rows (n, C), over the rows that have both; NaN for too few."""
    C = rows.shape[1]
    found = np.eye(C)
    for i in range(C):
        for j in range(i):
            both = ~np.isnan(rows[:, i]) & ~np.isnan(rows[:, j])
            found[i, j] = found[j, i] = _association(rows[both, i], rows[both, j], numeric[i], numeric[j])
    return found


def _association(a: FloatArray, b: FloatArray, a_numeric: bool, b_numeric: bool) -> float:
    if len(a) < FEWEST_ROWS or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    if a_numeric and b_numeric:
        return abs(float(np.corrcoef(_ranks(a), _ranks(b))[0, 1]))
    if a_numeric or b_numeric:
        return _correlation_ratio(*((b, _ranks(a)) if a_numeric else (a, _ranks(b))))
    return cramers_v(a, b)


def _ranks(values: FloatArray) -> FloatArray:
    from scipy.stats import rankdata

    ranks: FloatArray = rankdata(values)
    return ranks


def _correlation_ratio(levels: FloatArray, values: FloatArray) -> float:
    _, codes = np.unique(levels, return_inverse=True)
    counts = np.bincount(codes)
    means = np.bincount(codes, values) / counts
    between = float((counts * (means - values.mean()) ** 2).sum())
    return float(np.sqrt(between / ((values - values.mean()) ** 2).sum()))


def cramers_v(a: FloatArray, b: FloatArray) -> float:
    """Cramer's V of two categories (n,), corrected for its bias in small samples."""
    (_, i), (_, j) = (np.unique(each, return_inverse=True) for each in (a, b))
    n, counts = len(a), np.zeros((i.max() + 1, j.max() + 1))
    np.add.at(counts, (i, j), 1)
    expected = counts.sum(1, keepdims=True) * counts.sum(0) / n
    phi = float(((counts - expected) ** 2 / expected).sum()) / n
    r, c = counts.shape
    corrected = max(0.0, phi - (r - 1) * (c - 1) / (n - 1))
    sides = r - (r - 1) ** 2 / (n - 1), c - (c - 1) ** 2 / (n - 1)
    return float(np.sqrt(corrected / (min(sides) - 1))) if min(sides) > 1 else 0.0
