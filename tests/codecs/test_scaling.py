import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal
from sklearn.covariance import ledoit_wolf

from driftfield.codecs.scaling import Scaler, shrunk_covariance

KINDS = ("whiten", "standard", "none")


def table(n: int = 400, D: int = 3, seed: int = 0) -> np.ndarray:
    """Rows with correlated columns off the origin."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, D)) @ rng.standard_normal((D, D)) + rng.standard_normal(D) * 3


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_whitening_gives_zero_mean_and_the_identity_for_a_covariance(scale: float) -> None:
    rows = scale * table()
    z = Scaler.fit(rows, "whiten").forward(rows).astype(np.float64)
    # float32 rounds z by 6e-8, and so its moments.
    np.testing.assert_allclose(z.mean(0), 0, atol=1e-6)
    # The shrinkage of 400 rows, below 1 %, leaves the small variances a little too small, and the large ones too large.
    np.testing.assert_allclose(np.cov(z.T, bias=True), np.eye(3), atol=0.1)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_standardising_gives_each_column_zero_mean_and_unit_variance(scale: float) -> None:
    rows = scale * table()
    z = Scaler.fit(rows, "standard").forward(rows).astype(np.float64)
    np.testing.assert_allclose(z.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(z.std(0), 1, atol=1e-6)
    np.testing.assert_allclose(np.corrcoef(z.T), np.corrcoef(rows.T), atol=1e-6)


def test_no_scaling_is_the_identity() -> None:
    rows, scaler = table(), Scaler.fit(table(), "none")
    np.testing.assert_array_equal(scaler.forward(rows), rows.astype(np.float32))
    assert scaler.log_det == 0


@settings(deadline=None, derandomize=True, max_examples=60, database=None)
@given(
    kind=st.sampled_from(["whiten", "standard"]),
    exponents=st.lists(st.integers(-30, 30), min_size=1, max_size=4),
    seed=st.integers(0, 1000),
)
def test_scaling_and_back_is_the_identity_at_any_scale(kind: str, exponents: list[int], seed: int) -> None:
    units = 10.0 ** np.array(exponents)
    rows = table(50, len(units), seed) * units
    scaler = Scaler.fit(rows, kind)
    back = scaler.back(scaler.forward(rows))
    # float32 rounds z, at most 10, by 1e-6, and the inverse mixes standardised columns with factors of at most sqrt(D).
    np.testing.assert_array_less(np.abs(back - rows) / rows.std(0), 1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("D", [1, 2, 5])
def test_the_log_determinant_is_that_of_the_jacobian(kind: str, D: int) -> None:
    rows = table(D=D)
    scaler = Scaler.fit(rows, kind)
    # The map is affine: images of the origin and of the unit vectors, by the back map, which stays in float64.
    columns = scaler.back(np.eye(D)) - scaler.back(np.zeros((1, D)))
    sign, log_det = np.linalg.slogdet(columns)
    assert sign > 0
    assert scaler.log_det == pytest.approx(-log_det, abs=1e-10)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_densities_of_a_gaussian_change_units_by_the_log_determinant(scale: float) -> None:
    rows = table()
    scaler = Scaler.fit(scale * rows, "whiten")
    z = scaler.forward(scale * rows).astype(np.float64)
    in_units = multivariate_normal(np.zeros(3), np.eye(3)).logpdf(z) + scaler.log_det
    std = rows.std(0)
    covariance = ledoit_wolf((rows - rows.mean(0)) / std)[0] * np.outer(std, std)
    truth = multivariate_normal(rows.mean(0), covariance).logpdf(rows) - 3 * np.log(scale)
    np.testing.assert_allclose(in_units, truth, atol=1e-5)  # z^2 / 2 with z rounded to float32


@pytest.mark.parametrize("kind", KINDS)
def test_scores_change_units_as_gradients_do(kind: str) -> None:
    rows = table() * np.array([1.0, 100.0, 1e-3])
    scaler = Scaler.fit(rows, kind)
    x, std = rows[:5], rows.std(0)

    def log_density(x: np.ndarray) -> np.ndarray:
        z = ((x - scaler.mean) / scaler.scale) @ scaler.rotation  # in float64, for the differences
        return -0.25 * (z**4).sum(1)

    z = scaler.forward(x).astype(np.float64)
    score = scaler.score_back(-(z**3))
    for d in range(3):
        h = 1e-5 * std[d] * np.eye(3)[d]
        numeric = (log_density(x + h) - log_density(x - h)) / (2e-5 * std[d])
        # z^3 from float32 is good to 1e-6 relative; the largest term of the row sets the size of the rounding.
        size = np.abs(score[:, d]).max() + np.abs(score * std / std[d]).max(1)
        assert (np.abs(score[:, d] - numeric) < 1e-5 * size).all()


@pytest.mark.parametrize("kind", ["whiten", "standard"])
def test_columns_that_repeat_each_other_stay_finite(kind: str) -> None:
    rows = table(D=2)
    rows = np.column_stack([rows, rows[:, 0], 2 * rows[:, 0] - 5 * rows[:, 1]])
    scaler = Scaler.fit(rows, kind)
    z = scaler.forward(rows)
    assert np.isfinite(z).all()
    assert np.isfinite(scaler.log_det)
    # The smallest eigenvalue is cut to 1e-9, so the inverse shrinks what float32 rounds.
    assert (np.abs(scaler.back(z) - rows) / rows.std(0)).max() < 1e-5


def test_whitening_commutes_with_a_change_of_units() -> None:
    rows, units = table(), np.array([1e-20, 1e3, 1e15])
    z, of_units = Scaler.fit(rows).forward(rows), Scaler.fit(rows * units).forward(rows * units)
    np.testing.assert_allclose(of_units, z, atol=1e-5)


def test_a_large_offset_costs_only_the_digits_it_hides() -> None:
    rows = table() + 1e9
    z = Scaler.fit(rows, "standard").forward(rows)
    exact = (table() - table().mean(0)) / table().std(0)
    np.testing.assert_allclose(z, exact, atol=1e-5)  # float64 holds 1e9 to 1e-7


def test_one_column_needs_no_rotation() -> None:
    rows = table(D=1)
    np.testing.assert_allclose(
        Scaler.fit(rows, "whiten").forward(rows), Scaler.fit(rows, "standard").forward(rows), atol=1e-7
    )


def test_a_constant_column_keeps_its_value() -> None:
    rows = table(D=2)
    rows[:, 1] = 7.5
    for kind in ("whiten", "standard"):
        scaler = Scaler.fit(rows, kind)
        assert np.isfinite(scaler.forward(rows)).all()
        np.testing.assert_allclose(scaler.back(scaler.forward(rows))[:, 1], 7.5, atol=1e-5)


def test_the_shrinkage_is_that_of_scikit_learn() -> None:
    for n, D in ((10, 30), (60, 5), (900, 3)):
        z = table(n, D)
        z = (z - z.mean(0)) / z.std(0)
        covariance, shrinkage = shrunk_covariance(z)
        expected, of_sklearn = ledoit_wolf(z, assume_centered=True)
        assert shrinkage == pytest.approx(of_sklearn, rel=1e-9)
        np.testing.assert_allclose(covariance, expected, atol=1e-12)
        np.testing.assert_allclose(shrunk_covariance(z, np.full(n, 2.5))[0], covariance, atol=1e-12)


@pytest.mark.parametrize("D", [20, 40, 300])
@pytest.mark.parametrize("rows_per_column", [0.5, 1, 1.2, 2, 5])
def test_few_rows_of_many_columns_keep_the_density_near_the_entropy(D: int, rows_per_column: float) -> None:
    rng = np.random.default_rng(D)
    rows, fresh = rng.normal(size=(int(rows_per_column * D), D)), rng.normal(size=(400, D))
    scaler = Scaler.fit(rows)
    z = scaler.forward(fresh).astype(np.float64)
    log_density = -0.5 * (z**2).sum(1).mean() - D / 2 * np.log(2 * np.pi) + scaler.log_det  # of the untrained model
    entropy = D / 2 * np.log(2 * np.pi * np.e)
    assert -log_density < 1.15 * entropy


def test_whitening_of_many_rows_is_hardly_shrunk() -> None:
    rows = table(20_000, 4)
    z = Scaler.fit(rows).forward(rows).astype(np.float64)
    np.testing.assert_allclose(np.cov(z.T, bias=True), np.eye(4), atol=5e-3)  # of a smallest eigenvalue of 1 %


@pytest.mark.parametrize("kind", ["whiten", "standard"])
def test_a_row_of_weight_zero_does_not_count_and_equal_weights_change_nothing(kind: str) -> None:
    rows = table(60)
    weights = np.where(np.arange(60) < 40, 3.0, 0.0)
    for weighted, plain in (
        (Scaler.fit(rows, kind, weights), Scaler.fit(rows[:40], kind)),
        (Scaler.fit(rows, kind, np.full(60, 0.2)), Scaler.fit(rows, kind)),
    ):
        np.testing.assert_allclose(weighted.mean, plain.mean, atol=1e-12)
        np.testing.assert_allclose(weighted.rotation / weighted.scale, plain.rotation / plain.scale, atol=1e-12)


def test_weights_are_repetitions_of_rows() -> None:
    rows, weights = table(50), np.random.default_rng(1).integers(0, 4, 50)
    weighted, repeated = (
        Scaler.fit(rows, "standard", weights.astype(float)),
        Scaler.fit(np.repeat(rows, weights, axis=0), "standard"),
    )
    np.testing.assert_allclose(weighted.mean, repeated.mean, rtol=1e-12)
    np.testing.assert_allclose(weighted.scale, repeated.scale, rtol=1e-12)
