"""Holes: how often cells are empty in generated and in real rows, where a model says so."""

import math
from collections.abc import Sequence

import numpy as np

from driftfield.codecs import FloatArray
from driftfield.evaluation.metric import Metric
from driftfield.wording import share, shorten


def empty_cells(made: FloatArray, real: FloatArray, other: FloatArray, columns: Sequence[str]) -> Metric:
    """The difference of the fractions of empty cells of rows ``made`` and ``real`` (n, C), in the worst column.

    Its floor is the difference of ``other`` and ``real`` in the same column.
    """
    shares = [np.isnan(side).mean(0) for side in (made, real, other)]
    worst = int(np.abs(shares[0] - shares[1]).argmax())
    variances = []
    for empty, side in zip(shares, (made, real, other), strict=True):
        success = (empty[worst] * len(side) + 1) / (len(side) + 2)  # so that the error is not 0
        variances.append(success * (1 - success) / len(side))
    return Metric(
        "empty_cells",
        f'Empty cells of "{shorten(columns[worst], 20)}"',
        float(abs(shares[0][worst] - shares[1][worst])),
        float(abs(shares[2][worst] - shares[1][worst])),
        math.sqrt(variances[0] + variances[1]),
        math.sqrt(variances[2] + variances[1]),
        "fraction",
        0.0,
        len(real),
        f"{share(shares[0][worst], len(made), 'samples')} and {share(shares[1][worst], len(real), 'real rows')}, worst "
        "column.",
    )
