"""The built-in distributions: their samples, densities and entropies agree with each other and with other sources."""

import random
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import chisquare, multivariate_normal, norm
from sklearn.datasets import make_circles, make_moons, make_s_curve, make_swiss_roll
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from driftfield.datasets import DISTRIBUTIONS, Distribution, FloatArray
from driftfield.datasets.curves import circles, moons, rings, s_curve, swiss_roll, two_spirals
from driftfield.datasets.mixtures import mixture
from driftfield.errors import InputError

# Boxes that hold all but 1e-6 of the mass, and a spacing at which the midpoint rule sees the narrowest structure.
BOXES: dict[str, list[tuple[float, float, float, float, float]]] = {
    "moons": [(-1.7, -1.2, 2.7, 1.7, 0.1)],
    "swiss-roll": [(-1.3, -1.5, 1.5, 1.6, 0.02)],
    "swiss-roll-fine": [(-1.3, -1.5, 1.5, 1.6, 0.01)],
    "s-curve": [(-0.17, -0.27, 0.17, 0.27, 0.01)],
    "circles": [(-1.4, -1.4, 1.4, 1.4, 0.06)],
    "ring": [(-1.5, -1.5, 1.5, 1.5, 0.005)],
    "rings": [(-3.6, -3.6, 3.6, 3.6, 0.08)],
    "parabola": [(-24, -8, 24, 152, 0.5)],
    "moons-circles": [(-1.1, -1.1, 1.1, 1.1, 0.01), (13.9, 14.4, 17.1, 16.1, 0.01)],
    "8-gaussians": [(-5, -5, 5, 5, 0.3)],
    "checkerboard": [(-5, -5, 5, 5, 0.02)],
    "2-spirals": [(-4.5, -4.5, 4.5, 4.5, 0.1)],
    "pinwheel": [(-6, -6, 6, 6, 0.04)],
    "gaussian-mixture": [(-6, -7, 6, 6, 0.05)],
    "gaussian": [(-15, -9, 17, 7, 0.3)],
}

PLANAR = [name for name, distribution in DISTRIBUTIONS.items() if distribution.columns == ("x", "y")]


def boxes(name: str) -> list[tuple[float, float, float, float, float]]:
    if name not in BOXES:
        pytest.fail(f'The distribution "{name}" is not in BOXES of {__file__}: give it the boxes that hold its mass.')
    return BOXES[name]


SKLEARN: dict[str, Callable[[int], FloatArray]] = {
    "moons": lambda n: make_moons(n, noise=0.1, random_state=1)[0],
    "circles": lambda n: make_circles(n, noise=0.06, factor=0.4, random_state=1)[0],
    "swiss-roll": lambda n: make_swiss_roll(n, noise=0.2, random_state=1)[0][:, [0, 2]] / 10,
    "s-curve": lambda n: make_s_curve(n, noise=0.1, random_state=1)[0][:, [0, 2]] / 10,
}

# Entropies in nats, raw and after dividing each column by its standard deviation: minus the mean of log p over 60,000
# draws of the construction, where p sums the density of the noise over a fine grid of the curve. Good to 0.005.
ENTROPIES = [
    (moons(0.05), 0.295, 1.136),
    (moons(0.06), 0.479, 1.323),
    (moons(0.10), 1.010, 1.831),
    (moons(0.20), 1.676, 2.422),
    (circles(0.06, 0.4), 0.677, 1.905),
    (circles(0.08, 0.5, scale=3), 3.268, 2.211),
    (rings(), 2.624, 1.873),
    (swiss_roll(1.0, 0.2), 2.666, 2.034),
    (swiss_roll(0.5, 0.1), 0.577, 1.348),
    (s_curve(0.05, 1), 0.675, 0.691),
    (s_curve(0.1, 1), 1.374, 1.382),
    (DISTRIBUTIONS["8-gaussians"], 2.829, 1.412),
    (DISTRIBUTIONS["2-spirals"], 2.648, 1.706),
    (DISTRIBUTIONS["checkerboard"], 3.466, 1.794),
    (circles(0.05, 1.0), 0.262, 0.950),
]


def density(distribution: Distribution, x: FloatArray) -> FloatArray:
    assert distribution.log_prob is not None
    return np.exp(distribution.log_prob(x))


def midpoints(box: tuple[float, float, float, float, float]) -> tuple[FloatArray, float]:
    """The midpoints of a grid over a box (x0, y0, x1, y1, spacing), (n, 2), and the area of one cell."""
    x0, y0, x1, y1, step = box
    x, y = np.arange(x0 + step / 2, x1, step), np.arange(y0 + step / 2, y1, step)
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2), step**2


def test_the_table_holds_the_distributions_under_their_own_names() -> None:
    assert list(DISTRIBUTIONS) == [distribution.name for distribution in DISTRIBUTIONS.values()]
    assert set(PLANAR) == set(BOXES)
    assert {"mixture-5d", "mixture-10d", "mixture-30d"} <= set(DISTRIBUTIONS) - set(PLANAR)


@pytest.mark.parametrize("name", PLANAR)
def test_the_density_integrates_to_one(name: str) -> None:
    mass = sum(density(DISTRIBUTIONS[name], points).sum() * area for points, area in map(midpoints, boxes(name)))
    assert mass == pytest.approx(1, abs=1e-4)  # the boxes leave out 1e-6; the ring has a kink along the diagonals


TOO_THIN = {"swiss-roll", "swiss-roll-fine", "s-curve", "moons-circles"}  # for cells of this size


@pytest.mark.parametrize("name", sorted(set(PLANAR) - TOO_THIN))
def test_samples_fall_into_cells_as_the_density_says(name: str) -> None:
    distribution, n, cells, fine = DISTRIBUTIONS[name], 40_000, 48, 4  # cells of 4 by 4 points of the midpoint rule
    x = distribution.sample(n, 3)
    low, high = np.floor(x.min(axis=0)), np.ceil(x.max(axis=0))
    edges = [np.linspace(a, b, cells + 1) for a, b in zip(low, high, strict=True)]
    counts = np.histogram2d(x[:, 0], x[:, 1], edges)[0].ravel()
    middles = [a + (np.arange(cells * fine) + 0.5) * (b - a) / (cells * fine) for a, b in zip(low, high, strict=True)]
    points = np.stack(np.meshgrid(*middles, indexing="ij"), axis=-1).reshape(-1, 2)
    mass = density(distribution, points).reshape(cells, fine, cells, fine).sum(axis=(1, 3)).ravel()
    expected = n * mass * np.prod((high - low) / (cells * fine))
    full = expected > 5  # the usual bound for the chi-square distribution to hold; the other cells count as one
    observed = np.append(counts[full], n - counts[full].sum())
    expected = np.append(expected[full], max(n - expected[full].sum(), 1e-3))
    assert chisquare(observed, expected * n / expected.sum()).pvalue > 1e-3


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_the_mean_negative_log_density_of_samples_is_the_entropy(name: str) -> None:
    distribution = DISTRIBUTIONS[name]
    assert distribution.log_prob is not None
    log_p = distribution.log_prob(distribution.sample(10_000, 7))
    assert np.isfinite(log_p).all()
    assert -log_p.mean() == pytest.approx(distribution.entropy, abs=4 * log_p.std() / np.sqrt(len(log_p)) + 1e-9)


@pytest.mark.parametrize(("distribution", "raw", "_"), ENTROPIES)
def test_the_entropy_is_that_of_many_draws(distribution: Distribution, raw: float, _: float) -> None:
    assert distribution.entropy == pytest.approx(raw, abs=0.007)  # 1.5 standard errors of the coarsest of them


@pytest.mark.parametrize(("distribution", "_", "standardised"), ENTROPIES)
def test_the_entropy_after_standardising_is_that_of_many_draws(
    distribution: Distribution, _: float, standardised: float
) -> None:
    assert distribution.entropy is not None
    scale = distribution.sample(100_000, 0).std(axis=0)
    assert distribution.entropy - np.log(scale).sum() == pytest.approx(
        standardised, abs=0.012
    )  # 0.007 + 5 errors of the scales


@pytest.mark.parametrize(
    ("name", "exact"),
    [
        ("checkerboard", np.log(32)),
        ("parabola", np.log(2 * np.pi * np.e * 4)),
        ("gaussian", np.log(2 * np.pi * np.e) + np.log(4.0 - 1.6**2) / 2),
    ],
)
def test_entropies_with_a_closed_form_are_met(name: str, exact: float) -> None:
    assert DISTRIBUTIONS[name].entropy == pytest.approx(exact, abs=1e-4)  # the grid's error; exact for the first two


def test_scaling_a_distribution_adds_the_log_of_the_area_to_its_entropy() -> None:
    small, large = swiss_roll(0.3, 0.1).entropy, swiss_roll(0.3, 1.0).entropy
    assert small is not None
    assert large is not None
    assert large - small == pytest.approx(2 * np.log(10), abs=1e-6)


def test_the_entropy_is_computed_once() -> None:
    calls = []
    distribution = Distribution(
        "one", ("x",), "", lambda n, seed: np.zeros((n, 1)), None, lambda: calls.append(1) or 2.5
    )  # type: ignore[func-returns-value]
    assert (distribution.entropy, distribution.entropy, len(calls)) == (2.5, 2.5, 1)
    assert Distribution("unknown", ("x",), "", distribution.sample).entropy is None


def along(x: FloatArray, path: Callable[[float], tuple[float, float]], span: tuple[float, float], std: float) -> float:
    """∫ N(x; c(t), std²) dt / (length of the span), by scipy's adaptive quadrature."""

    def integrand(t: float) -> float:
        a, b = path(t)
        return float(norm.pdf(x[0], a, std) * norm.pdf(x[1], b, std)) / (span[1] - span[0])

    return float(quad(integrand, *span, limit=2000, epsabs=0, epsrel=1e-9, points=np.linspace(*span, 150)[1:-1])[0])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["moons", "swiss-roll", "s-curve", "circles"])
def test_densities_along_curves_agree_with_adaptive_quadrature(name: str, seed: int) -> None:
    x = DISTRIBUTIONS[name].sample(1, seed)
    value = density(DISTRIBUTIONS[name], x)[0]
    if name == "moons":
        upper = along(x[0], lambda t: (np.cos(t), np.sin(t)), (0, np.pi), 0.1)
        exact = (upper + along(x[0], lambda t: (1 - np.cos(t), 0.5 - np.sin(t)), (0, np.pi), 0.1)) / 2
    elif name == "circles":
        rounds = [along(x[0], lambda t, r=r: (r * np.cos(t), r * np.sin(t)), (0, 2 * np.pi), 0.06) for r in (1, 0.4)]  # type: ignore[misc]
        exact = sum(rounds) / 2
    elif name == "swiss-roll":
        exact = along(x[0], lambda t: (0.1 * t * np.cos(t), 0.1 * t * np.sin(t)), (1.5 * np.pi, 4.5 * np.pi), 0.02)
    else:
        span = (-1.5 * np.pi, 1.5 * np.pi)
        exact = along(x[0], lambda t: (0.1 * np.sin(t), 0.1 * np.sign(t) * (np.cos(t) - 1)), span, 0.01)
    assert np.log(value) == pytest.approx(np.log(exact), abs=1e-6)


def test_the_spirals_agree_with_adaptive_quadrature() -> None:
    def exact(x: FloatArray) -> float:
        def box(d: float) -> float:
            return float(norm.cdf(d / 0.1) - norm.cdf((d - 0.5 / 3) / 0.1)) / (0.5 / 3)

        def integrand(t: float) -> float:
            a, b = -t * np.cos(t) / 3, t * np.sin(t) / 3
            arms = box(x[0] - a) * box(x[1] - b) + box(-x[0] - a) * box(-x[1] - b)
            return float(arms * t / (3 * np.pi) ** 2)  # half of p(t) = 2 t / (3 pi)^2 for each arm

        return float(
            quad(integrand, 0, 3 * np.pi, limit=500, epsrel=1e-9, points=np.linspace(0, 3 * np.pi, 60)[1:-1])[0]
        )

    x = two_spirals().sample(5, 0)
    np.testing.assert_allclose(np.log(density(two_spirals(), x)), np.log([exact(row) for row in x]), atol=1e-6)


def test_a_mixture_agrees_with_scipy() -> None:
    rng = np.random.default_rng(0)
    weights, means = np.array([0.7, 0.3]), rng.normal(size=(2, 2))
    covariances = np.array([[[1.0, -0.4], [-0.4, 0.5]], [[0.2, 0.1], [0.1, 0.3]]])
    x = rng.normal(size=(50, 2))
    parts = [w * multivariate_normal(m, c).pdf(x) for w, m, c in zip(weights, means, covariances, strict=True)]
    distribution = mixture("two", "", weights, means, covariances)
    np.testing.assert_allclose(density(distribution, x), np.sum(parts, axis=0), rtol=1e-10)
    y = distribution.sample(100_000, 0)
    np.testing.assert_allclose(y.mean(axis=0), weights @ means, atol=5 / np.sqrt(100_000) * 1.5)


@pytest.mark.parametrize("name", SKLEARN)
def test_moments_are_those_of_scikit_learns_generator(name: str) -> None:
    n = 50_000
    ours, theirs = DISTRIBUTIONS[name].sample(n, 0), SKLEARN[name](n)
    for power in (1, 2, 3):
        a, b = ours**power, theirs**power
        assert (np.abs(a.mean(axis=0) - b.mean(axis=0)) < 5 * np.hypot(a.std(axis=0), b.std(axis=0)) / np.sqrt(n)).all()


@pytest.mark.parametrize("name", SKLEARN)
def test_neighbours_cannot_tell_samples_from_scikit_learns(name: str) -> None:
    n = 4_000
    x = np.concatenate([DISTRIBUTIONS[name].sample(n, 0), SKLEARN[name](n)])
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    accuracy = cross_val_score(KNeighborsClassifier(30), x / x.std(axis=0), np.repeat([0, 1], n), cv=folds).mean()
    assert accuracy == pytest.approx(0.5, abs=0.03)  # 5 binomial standard errors, sqrt(1/4/8000) = 0.0056 each


def test_the_ring_is_denser_towards_the_corners_of_the_square() -> None:
    x = np.abs(DISTRIBUTIONS["ring"].sample(100_000, 0))
    diagonal = (x.min(axis=1) / x.max(axis=1) > 0.5).mean()
    assert diagonal == pytest.approx(0.5, abs=0.01)  # uniform in tan(angle); a uniform angle would give 0.41


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_the_seed_alone_decides_the_rows(name: str) -> None:
    before = np.random.get_state(legacy=True), random.getstate()
    distribution = DISTRIBUTIONS[name]
    first, again, other = distribution.sample(100, 5), distribution.sample(100, 5), distribution.sample(100, 6)
    np.testing.assert_equal(np.random.get_state(legacy=True), before[0])
    assert random.getstate() == before[1]
    assert first.dtype == np.float64
    assert first.shape == (100, len(distribution.columns))
    np.testing.assert_array_equal(first, again)
    assert not np.intersect1d(first, other).size


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_rows_come_in_no_order(name: str) -> None:
    n = 10_000
    x = DISTRIBUTIONS[name].sample(n, 1)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    index = (np.arange(n) - n / 2) / (n / np.sqrt(12))
    assert (np.abs(x.T @ index / n) < 4.5 / np.sqrt(n)).all()  # no drift from the first row to the last
    assert (np.abs((x[1:] * x[:-1]).mean(axis=0)) < 4.5 / np.sqrt(n)).all()  # neighbours are not alike
    half = (x[: n // 2] * x[n // 2 :]).mean(axis=0)
    assert (np.abs(half) < 4.5 / np.sqrt(n / 2)).all()  # and the halves are not each other's mirror


def test_distributions_with_one_seed_use_different_streams() -> None:
    a, b = DISTRIBUTIONS["circles"].sample(1000, 0), DISTRIBUTIONS["rings"].sample(1000, 0)
    first, second = (np.arctan2(x[:, 1], x[:, 0]) for x in (a, b))
    assert abs(np.corrcoef(first, second)[0, 1]) < 4 / np.sqrt(1000)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_far_points_have_a_density_without_nan_or_warning(name: str) -> None:
    distribution = DISTRIBUTIONS[name]
    assert distribution.log_prob is not None
    places = np.array([[0.0, 0.0], [50.0, -50.0], [1e6, 1e6]])
    with np.errstate(all="raise", under="ignore"):
        log_p = distribution.log_prob(places[:, np.arange(len(distribution.columns)) % 2])
    assert not np.isnan(log_p).any()
    assert log_p[2] < log_p[1] < -100 or name == "checkerboard"


def test_the_checkerboard_has_no_density_on_white_squares_and_outside() -> None:
    log_p = DISTRIBUTIONS["checkerboard"].log_prob
    assert log_p is not None
    x = np.array([[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0], [3.0, 1.0], [4.5, 4.5], [-4.1, -4.1]])
    np.testing.assert_array_equal(log_p(x), [-np.log(32), -np.log(32), -np.inf, -np.inf, -np.inf, -np.inf])


def test_wrong_arguments_are_refused() -> None:
    distribution = DISTRIBUTIONS["moons"]
    assert distribution.log_prob is not None
    with pytest.raises(InputError, match=r"0 rows of \"moons\""):
        distribution.sample(0, 0)
    with pytest.raises(InputError, match="seed is -1"):
        distribution.sample(5, -1)
    with pytest.raises(InputError, match=r"shape \(n, 2\), not \(3,\)"):
        distribution.log_prob(np.zeros(3))
    assert distribution.log_prob(np.zeros((0, 2))).shape == (0,)


def test_importing_the_distributions_is_light() -> None:
    heavy = ("torch", "sklearn", "scipy", "polars", "narwhals", "pandas")
    code = f"import sys, driftfield.datasets; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
