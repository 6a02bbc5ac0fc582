"""Distributions over the plane with an exact density: ring, parabola, checkerboard, pinwheel.

The checkerboard and the pinwheel are those of FFJORD (Grathwohl et al. 2019, https://arxiv.org/abs/1810.01367); the
pinwheel is from Johnson et al. 2016 (https://arxiv.org/abs/1603.06277).
"""

from collections.abc import Callable
from math import lgamma, log, pi

import numpy as np
from numpy.typing import NDArray

from driftfield.datasets.distribution import Distribution, FloatArray, make_distribution
from driftfield.datasets.nodes import Nodes
from driftfield.datasets.quadrature import bell, logsumexp, nodes_for_noise, segment, tensor
from driftfield.errors import InputError

_REACH = 7.0  # nodes extend this many standard deviations: the mass beyond is below 3e-12
_SMOOTH = 0.4  # radians: the direction's density is as smooth as a Gaussian of this width
_LIGHT = 25.0  # nodes whose weight is below e^−25 of the largest are dropped
# The smallest supported noise: about a million nodes.
_SMALLEST_RING, _SMALLEST_PARABOLA, _SMALLEST_CHECKERBOARD, _SMALLEST_PINWHEEL = 0.005, 1e-4, 0.01, 0.03

_TINY = 1e-300  # keeps ln r finite at the centre of the ring


def ring(shape: float = 200.0) -> Distribution:
    """A ring of radius about 1: the direction of a uniform point in the square, at a gamma-distributed distance.

    With r = |x| and k = `shape` (the standard deviation of r is 1/√k), the direction has the density
    r² / (8 max(x², y²)), larger towards the corners, and r has the gamma distribution of shape k and mean 1, so

        p(x, y) = r² / (8 max(x², y²)) · kᵏ r^(k−1) e^(−k r) / Γ(k) · 1/r.

    The entropy is the direction's, ln 4 + 2 − π/2, plus the distance's, k − ln k + ln Γ(k) + (1 − k) ψ(k), plus
    E ln r = ψ(k) − ln k.
    """
    k = shape

    def draw(n: int, rng: np.random.Generator) -> FloatArray:
        corner = rng.uniform(-1, 1, (n, 2))
        return np.asarray(corner / np.linalg.norm(corner, axis=1, keepdims=True) * rng.gamma(k, 1 / k, (n, 1)))

    def log_density(x: FloatArray) -> FloatArray:
        r = np.maximum(np.hypot(x[:, 0], x[:, 1]), _TINY)
        side = np.maximum(np.abs(x).max(axis=1), _TINY)
        return np.asarray(k * np.log(r) - k * r - 2 * np.log(side) - log(8) + k * log(k) - lgamma(k))

    def entropy() -> float:
        from scipy.special import digamma

        return log(4) + 2 - pi / 2 + k - 2 * log(k) + lgamma(k) + (2 - k) * float(digamma(k))

    def make_nodes(scale: float) -> Nodes:
        """Distances by the trapezoid rule, as for a Gaussian; angles on the four quarters between the diagonals."""
        _check_scale("ring", scale, _SMALLEST_RING)
        z, _ = bell(scale * np.sqrt(k))
        r = 1 + z / np.sqrt(k)
        quarter, weights = segment(-pi / 4, pi / 4, min(scale / r.max(), _SMOOTH))
        place, angle, turn = tensor(np.arange(len(r)), np.arange(len(quarter)), np.arange(4))
        points = _polar(r[place], quarter[angle] + turn * pi / 2)
        log_weights = log_density(points) + np.log(weights[angle] * r[place] * (r[1] - r[0]))
        return _heavy(Nodes(points, log_weights, np.zeros((2, 2))))

    return make_distribution(
        "ring", "one ring of radius 1, denser at the diagonals", draw, log_density, entropy, make_nodes
    )


def parabola(std: float = 4.0) -> Distribution:
    """A bent Gaussian: x ~ N(0, std²), y ~ N(x²/4, 1). The entropy is that of two Gaussians, ln(2 π e) + ln std."""

    def draw(n: int, rng: np.random.Generator) -> FloatArray:
        x = std * rng.standard_normal(n)
        return np.stack([x, x**2 / 4 + rng.standard_normal(n)], axis=-1)

    def log_density(x: FloatArray) -> FloatArray:
        square = (x[:, 0] / std) ** 2 + (x[:, 1] - x[:, 0] ** 2 / 4) ** 2
        return np.asarray(-square / 2 - log(2 * pi * std))

    def make_nodes(scale: float) -> Nodes:
        """Positions along x, as close together as the steepest part requires, where |dy/dx| is 7 std/2."""
        _check_scale("parabola", scale, _SMALLEST_PARABOLA)
        slope = _REACH * std / 2
        z, log_weights = bell(1 / np.hypot(1 / scale, slope / np.hypot(1, scale)) / std)
        return Nodes(np.stack([std * z, (std * z) ** 2 / 4], axis=-1), log_weights, np.diag([0.0, 1.0]))

    summary = "a Gaussian bent into a parabola"
    return make_distribution("parabola", summary, draw, log_density, lambda: log(2 * pi * std) + 1, make_nodes)


def checkerboard() -> Distribution:
    """Uniform on the black squares, of side 2, of a board of 4 × 4 squares about the origin: p = 1/32 there."""

    def draw(n: int, rng: np.random.Generator) -> FloatArray:
        column, pair = rng.integers(-2, 2, n), rng.integers(-1, 1, n)
        row = 2 * pair + column % 2
        return 2 * (np.stack([column, row], axis=-1) + rng.random((n, 2)))

    def log_density(x: FloatArray) -> FloatArray:
        black = np.floor(x / 2).sum(axis=1) % 2 == 0
        return np.where(black & (x >= -4).all(axis=1) & (x < 4).all(axis=1), -log(32), -np.inf)

    def make_nodes(scale: float) -> Nodes:
        """A product rule on each square, so that no panel crosses an edge, where the density jumps."""
        _check_scale("checkerboard", scale, _SMALLEST_CHECKERBOARD)
        places, weights = segment(0, 2, scale)
        corner = np.array([(2 * i, 2 * j) for i in range(-2, 2) for j in range(-2, 2) if (i + j) % 2 == 0])  # (8, 2)
        x, y = tensor(places, places)
        points = (corner[:, None] + np.stack([x, y], axis=-1)).reshape(-1, 2)
        log_weights = np.log(np.multiply.outer(weights, weights).ravel() / 32)
        return Nodes(points, np.tile(log_weights, len(corner)), np.zeros((2, 2)))

    summary = "the black squares of a 4 by 4 board, uniform"
    return make_distribution("checkerboard", summary, draw, log_density, lambda: log(32), make_nodes)


_ARMS, _RADIAL, _TANGENTIAL, _RATE = 5, 0.3, 0.1, 0.25
_FAR = 20.0  # 63 standard deviations out, where the density is below exp(−2000), e^u is clamped to e^20


def pinwheel() -> Distribution:
    """Five Gaussian arms, twisted more the farther out.

    With u ~ N(1, 0.3²), v ~ N(0, 0.1²), an arm k = 0..4 and the angle a = 2 π k/5 + e^u/4, the row is
    2 (u + i v) e^(−i a), read as a point of the plane. The twist multiplies areas by 1 + v e^u/4, so

        p(x) = 1/5 Σ_k N(u_k; 1, 0.3²) N(v_k; 0, 0.1²) / (4 |1 + v_k e^(u_k)/4|).

    The twist folds the plane where v < −4 e^(−u); the mass there, below 1e-7, is left out of p.
    """

    def draw(n: int, rng: np.random.Generator) -> FloatArray:
        arm = rng.integers(_ARMS, size=n)
        return _twist(1 + _RADIAL * rng.standard_normal(n), _TANGENTIAL * rng.standard_normal(n), arm)

    def entropy() -> float:
        z = np.arange(-7, 7.01, 0.2)  # standard deviations: the trapezoid rule's mass is exact to 1e-11
        a, b = (grid.ravel() for grid in np.meshgrid(z, z))
        points = _twist(1 + _RADIAL * a, _TANGENTIAL * b, np.zeros(len(a)))  # one arm: the others are rotations of it
        return -float((np.exp(-(a**2 + b**2) / 2) * _log_pinwheel(points)).sum() * 0.2**2 / (2 * pi))

    def make_nodes(scale: float) -> Nodes:
        """Positions (u, v) before the twist, spaced along u by the stretch of the twist and along v by the factor 2."""
        _check_scale("pinwheel", scale, _SMALLEST_PINWHEEL)

        def middle(u: FloatArray) -> FloatArray:
            return _twist(u, np.zeros_like(u), np.zeros_like(u))

        along = nodes_for_noise(middle, 1 - _REACH * _RADIAL, 1 + _REACH * _RADIAL, scale, 1 / _RADIAL)
        z, log_across = bell(scale / (2 * _TANGENTIAL))
        u, v, arm = tensor(along.parameters, _TANGENTIAL * z, np.arange(_ARMS))
        log_along = np.log(along.weights / (_RADIAL * np.sqrt(2 * pi))) - ((along.parameters - 1) / _RADIAL) ** 2 / 2
        log_weights = np.add.outer(log_along, log_across).ravel().repeat(_ARMS) - log(_ARMS)
        return _heavy(Nodes(_twist(u, v, arm), log_weights, np.zeros((2, 2))))

    return make_distribution("pinwheel", "five arms of a twisted star", draw, _log_pinwheel, entropy, make_nodes)


def _check_scale(name: str, scale: float, smallest: float) -> None:
    if scale < smallest:
        raise InputError(
            f'The distribution "{name}" is integrated numerically for its density with noise, and a noise of '
            f"{scale:g} would need too many nodes: add noise of at least {smallest:g} in every direction."
        )


def _heavy(nodes: Nodes) -> Nodes:
    """The nodes whose weight is at least e^−25 of the largest."""
    kept = nodes.log_weights > nodes.log_weights.max() - _LIGHT
    return Nodes(nodes.points[kept], nodes.log_weights[kept], nodes.covariance)


def _polar(r: FloatArray, angle: FloatArray) -> FloatArray:
    return np.stack([r * np.cos(angle), r * np.sin(angle)], axis=-1)  # (n, 2)


def _twist(u: FloatArray, v: FloatArray, arm: FloatArray | NDArray[np.int64]) -> FloatArray:
    """2 (u + i v) e^(−i a), a = 2 π arm/5 + e^u/4, as points; three times (n,) -> (n, 2)."""
    z = 2 * (u + 1j * v) * np.exp(-1j * (2 * pi * arm / _ARMS + _RATE * np.exp(u)))
    return np.stack([z.real, z.imag], axis=-1)


def _log_pinwheel(x: FloatArray) -> FloatArray:
    r = np.hypot(x[:, 0], x[:, 1])[:, None] / 2  # (n, 1)
    turned = np.arctan2(x[:, 1], x[:, 0])[:, None] + 2 * pi * np.arange(_ARMS) / _ARMS  # (n, 5)
    angle = _untwist(r, turned)
    u, v = r * np.cos(angle), r * np.sin(angle)
    area = np.abs(1 + _RATE * np.exp(np.minimum(u, _FAR)) * v)
    log_arms = -(((u - 1) / _RADIAL) ** 2 + (v / _TANGENTIAL) ** 2) / 2 - np.log(np.maximum(area, _TINY))
    return logsumexp(log_arms) - log(4 * _ARMS * 2 * pi * _RADIAL * _TANGENTIAL)


def _untwist(r: FloatArray, target: FloatArray) -> FloatArray:
    """The angle φ with  g(φ) = φ − e^(r cos φ)/4 = target  up to whole turns, on the branch that is not folded.

    g' = 1 + q(φ)/4 with q = r sin φ e^(r cos φ), least at cos φ* = (√(1 + 4r²) − 1)/2r, φ* < 0. If g' < 0 there, the
    branch starts at the zero of g' between φ* and 0; otherwise g rises everywhere. (n, 1), (n, K) -> (n, K).
    """
    r = np.clip(r, 1e-12, _FAR)
    lowest = -np.arccos(2 * r / (np.sqrt(1 + 4 * r**2) + 1))  # φ*, free of cancellation
    start = _bisect(lambda a: 1 + _RATE * r * np.sin(a) * np.exp(r * np.cos(a)), lowest, np.zeros_like(r))
    floor = start - _RATE * np.exp(r * np.cos(start))
    target = floor + (target - floor) % (2 * pi)
    low = np.broadcast_to(start, target.shape)
    return _bisect(lambda a: a - _RATE * np.exp(r * np.cos(a)) - target, low, low + 2 * pi)


def _bisect(f: Callable[[FloatArray], FloatArray], low: FloatArray, high: FloatArray) -> FloatArray:
    """The zero of f between `low`, where f <= 0 is expected, and `high`; `low` itself where f > 0 there.

    Fifty halvings: the remaining interval is 2π/2⁵⁰ = 6e-15 wide.
    """
    high = np.where(f(low) > 0, low, high)
    for _ in range(50):
        middle = (low + high) / 2
        below = f(middle) < 0
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return high
