"""A law: a distribution that we can draw from, and whose density and entropy we know.

The entropy  H = -∫ p(x) ln p(x) dx  is the smallest mean negative log-density that any model can reach on fresh rows,
so a law turns "the loss is 1.05" into "0.04 nats above the best possible".

Rows are independent. Where scikit-learn lays points on an even grid along a curve and then adds noise, we draw the
place on the curve uniformly: the same distribution of each row, without the hidden order of the grid.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from driftfield.errors import InputError

FloatArray = NDArray[np.float64]
Draw = Callable[[int, np.random.Generator], FloatArray]  # (n, generator) -> (n, D)
LogDensity = Callable[[FloatArray], FloatArray]  # (n, D) -> (n,)

_CHUNK = 2**17  # numbers in one temporary array of a quadrature: 1 MiB, so that a chunk stays in the cache


@dataclass(frozen=True)
class Law:
    """A distribution with a name.

    `sample(n, seed)` gives n independent rows, (n, D) in float64; the same seed gives the same rows.
    `log_prob(x)` gives the log-density of each row of x, (n, D) -> (n,), in nats; it is None where it is not known.
    `entropy` is in nats, exact or by quadrature to better than 1e-3, and computed once, when it is first asked for.
    `classes` are laws that are equally likely parts of it, for those that have such parts: p(x) is the mean of theirs.
    """

    name: str
    columns: tuple[str, ...]
    summary: str
    sample: Callable[[int, int], FloatArray]
    log_prob: LogDensity | None = None
    measure_entropy: Callable[[], float] | None = field(default=None, repr=False)
    classes: tuple["Law", ...] = field(default=(), repr=False)

    @cached_property
    def entropy(self) -> float | None:
        """-E ln p(x) in nats, or None where the density is not known."""
        return None if self.measure_entropy is None else float(self.measure_entropy())

    def sample_labelled(self, n: int, seed: int) -> tuple[FloatArray, NDArray[np.int64]]:
        """n independent rows (n, D) and the class that each comes from (n,), numbered as in `classes`.

        Raises InputError for a law without classes.
        """
        if not self.classes:
            raise InputError(f'The law "{self.name}" has no classes: choose another law, or leave out data.label.')
        labels = stream(seed, f"labels {self.name}").integers(len(self.classes), size=n)  # (n,)
        rows = np.empty((n, len(self.columns)))
        for number, law in enumerate(self.classes):
            chosen = labels == number
            if chosen.any():
                rows[chosen] = law.sample(int(chosen.sum()), seed)
        return rows, labels


def planar_law(name: str, summary: str, draw: Draw, log_density: LogDensity, entropy: Callable[[], float]) -> Law:
    """A law of points (x, y) in the plane, with its arguments checked.

    `sample` raises InputError for n < 1 or a negative seed; `log_prob` raises it unless x is (n, 2).
    """

    def sample(n: int, seed: int) -> FloatArray:
        if n < 1:
            raise InputError(f'Cannot draw {n} rows of "{name}": ask for at least 1.')
        return draw(n, stream(seed, f"law {name}"))  # (n, 2)

    def log_prob(x: FloatArray) -> FloatArray:
        x = np.asarray(x, dtype=np.float64)
        if x.ndim != 2 or x.shape[1] != 2:
            raise InputError(f'The density of "{name}" takes an array of shape (n, 2), not {x.shape}.')
        return log_density(x)  # (n,)

    return Law(name, ("x", "y"), summary, sample, log_prob, entropy)


def stream(seed: int, purpose: str) -> np.random.Generator:
    """A random stream that is determined by (seed, purpose).

    Drawing rows, choosing a subset and cutting a held-out part each have a purpose of their own, so that one seed for
    all three never makes one choice undo or repeat another. Raises InputError for a negative seed.
    """
    if seed < 0:
        raise InputError(f"The seed is {seed}: use a whole number that is not negative.")
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=tuple(purpose.encode())))


def in_chunks(log_density: LogDensity, x: FloatArray, width: int) -> FloatArray:
    """`log_density(x)`, for so many rows at a time that a temporary of (rows, width) numbers stays small."""
    rows = max(1, _CHUNK // width)
    return np.concatenate([log_density(x[i : i + rows]) for i in range(0, max(len(x), 1), rows)])
