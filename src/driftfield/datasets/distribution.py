"""Distributions that can be sampled, and whose density and entropy are known.

The entropy  H = -∫ p(x) ln p(x) dx  is the smallest mean negative log-density that any model can reach on fresh rows:
it turns "the loss is 1.05" into "0.04 nats above the best possible".

Rows are independent. Where scikit-learn places points on an even grid along a curve and adds noise, the position on the
curve is drawn uniformly here: each row has the same distribution, but the rows do not follow a grid.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from driftfield.datasets.exponential_sums import FloatArray, in_chunks
from driftfield.datasets.nodes import Nodes, Noise, noise_covariance, smallest_std
from driftfield.errors import InputError
from driftfield.memory import require
from driftfield.seeds import stream

__all__ = [
    "Density",
    "Distribution",
    "Draw",
    "FloatArray",
    "LogDensity",
    "MakeNodes",
    "checked_rows",
    "in_chunks",
    "make_distribution",
]

_COPIES = 3  # of the rows, while they are drawn
Draw = Callable[[int, np.random.Generator], FloatArray]  # (n, generator) -> (n, D)
LogDensity = Callable[[FloatArray], FloatArray]  # (n, D) -> (n,)
MakeNodes = Callable[[float], Nodes]  # the smallest standard deviation of the noise that will be added -> nodes


class Density(Protocol):
    """ln p of each row of x, (n, D) -> (n,), plus Gaussian noise: a standard deviation or a covariance (D, D)."""

    def __call__(self, x: FloatArray, noise: Noise = 0.0) -> FloatArray: ...


@dataclass(frozen=True)
class Distribution:
    """A distribution with a name.

    `sample(n, seed)` returns n independent rows, (n, D) in float64; the same seed gives the same rows. `log_prob(x)`
    returns the log-density of each row of x, (n, D) -> (n,), in nats; it is None where the density is unknown.
    `log_prob(x, noise)` is the log-density after Gaussian noise is added, given as a standard deviation or as a
    covariance (D, D). `nodes(scale)` is the distribution as a sum of Gaussians that is accurate once noise of at least
    `scale` in every direction is added. `entropy` is in nats, exact or to better than 1e-3 by quadrature or Monte
    Carlo; it is computed on first use. `classes` are the equally likely components of the distribution, where it has
    labelled ones: p(x) is the mean of their densities.
    """

    name: str
    columns: tuple[str, ...]
    summary: str
    sample: Callable[[int, int], FloatArray]
    log_prob: Density | None = None
    measure_entropy: Callable[[], float] | None = field(default=None, repr=False)
    classes: tuple["Distribution", ...] = field(default=(), repr=False)
    make_nodes: MakeNodes | None = field(default=None, repr=False)

    @cached_property
    def entropy(self) -> float | None:
        """-E ln p(x) in nats, or None where the density is not known."""
        return None if self.measure_entropy is None else float(self.measure_entropy())

    def nodes(self, scale: float) -> Nodes:
        """The nodes for noise whose smallest standard deviation is at least `scale`, in the distribution's own units.

        Raises InputError for a distribution without a representation as a sum of Gaussians, and for a scale that is
        too small for it.
        """
        if self.make_nodes is None:
            raise InputError(
                f'The distribution "{self.name}" has no representation as a sum of Gaussians: choose another one.'
            )
        if not 0 <= scale < np.inf:
            raise InputError(f"The scale of the noise is {scale:g}: it must not be negative.")
        return self.make_nodes(float(scale))

    def score(self, x: FloatArray, noise: Noise) -> FloatArray:
        """∇ ln p of a row plus noise, at x (n, D); (n, D), in closed form from the nodes.

        Raises InputError as `nodes` does, and for an invalid standard deviation or covariance.
        """
        x = checked_rows(x, len(self.columns), f'The score of "{self.name}"')
        noise_covariance(noise, len(self.columns))
        return self.nodes(smallest_std(noise)).score(x, noise)

    def sample_labelled(self, n: int, seed: int) -> tuple[FloatArray, NDArray[np.int64]]:
        """n independent rows (n, D) and the class of each (n,), numbered as in `classes`.

        Raises InputError for a distribution without classes.
        """
        if not self.classes:
            raise InputError(
                f'The distribution "{self.name}" has no classes: choose another one, or leave out data.label.'
            )
        require(8 * _COPIES * len(self.columns) * n, f"{n:,} rows", "draw fewer")
        labels = stream(seed, f"labels {self.name}").integers(len(self.classes), size=n)  # (n,)
        rows = np.empty((n, len(self.columns)))
        for number, distribution in enumerate(self.classes):
            chosen = labels == number
            if chosen.any():
                rows[chosen] = distribution.sample(int(chosen.sum()), seed)
        return rows, labels


def make_distribution(
    name: str,
    summary: str,
    draw: Draw,
    log_density: LogDensity,
    entropy: Callable[[], float],
    make_nodes: MakeNodes | None = None,
    columns: tuple[str, ...] = ("x", "y"),
) -> Distribution:
    """A distribution that checks its arguments; its density is `log_density`, or with noise that of its nodes.

    `sample` raises InputError for n < 1 or a negative seed; `log_prob` raises it unless x is (n, D).
    """
    D = len(columns)

    def sample(n: int, seed: int) -> FloatArray:
        if n < 1:
            raise InputError(f'Cannot draw {n} rows of "{name}": draw at least 1.')
        require(8 * _COPIES * D * n, f"{n:,} rows", "draw fewer")
        return draw(n, stream(seed, f"law {name}"))  # (n, D)

    def log_prob(x: FloatArray, noise: Noise = 0.0) -> FloatArray:
        x = checked_rows(x, D, f'The density of "{name}"')
        if not noise_covariance(noise, D).any():
            return log_density(x)  # (n,)
        return distribution.nodes(smallest_std(noise)).log_prob(x, noise)

    kept = None if make_nodes is None else lru_cache(maxsize=4)(make_nodes)
    distribution = Distribution(name, columns, summary, sample, log_prob, entropy, make_nodes=kept)
    return distribution


def checked_rows(x: FloatArray, D: int, what: str) -> FloatArray:
    """x in float64; raises InputError unless it is (n, D)."""
    x = np.asarray(x, dtype=np.float64)
    if x.ndim != 2 or x.shape[1] != D:
        raise InputError(f"{what} takes an array of shape (n, {D}), not {x.shape}.")
    return x
