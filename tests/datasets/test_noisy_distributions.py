"""Distributions with noise added: density, score and posterior from the nodes, against independent sums."""

from functools import cache

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import i0e, ndtr
from test_distributions import PLANAR, boxes, midpoints

from driftfield.datasets import DISTRIBUTIONS, Distribution, FloatArray, Nodes, Noise
from driftfield.datasets.nodes import noise_covariance
from driftfield.errors import InputError

TILTED = np.array([[0.04, 0.05], [0.05, 0.13]])  # standard deviations 0.13 and 0.39 along axes that are turned
NOISES: dict[str, Noise] = {"0.1": 0.1, "1": 1.0, "tilted": TILTED}
CUT = {"ring", "parabola", "checkerboard", "pinwheel"}  # distributions that are cut into cells: they need some noise
CURVES_AND_MIXTURES = [name for name in PLANAR if name not in CUT]


def noisy_rows(distribution: Distribution, n: int, noise: Noise, seed: int) -> FloatArray:
    D = len(distribution.columns)
    factor = np.linalg.cholesky(noise_covariance(noise, D))
    return distribution.sample(n, seed) + np.random.default_rng(seed).standard_normal((n, D)) @ factor.T


def density(distribution: Distribution, x: FloatArray, noise: Noise) -> FloatArray:
    assert distribution.log_prob is not None
    return np.exp(distribution.log_prob(x, noise))


def normal(x: FloatArray, covariance: FloatArray) -> FloatArray:
    """N(x; 0, covariance) in the plane, written out."""
    (a, b), (_, c) = covariance
    det = a * c - b * b
    square = (c * x[:, 0] ** 2 - 2 * b * x[:, 0] * x[:, 1] + a * x[:, 1] ** 2) / det
    return np.asarray(np.exp(-square / 2) / (2 * np.pi * np.sqrt(det)))


@cache
def grid(name: str) -> tuple[FloatArray, FloatArray]:
    """Points of the plane (n, 2) and the mass of a distribution in the cell about each, (n,), by the midpoint rule.

    Cells of half the smallest noise at most: for a density that is smooth on their scale the sums below are exact to
    2 exp(-8 pi^2); so they are on the scale of the boxes.
    """
    distribution = DISTRIBUTIONS[name]
    points, masses = [], []
    for *box, spacing in boxes(name):
        step = min(spacing, 0.05)
        y, area = midpoints((*box, step))
        points.append(y)
        masses.append(density(distribution, y, 0.0) * area)
    mass = np.concatenate(masses)
    kept = mass > 1e-16 * mass.max()
    return np.concatenate(points)[kept], mass[kept]


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("name", [name for name in PLANAR if name != "checkerboard"])
def test_the_density_with_noise_is_the_convolution_of_the_density_without(name: str, noise: str) -> None:
    distribution, covariance = DISTRIBUTIONS[name], noise_covariance(NOISES[noise], 2)
    x = noisy_rows(distribution, 5, NOISES[noise], 3)
    y, mass = grid(name)
    expected = [mass @ normal(row - y, covariance) for row in x]
    # The kinks of the ring along the diagonals cost the midpoint rule an error of second order in its cells.
    np.testing.assert_allclose(density(distribution, x, NOISES[noise]), expected, rtol=3e-5 if name == "ring" else 1e-7)


@pytest.mark.parametrize("noise", [0.05, 0.3, 2.0, TILTED])
def test_the_board_with_noise_is_a_sum_over_squares_of_normal_distribution_functions(noise: Noise) -> None:
    distribution, S = DISTRIBUTIONS["checkerboard"], noise_covariance(noise, 2)
    gain, std = S[0, 1] / S[0, 0], np.sqrt(S[1, 1] - S[0, 1] ** 2 / S[0, 0])  # of the second noise, given the first

    def column(a: float, x: float, y: float, bottoms: tuple[int, int]) -> float:
        """Given the place a along the first axis: the mass of two squares at y, times the density of a."""
        z = y - gain * (x - a)
        mass = sum(ndtr((z - b) / std) - ndtr((z - b - 2) / std) for b in bottoms)
        return float(mass * np.exp(-((x - a) ** 2) / (2 * S[0, 0])) / np.sqrt(2 * np.pi * S[0, 0]))

    def exact(x: float, y: float) -> float:
        parts = [
            quad(column, left, left + 2, (x, y, bottoms), epsabs=0, epsrel=1e-10, limit=500, points=[left + 1])[0]
            for left, bottoms in ((-4, (-4, 0)), (-2, (-2, 2)), (0, (-4, 0)), (2, (-2, 2)))
        ]
        return sum(parts) / 32

    x = noisy_rows(distribution, 4, noise, 1)
    np.testing.assert_allclose(density(distribution, x, noise), [exact(*row) for row in x], rtol=1e-6)


@pytest.mark.parametrize("name", PLANAR)
def test_the_density_with_noise_integrates_to_one(name: str) -> None:
    std = 0.3 if name == "pinwheel" else 0.1  # of the pinwheel's 67,000 nodes for 0.1, the sum would take too long
    mass = 0.0
    for x0, y0, x1, y1, _ in boxes(name):
        x, area = midpoints((x0 - 6 * std, y0 - 6 * std, x1 + 6 * std, y1 + 6 * std, std))
        if name == "parabola":  # y is about 5 standard deviations and more from its mean given x
            x = x[np.abs(x[:, 1] - x[:, 0] ** 2 / 4) < 6 + std * np.abs(x[:, 0]) * 3]
        mass += density(DISTRIBUTIONS[name], x, std).sum() * area
    assert mass == pytest.approx(1, abs=1e-5)  # the boxes leave out 1e-6, a spacing of one std 5e-9


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_the_weights_of_the_nodes_add_up_to_one_at_every_scale(name: str) -> None:
    for scale in (0.06, 0.3, 1.0, 30.0):
        # What an integral over the plane gives: each Gaussian has the mass of its weight.
        assert np.exp(DISTRIBUTIONS[name].nodes(scale).log_weights).sum() == pytest.approx(1, abs=1e-7)


@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("name", PLANAR)
def test_closer_nodes_change_neither_density_nor_score(name: str, scale: float) -> None:
    distribution = DISTRIBUTIONS[name]
    x = noisy_rows(distribution, 20, 1.5 * scale, 5)
    coarse, fine = distribution.nodes(scale), distribution.nodes(0.6 * scale)
    assert name not in CUT or scale == 10 or len(fine.points) > len(coarse.points)  # else nothing is compared
    np.testing.assert_allclose(coarse.log_prob(x, scale), fine.log_prob(x, scale), rtol=0, atol=1e-6)
    np.testing.assert_allclose(coarse.score(x, scale), fine.score(x, scale), rtol=0, atol=2e-5)


@pytest.mark.parametrize("noise", [0.1, TILTED])
@pytest.mark.parametrize("name", PLANAR)
def test_the_score_is_the_slope_of_the_log_density(name: str, noise: Noise) -> None:
    distribution, step = DISTRIBUTIONS[name], 1e-4
    x = noisy_rows(distribution, 3, noise, 2)
    shifts = step * np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    shifted = np.log(density(distribution, (x[:, None] + shifts).reshape(-1, 2), noise)).reshape(-1, 4)
    slope = np.stack([shifted[:, 0] - shifted[:, 1], shifted[:, 2] - shifted[:, 3]], axis=1) / (2 * step)
    # Rounding of 1e-11 over the step, and step^2 / 6 of a third derivative of about 1 / 0.1^3.
    np.testing.assert_allclose(distribution.score(x, noise), slope, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_no_noise_leaves_the_density_as_it_is(name: str) -> None:
    distribution = DISTRIBUTIONS[name]
    assert distribution.log_prob is not None
    x = distribution.sample(50, 4)
    D = len(distribution.columns)
    for noise in (0, 0.0, np.zeros((D, D))):
        np.testing.assert_array_equal(distribution.log_prob(x, noise), distribution.log_prob(x))
    assert distribution.log_prob(x[:0], 0.5).shape == (0,)
    assert distribution.score(x[:0], 0.5).shape == (0, D)


@pytest.mark.parametrize("name", [*CURVES_AND_MIXTURES, "mixture-5d", "mixture-10d", "mixture-30d"])
def test_the_density_with_little_noise_tends_to_the_density_without(name: str) -> None:
    distribution = DISTRIBUTIONS[name]
    assert distribution.log_prob is not None
    x = distribution.sample(50, 4)
    # noise^2 / 2 times (Laplacian of p) / p, which is 1 / 0.01^2 times 20 or so for the narrowest curve.
    np.testing.assert_allclose(distribution.log_prob(x, 1e-6), distribution.log_prob(x), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("name", "noise"), [("ring", 0.01), ("parabola", 0.01), ("pinwheel", 0.03)])
def test_a_little_noise_spreads_a_density_of_the_plane_as_heat_does(name: str, noise: float) -> None:
    distribution, step = DISTRIBUTIONS[name], 1e-3
    x = distribution.sample(400, 8)
    corner = np.abs(np.abs(x[:, 0]) - np.abs(x[:, 1])) < 6 * noise  # the kinks of the ring
    x = x[~corner][:20]
    p = density(distribution, x, 0.0)
    neighbours = sum(
        density(distribution, x + shift, 0.0) for shift in step * np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])
    )
    change = noise**2 / 2 * (neighbours - 4 * p) / step**2 / p  # p + s^2/2 Laplacian p + O(s^4)
    found = density(distribution, x, noise) / p - 1
    # The next term is about the square of this one.
    np.testing.assert_allclose(found, change, rtol=0.02, atol=2 * np.abs(change).max() ** 2)


def test_within_a_square_of_the_board_noise_changes_nothing() -> None:
    centres = np.array([[1.0, 1.0], [-1.0, -1.0], [3.0, -1.0]])
    # The edges are 10 standard deviations away: a mass of 1e-23.
    np.testing.assert_allclose(density(DISTRIBUTIONS["checkerboard"], centres, 0.1), 1 / 32, rtol=1e-7)


@pytest.mark.parametrize("scale", [0.0, 0.02, 0.1, 0.5, 3.0, 100.0])
@pytest.mark.parametrize(
    ("name", "radii", "std"), [("circles", [1.0, 0.4], 0.06), ("rings", [0.75, 1.5, 2.25, 3], 0.08)]
)
def test_nodes_on_circles_give_the_closed_form(name: str, radii: list[float], std: float, scale: float) -> None:
    x = noisy_rows(DISTRIBUTIONS[name], 50, max(scale, 0.01), 6)
    r, R, width = np.hypot(*x.T)[:, None], np.array(radii), np.hypot(std, scale)
    exact = (np.exp(-((r - R) ** 2) / (2 * width**2)) * i0e(r * R / width**2)).mean(axis=1) / (2 * np.pi * width**2)
    np.testing.assert_allclose(np.exp(DISTRIBUTIONS[name].nodes(scale).log_prob(x, scale)), exact, rtol=1e-9)


@pytest.mark.parametrize("name", [name for name, distribution in DISTRIBUTIONS.items() if distribution.classes])
def test_the_density_with_noise_is_the_mean_of_those_of_the_classes(name: str) -> None:
    distribution = DISTRIBUTIONS[name]
    x = noisy_rows(distribution, 20, 0.2, 5)
    parts = np.mean([density(part, x, 0.2) for part in distribution.classes], axis=0)
    np.testing.assert_allclose(density(distribution, x, 0.2), parts, rtol=1e-9)


@pytest.mark.parametrize("noise", [0.3, TILTED])
@pytest.mark.parametrize("name", ["moons", "gaussian-mixture", "pinwheel", "parabola"])
def test_the_posterior_is_that_of_a_sum_over_the_plane(name: str, noise: Noise) -> None:
    distribution, S = DISTRIBUTIONS[name], noise_covariance(noise, 2)
    x = noisy_rows(distribution, 4, noise, 9)
    mean, covariance = distribution.nodes(0.12).posterior(x, noise)
    y, mass = grid(name)
    for i in range(4):
        weight = mass * normal(x[i] - y, S)
        weight /= weight.sum()
        middle = weight @ y
        np.testing.assert_allclose(mean[i], middle, rtol=0, atol=1e-7)
        np.testing.assert_allclose(covariance[i], (weight[:, None] * (y - middle)).T @ (y - middle), rtol=0, atol=1e-7)


@pytest.mark.parametrize("name", ["swiss-roll", "gaussian-mixture", "mixture-5d"])
def test_the_mean_of_the_posterior_is_tweedies(name: str) -> None:
    distribution = DISTRIBUTIONS[name]
    x = noisy_rows(distribution, 10, 0.4, 1)
    mean, _ = distribution.nodes(0.4).posterior(x, 0.4)
    np.testing.assert_allclose(mean, x + 0.4**2 * distribution.score(x, 0.4), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["moons", "parabola", "gaussian-mixture", "mixture-5d"])
def test_transformed_nodes_have_the_density_of_transformed_rows(name: str) -> None:
    distribution = DISTRIBUTIONS[name]
    assert distribution.log_prob is not None
    D = len(distribution.columns)
    rng = np.random.default_rng(0)
    matrix, offset, x = (
        rng.standard_normal((D, D)) + 2 * np.eye(D),
        rng.standard_normal(D),
        noisy_rows(distribution, 20, 0.5, 0),
    )
    nodes = distribution.nodes(0.5 / np.linalg.norm(matrix, 2)).transformed(offset, matrix)
    noise = np.linalg.inv(matrix).T @ np.linalg.inv(matrix) * 0.25  # in x, of noise 0.5 in z
    expected = distribution.log_prob(x, noise) - np.linalg.slogdet(matrix)[1]
    np.testing.assert_allclose(nodes.log_prob((x - offset) @ matrix, 0.5), expected, rtol=0, atol=1e-6)


def test_a_distribution_without_nodes_and_noise_that_is_none_are_refused() -> None:
    moons, board = DISTRIBUTIONS["moons"], DISTRIBUTIONS["checkerboard"]
    assert moons.log_prob is not None
    assert board.log_prob is not None
    x = np.zeros((3, 2))
    for call, words in (
        (
            lambda: Distribution("bare", ("x",), "", moons.sample).nodes(0.1),
            '"bare" has no representation as a sum of Gaussians',
        ),
        (lambda: moons.log_prob(x, -0.1), "standard deviation of the noise is -0.1"),
        (lambda: moons.log_prob(x, np.nan), "standard deviation of the noise is nan"),
        (lambda: moons.log_prob(x, np.eye(3)), r"shape \(3, 3\): give a number, or a covariance \(2, 2\)"),
        (lambda: moons.log_prob(x, np.array([[1.0, 2.0], [2.0, 1.0]])), "without negative variances"),
        (lambda: moons.score(x, np.array([[1.0, 0.2], [0.0, 1.0]])), "must be symmetric"),
        (lambda: moons.score(np.zeros(3), 0.1), r"score of \"moons\" takes an array of shape \(n, 2\), not \(3,\)"),
        (lambda: moons.nodes(-1.0), "scale of the noise is -1"),
        (lambda: board.log_prob(x, 0.001), r"noise of 0.001 would need too many nodes: add noise of at least 0.01"),
        (lambda: board.score(x, 0.0), "add noise of at least"),
        (lambda: board.nodes(0.1).log_prob(x), "no density here without noise"),
        (lambda: Nodes(x, np.zeros(3), np.zeros((2, 2))).score(x), "no density here without noise"),
    ):
        with pytest.raises(InputError, match=words):
            call()
