r"""Mixtures of Gaussians in any dimension: density, score, posterior, marginals and conditionals, all in closed form.

    p(x) = Σ_k w_k N(x; m_k, C_k)

The marginal of columns a keeps the blocks m_a and C_aa. Given x_a, the other columns b form a mixture again (Bishop
2006, Pattern recognition and machine learning, eq. 2.81 and 2.82, for each component):

    w_k|a ∝ w_k N(x_a; m_a, C_aa),   m_b|a = m_b + C_ba C_aa⁻¹ (x_a − m_a),   C_b|a = C_bb − C_ba C_aa⁻¹ C_ab.

With k the component that a row comes from, H(x) = H(k) + H(x | k) − H(k | x): the first two are sums in closed form,
and the third, the uncertainty of the component given x, is a mean over rows of a number between 0 and ln K.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from driftfield.datasets.distribution import Distribution, checked_rows, make_distribution
from driftfield.datasets.exponential_sums import FloatArray
from driftfield.datasets.nodes import Nodes, Noise
from driftfield.datasets.quadrature import plane_entropy
from driftfield.errors import InputError
from driftfield.seeds import stream

_REACH = 8.0  # the box of the entropy extends this many standard deviations from every mean
_GRID = 0.5  # spacing of its grid, in units of the smallest standard deviation
_ENTROPY_ROWS = 200_000  # a standard error of at most ln K / (2 √n): 0.0018 for five components, usually far less
_DISTANCE = 3.0  # typical distance of the means of a random mixture from their centre, in any dimension
_NARROWEST, _WIDEST = 0.2, 2.0  # its standard deviations along principal axes: a condition number of at most 100


@dataclass(frozen=True)
class GaussianMixture:
    """Σ_k w_k N(m_k, C_k) with weights (K,), means (K, D) and covariances (K, D, D), positive definite. Float64.

    Raises InputError for shapes that do not fit and for weights that are negative or do not add up to 1.
    """

    weights: FloatArray  # (K,)
    means: FloatArray  # (K, D)
    covariances: FloatArray  # (K, D, D)

    def __post_init__(self) -> None:
        K, D = self.means.shape if self.means.ndim == 2 else (0, 0)
        if self.weights.shape != (K,) or self.covariances.shape != (K, D, D) or K < 1:
            raise InputError(
                f"Weights {self.weights.shape}, means {self.means.shape} and covariances {self.covariances.shape} do "
                "not fit: give (K,), (K, D) and (K, D, D)."
            )
        if (self.weights < 0).any() or abs(self.weights.sum() - 1) > 1e-9:
            raise InputError("The weights of a mixture must not be negative and must add up to 1.")

    @property
    def dimensions(self) -> int:
        """D, the number of columns."""
        return int(self.means.shape[1])

    @cached_property
    def nodes(self) -> Nodes:
        """The mixture as nodes, exact at every noise level; with a shared covariance where all are equal."""
        same = bool((self.covariances == self.covariances[0]).all())
        with np.errstate(divide="ignore"):  # components may have zero weight
            log_weights = np.log(self.weights)
        return Nodes(self.means, log_weights, self.covariances[0] if same else self.covariances)

    def log_prob(self, x: FloatArray, noise: Noise = 0.0) -> FloatArray:
        """ln p of x (n, D) with noise added (a standard deviation or a covariance (D, D)); (n,), in nats."""
        return self.nodes.log_prob(self._checked(x), noise)

    def score(self, x: FloatArray, noise: Noise = 0.0) -> FloatArray:
        """∇ ln p at x (n, D) with noise added; (n, D)."""
        return self.nodes.score(self._checked(x), noise)

    def responsibilities(self, x: FloatArray, noise: Noise = 0.0) -> FloatArray:
        """p(k | x), the probability of each component given x (n, D) with noise added; (n, K)."""
        return self.nodes.responsibilities(self._checked(x), noise)

    def posterior(self, x: FloatArray, noise: Noise) -> tuple[FloatArray, FloatArray]:
        """Mean (n, D) and covariance (n, D, D) of the clean row, given the row with noise added, x (n, D)."""
        return self.nodes.posterior(self._checked(x), noise)

    def sample(self, n: int, seed: int) -> FloatArray:
        """n independent rows; (n, D). Raises InputError for a negative seed."""
        return self.draw(n, stream(seed, "mixture"))

    def draw(self, n: int, rng: np.random.Generator) -> FloatArray:
        """n independent rows from a random stream; (n, D)."""
        component = rng.choice(len(self.weights), n, p=self.weights)
        noise = rng.standard_normal((n, self.dimensions))
        for k, factor in enumerate(self._factors):
            chosen = component == k
            noise[chosen] = self.means[k] + np.einsum("ij,nj->ni", factor, noise[chosen])
        return noise

    def marginal(self, columns: Sequence[int]) -> "GaussianMixture":
        """The distribution of these columns, in their order."""
        a = self._chosen(columns)
        return GaussianMixture(self.weights, self.means[:, a], self.covariances[:, a[:, None], a])

    def conditional(self, columns: Sequence[int], values: FloatArray) -> "GaussianMixture":
        """The distribution of the other columns, in their order, given one value for each of these."""
        a = self._chosen(columns)
        b = np.setdiff1d(np.arange(self.dimensions), a)
        values = np.asarray(values, dtype=np.float64)
        if values.shape != a.shape or not len(b):
            raise InputError(
                f"Given {values.size} values for {len(a)} of {self.dimensions} columns: give one value for each, "
                "and leave out at least one column."
            )
        known = self.marginal(columns)
        C_ba = self.covariances[:, b[:, None], a]  # (K, |b|, |a|)
        gain = np.swapaxes(np.linalg.solve(known.covariances, np.swapaxes(C_ba, 1, 2)), 1, 2)  # C_ba C_aa⁻¹
        means = self.means[:, b] + np.einsum("kij,kj->ki", gain, values - known.means)
        covariances = self.covariances[:, b[:, None], b] - gain @ np.swapaxes(C_ba, 1, 2)
        weights = known.responsibilities(values[None])[0]
        return GaussianMixture(weights, means, (covariances + np.swapaxes(covariances, 1, 2)) / 2)

    def entropy(self, rows: int = _ENTROPY_ROWS, seed: int = 0) -> tuple[float, float]:
        """(−E ln p, its standard error) in nats, from H(k) + H(x | k) − H(k | x), the last a mean over `rows` rows.

        Exact, with an error of 0, for one component.
        """
        log_det = 2 * np.log(np.diagonal(self._factors, axis1=1, axis2=2)).sum(axis=1)
        inside = (self.dimensions * np.log(2 * np.pi * np.e) + log_det) / 2  # (K,)
        exact = _uncertainty(self.weights[None])[0] + self.weights @ inside
        if len(self.weights) == 1:
            return float(exact), 0.0
        left = _uncertainty(self.responsibilities(self.sample(rows, seed)))
        return float(exact - left.mean()), float(left.std(ddof=1) / np.sqrt(rows))

    def distribution(self, name: str, summary: str = "", part: str = "one of the components") -> Distribution:
        """The mixture as a distribution, with columns x and y, or x1, x2, …; equally likely components are its classes.

        In the plane the entropy is computed by quadrature, otherwise as in `entropy`.
        """
        D, K = self.dimensions, len(self.weights)
        columns = ("x", "y") if D == 2 else tuple(f"x{i + 1}" for i in range(D))
        entropy = self._planar_entropy if D == 2 and K > 1 else lambda: self.entropy()[0]
        whole = make_distribution(name, summary, self.draw, self.log_prob, entropy, lambda scale: self.nodes, columns)
        if K == 1 or np.ptp(self.weights) > 0:
            return whole
        return replace(whole, classes=tuple(self._component(k).distribution(str(k + 1), part) for k in range(K)))

    def _component(self, k: int) -> "GaussianMixture":
        return GaussianMixture(np.ones(1), self.means[k : k + 1], self.covariances[k : k + 1])

    def _planar_entropy(self) -> float:
        spread = np.sqrt(np.linalg.eigvalsh(self.covariances))  # (K, 2)
        margin = _REACH * spread.max(axis=1, keepdims=True)
        low, high = (self.means - margin).min(axis=0), (self.means + margin).max(axis=0)
        return plane_entropy(self.log_prob, low, high, _GRID * float(spread.min()))

    @cached_property
    def _factors(self) -> FloatArray:
        return np.asarray(np.linalg.cholesky(self.covariances))  # (K, D, D)

    def _checked(self, x: FloatArray) -> FloatArray:
        return checked_rows(x, self.dimensions, "A mixture")

    def _chosen(self, columns: Sequence[int]) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
        chosen = np.asarray(columns, dtype=np.int64)
        if chosen.ndim != 1 or len(set(columns)) != len(columns) or not set(columns) <= set(range(self.dimensions)):
            raise InputError(f"The columns {list(columns)} are not different numbers from 0 to {self.dimensions - 1}.")
        return chosen


def random_mixture(D: int, components: int, seed: int, equal: bool = False) -> GaussianMixture:
    """A mixture with random means, full covariances and weights; `equal` gives all components the same weight.

    The principal axes are uniform on the orthogonal matrices, the standard deviations along them log-uniform on
    [0.2, 2]: a condition number of at most 100. The means are N(0, 9/D I), so that their distances are similar in every
    dimension.
    """
    if D < 1 or components < 1:
        raise InputError(f"A mixture needs at least 1 dimension and 1 component, got {D} and {components}.")
    rng = stream(seed, f"random mixture {D} {components}")
    weights = np.full(components, 1 / components) if equal else rng.dirichlet(np.full(components, 3.0))
    means = _DISTANCE / np.sqrt(D) * rng.standard_normal((components, D))
    axes, triangle = np.linalg.qr(rng.standard_normal((components, D, D)))
    axes = axes * np.sign(np.diagonal(triangle, axis1=1, axis2=2))[:, None]  # makes the axes uniform (Mezzadri 2007)
    variances = np.exp(rng.uniform(2 * np.log(_NARROWEST), 2 * np.log(_WIDEST), (components, 1, D)))
    covariances = (axes * variances) @ np.swapaxes(axes, 1, 2)
    return GaussianMixture(weights, means, (covariances + np.swapaxes(covariances, 1, 2)) / 2)


def _uncertainty(p: FloatArray) -> FloatArray:
    """−Σ_k p_k ln p_k of each row, (n, K) -> (n,); 0 ln 0 = 0."""
    return np.asarray(-(p * np.log(np.where(p > 0, p, 1.0))).sum(axis=1))
