"""Distributions along curves: a random position on a curve c(a), plus noise.

    p(x) = ∫ N(x; c(a), δ² I) p(a) da,      δ the standard deviation of the noise

Circles have a closed form. With r = |x| and I0 the modified Bessel function, a circle of radius R about 0 gives

    p(x) = exp(−(r² + R²) / 2δ²) I0(r R / δ²) / (2 π δ²).

The moons, the circles, the Swiss roll and the s-curve are those of scikit-learn (make_moons, make_circles,
make_swiss_roll, make_s_curve; the first and third coordinates of the last two). The rings and the two spirals are those
of FFJORD (Grathwohl et al. 2019, https://arxiv.org/abs/1810.01367).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import numpy as np

from driftfield.datasets.distribution import (
    Distribution,
    Draw,
    FloatArray,
    LogDensity,
    MakeNodes,
    in_chunks,
    make_distribution,
)
from driftfield.datasets.nodes import Nodes
from driftfield.datasets.quadrature import (
    Path,
    Rule,
    gauss_legendre,
    logsumexp,
    nodes_for_noise,
    plane_entropy,
    segment,
    tensor,
)

_REACH = 7.0  # standard deviations of the noise, beyond which a mass of exp(−24.5) = 2e-11 is neglected
_ARC = 0.75  # distance of the nodes on a circle, in standard deviations of the noise
_GRID = 1.0  # spacing of an entropy's grid, in standard deviations of the noise

Piece = tuple[Path, float, float]  # a path, and where its parameter starts and stops


class Shape(NamedTuple):
    """The functions of a distribution that has no name yet."""

    draw: Draw
    log_density: LogDensity
    entropy: Callable[[], float]
    make_nodes: MakeNodes


def moons(noise: float = 0.1) -> Distribution:
    """Two interleaved half circles of radius 1; a is uniform on [0, π] on each. `noise` is the standard deviation."""
    halves = tuple(
        make_distribution(name, f"the {name} of two half circles", *_noisy_curve([piece], noise))
        for name, piece in zip(("upper", "lower"), _MOONS, strict=True)
    )
    whole = make_distribution("moons", "two interleaved half circles, noise 0.1", *_noisy_curve(_MOONS, noise))
    return replace(whole, classes=halves)


def swiss_roll(noise: float = 0.2, scale: float = 0.1, name: str = "swiss-roll") -> Distribution:
    """The spiral (a cos a, a sin a) with a uniform on [3π/2, 9π/2] and noise added, all multiplied by `scale`."""

    def spiral(a: FloatArray) -> FloatArray:
        return scale * np.stack([a * np.cos(a), a * np.sin(a)], axis=-1)

    shape = _noisy_curve([(spiral, 1.5 * np.pi, 4.5 * np.pi)], noise * scale)
    return make_distribution(name, f"a spiral of one and a half turns, noise {noise * scale:g}", *shape)


def s_curve(noise: float = 0.1, scale: float = 0.1) -> Distribution:
    """The curve (sin a, sign(a) (cos a − 1)) with a uniform on [−3π/2, 3π/2] and noise, multiplied by `scale`."""

    def letter(a: FloatArray) -> FloatArray:
        return scale * np.stack([np.sin(a), np.sign(a) * (np.cos(a) - 1)], axis=-1)

    end = 1.5 * np.pi
    shape = _noisy_curve([(letter, -end, 0), (letter, 0, end)], noise * scale)  # its curvature jumps at 0
    return make_distribution("s-curve", "two three-quarter circles that form an S, noise 0.01", *shape)


def circles(noise: float = 0.06, factor: float = 0.4, scale: float = 1.0) -> Distribution:
    """Circles of radius 1 and `factor` about the origin, equally likely, with noise, all multiplied by `scale`."""
    radii = scale * np.array([1.0, factor])
    whole = make_distribution(
        "circles", "a circle inside another, radii 0.4 and 1, noise 0.06", *_noisy_circles(radii, scale * noise)
    )
    each = tuple(
        make_distribution(name, f"the {name} of two circles", *_noisy_circles(radii[i : i + 1], scale * noise))
        for i, name in enumerate(("outer", "inner"))
    )
    return replace(whole, classes=each)


def rings(noise: float = 0.08) -> Distribution:
    """Circles of radius 0.75, 1.5, 2.25 and 3 about the origin, equally likely, with noise (FFJORD's rings)."""
    shape = _noisy_circles(0.75 * np.arange(1.0, 5.0), noise)
    return make_distribution("rings", "four circles about one centre, noise 0.08", *shape)


def moons_circles(noise: float = 0.01, factor: float = 0.1, shift: float = 15.0) -> Distribution:
    """A mixture of circles about the origin and of moons shifted by `shift` along both axes, equally likely.

    The two halves do not overlap, so the entropy is ln 2 plus the mean of their entropies.
    """
    circle, moon = _noisy_circles(np.array([1.0, factor]), noise), _noisy_curve(_MOONS, noise)

    def draw(n: int, rng: np.random.Generator) -> FloatArray:
        return np.where(rng.random((n, 1)) < 0.5, circle.draw(n, rng), moon.draw(n, rng) + shift)

    def log_density(x: FloatArray) -> FloatArray:
        return np.asarray(np.logaddexp(circle.log_density(x), moon.log_density(x - shift)) - np.log(2))

    def entropy() -> float:
        return float(np.log(2) + (circle.entropy() + moon.entropy()) / 2)

    def moved(scale: float) -> Nodes:
        return moon.make_nodes(scale).transformed(np.full(2, -shift), np.eye(2))

    parts = (
        make_distribution("circles", "the circles of moons-circles", *circle),
        make_distribution(
            "moons",
            "the moons of moons-circles",
            lambda n, rng: moon.draw(n, rng) + shift,
            lambda x: moon.log_density(x - shift),
            moon.entropy,
            moved,
        ),
    )

    def make_nodes(scale: float) -> Nodes:
        return joined(circle.make_nodes(scale), moved(scale))

    summary = "narrow moons and narrow circles, far apart, noise 0.01"
    return replace(make_distribution("moons-circles", summary, draw, log_density, entropy, make_nodes), classes=parts)


def two_spirals(noise: float = 0.1) -> Distribution:
    """Two spiral arms, each the other rotated by 180 degrees: ±(−a cos a + u, a sin a + v) / 3, plus noise.

    a = 3π √w with w uniform on [0, 1], so p(a) = 2 a / (3π)²; u and v are uniform on [0, 1/2] (FFJORD's two spirals).
    The noise of an arm along each axis is thus the sum of a uniform part, 1/6 wide, and a Gaussian one, `noise`.
    """
    end, width = 3 * np.pi, 0.5 / 3

    def draw(n: int, rng: np.random.Generator) -> FloatArray:
        arm = _spiral_arm(end * np.sqrt(rng.random(n))) + width * rng.random((n, 2))
        return np.asarray(np.where(rng.random((n, 1)) < 0.5, arm, -arm) + noise * rng.standard_normal((n, 2)))

    @cache
    def nodes() -> Rule:
        return nodes_for_noise(_spiral_arm, 0, end, noise)

    def arm_density(x: FloatArray) -> FloatArray:
        exponent = np.tile(np.log(nodes().weights * 2 * nodes().parameters / end**2), (len(x), 1))  # (n, M)
        for axis in range(2):
            exponent += _log_box(x[:, axis, None] - nodes().points[:, axis], width, noise)
        return logsumexp(exponent)

    def log_density(x: FloatArray) -> FloatArray:
        arms = [in_chunks(arm_density, sign * x, len(nodes().weights)) for sign in (1, -1)]
        return np.asarray(np.logaddexp(*arms) - np.log(2))

    def entropy() -> float:
        edge = np.full(2, np.abs(nodes().points).max() + width + _REACH * noise)
        return plane_entropy(log_density, -edge, edge, _GRID * noise)

    def make_nodes(scale: float) -> Nodes:
        std = float(np.hypot(noise, scale))
        along = nodes_for_noise(_spiral_arm, 0, end, std)
        offsets, weights = segment(0, width, std)
        place, u, v = tensor(np.arange(len(along.weights)), np.arange(len(offsets)), np.arange(len(offsets)))
        points = along.points[place] + np.stack([offsets[u], offsets[v]], axis=-1)
        fractions = along.weights[place] * along.parameters[place] * weights[u] * weights[v] * 2 / (end * width) ** 2
        arm = Nodes(points, np.log(fractions), noise**2 * np.eye(2))
        return joined(arm, arm.transformed(np.zeros(2), -np.eye(2)))

    summary = "two spiral arms, each one and a half turns, noise 0.1"
    return make_distribution("2-spirals", summary, draw, log_density, entropy, make_nodes)


def _upper_moon(a: FloatArray) -> FloatArray:
    return np.stack([np.cos(a), np.sin(a)], axis=-1)  # (n, 2)


def _lower_moon(a: FloatArray) -> FloatArray:
    return np.stack([1 - np.cos(a), 0.5 - np.sin(a)], axis=-1)  # (n, 2)


_MOONS: list[Piece] = [(_upper_moon, 0, np.pi), (_lower_moon, 0, np.pi)]


def _spiral_arm(a: FloatArray) -> FloatArray:
    return np.stack([-a * np.cos(a), a * np.sin(a)], axis=-1) / 3  # (n, 2)


def _noisy_curve(pieces: Sequence[Piece], std: float) -> Shape:
    """c(a) + std · N(0, I), with a uniform on one of the pieces, all equally likely."""

    def draw(n: int, rng: np.random.Generator) -> FloatArray:
        u = rng.random(n)
        places = np.stack([path(start + (stop - start) * u) for path, start, stop in pieces])  # (K, n, 2)
        chosen = places[rng.integers(len(pieces), size=n), np.arange(n)]
        return np.asarray(chosen + std * rng.standard_normal((n, 2)))

    def make_nodes(scale: float) -> Nodes:
        width = float(np.hypot(std, scale))
        parts = [nodes_for_noise(path, start, stop, width) for path, start, stop in pieces]
        weights = [part.weights / (stop - start) for part, (_, start, stop) in zip(parts, pieces, strict=True)]
        log_weights = np.log(np.concatenate(weights) / len(pieces))
        return Nodes(np.concatenate([part.points for part in parts]), log_weights, std**2 * np.eye(2))

    @cache
    def nodes() -> Nodes:
        return make_nodes(0.0)

    def log_density(x: FloatArray) -> FloatArray:
        return nodes().log_prob(x)

    def entropy() -> float:
        points, margin = nodes().points, _REACH * std
        return plane_entropy(log_density, points.min(axis=0) - margin, points.max(axis=0) + margin, _GRID * std)

    return Shape(draw, log_density, entropy, make_nodes)


def _noisy_circles(radii: FloatArray, std: float) -> Shape:
    """Equally likely circles about the origin with Gaussian noise, by the Bessel form at the top of this module."""

    def draw(n: int, rng: np.random.Generator) -> FloatArray:
        angle = rng.uniform(0, 2 * np.pi, n)
        points = rng.choice(radii, (n, 1)) * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
        return np.asarray(points + std * rng.standard_normal((n, 2)))

    def at_distance(r: FloatArray) -> FloatArray:
        from scipy.special import i0e  # exp(−z) I0(z)

        near = -((r[:, None] - radii) ** 2) / (2 * std**2) + np.log(i0e(r[:, None] * radii / std**2))  # (n, K)
        return np.asarray(logsumexp(near) - np.log(2 * np.pi * std**2 * len(radii)))

    def log_density(x: FloatArray) -> FloatArray:
        return at_distance(np.hypot(x[:, 0], x[:, 1]))

    def entropy() -> float:
        r, weights = gauss_legendre(np.arange(0, radii.max() + (_REACH + 1) * std, std))
        log_p = at_distance(r)
        return float(-(weights * 2 * np.pi * r * np.exp(log_p) * log_p).sum())

    def make_nodes(scale: float) -> Nodes:
        """Evenly spaced angles: on a closed curve the sum converges geometrically. The constant is for wide noise."""
        parts = []
        for R in radii:
            n = int(np.ceil(2 * np.pi * R / (_ARC * np.hypot(std, scale)))) + 16
            angle = 2 * np.pi * np.arange(n) / n
            points = R * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
            parts.append(Nodes(points, np.full(n, -np.log(n)), std**2 * np.eye(2)))
        return joined(*parts)

    return Shape(draw, log_density, entropy, make_nodes)


def joined(*parts: Nodes) -> Nodes:
    """The nodes of a mixture of equally likely distributions that share a covariance."""
    log_weights = np.concatenate([part.log_weights for part in parts]) - np.log(len(parts))
    return Nodes(np.concatenate([part.points for part in parts]), log_weights, parts[0].covariance)


def _log_box(d: FloatArray, width: float, std: float) -> FloatArray:
    """The log-density at d of a uniform number on [0, width] plus a Gaussian one of standard deviation `std`.

    With e = |d − width/2|, z = (e − width/2)/std and k = width/std it is ln [(Φ(−z) − Φ(−z − k))/width]; written with
    erfcx(y) = exp(y²) erfc(y), it neither cancels nor underflows.
    """
    from scipy.special import erfcx

    z = (np.abs(d - width / 2) - width / 2) / std
    k = width / std
    tail = np.exp(-z * k - k**2 / 2) * erfcx((z + k) / np.sqrt(2))
    return np.asarray(np.log((erfcx(z / np.sqrt(2)) - tail) / (2 * width)) - z**2 / 2)
