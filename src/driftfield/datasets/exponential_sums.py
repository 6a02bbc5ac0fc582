"""Sums of exponentials over many terms for many rows, in chunks that stay in the processor's cache."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_CHUNK = 2**17  # numbers in one temporary array of a quadrature: 1 MiB, so that a chunk stays in the cache


def in_chunks(function: Callable[[FloatArray], FloatArray], x: FloatArray, width: int) -> FloatArray:
    """`function(x)`, computed in chunks of rows so small that a temporary of (rows, width) numbers fits the cache."""
    rows = max(1, _CHUNK // width)
    return np.concatenate([function(x[i : i + rows]) for i in range(0, max(len(x), 1), rows)])


def logsumexp(a: FloatArray) -> FloatArray:
    """The row sums ln Σ_j exp(a_ij), (n, M) -> (n,); `a` is overwritten by exp(a_ij − max_j a_ij).

    scipy's function of this name allocates five temporaries of the size of `a`, which is large here.
    """
    top = a.max(axis=1)
    a -= top[:, None]
    np.exp(a, out=a)
    return np.asarray(top + np.log(a.sum(axis=1)))


def softmax(a: FloatArray) -> FloatArray:
    """exp(a_ij) / Σ_j exp(a_ij), (n, M) -> (n, M); computed in place."""
    a -= a.max(axis=1, keepdims=True)
    np.exp(a, out=a)
    a /= a.sum(axis=1, keepdims=True)
    return a
