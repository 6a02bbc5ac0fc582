r"""Baselines: three classical density estimates of the same rows, which a model should beat.

Each is fitted to columns standardised by the training rows, z = (x - mean) / std, and reported in the user's units,

    log p(x) = log p(z) - sum_j log std_j        (nats),

so scaling a column by c shifts every log-density by -log c and changes nothing else.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from driftfield.codecs.scaling import SMALLEST_EIGENVALUE, FloatArray, Scaler, shrunk_covariance
from driftfield.errors import InputError
from driftfield.evaluation.rows import checked, choose, standardised
from driftfield.seeds import derive, stream

FIT_ROWS = 20_000
SEARCH_ROWS = (1_000, 5_000)  # at least and at most; within these, SEARCH_CELLS numbers
SEARCH_CELLS = 40_000
SEARCH_FOLDS = 5
TOLERANCE = 1e-4  # relative, of kernel sums: about 1e-4 nats, and up to ten times faster than exact sums
MOST_COMPONENTS = 10
RISES = 2  # the search over components stops after this many rises of BIC in a row


@dataclass(frozen=True)
class Baseline:
    """A classical density on the held-out rows.

    Attributes:
        name: a key, "gaussian", "kde" or "mixture".
        label: the name in reports.
        log_prob: log-density of each held-out row, (n,), in nats and the user's units.
        detail: the chosen bandwidth, components and regularisation.
    """

    name: str
    label: str
    log_prob: FloatArray
    detail: str

    @property
    def log_density(self) -> float:
        """The mean log-density of the held-out rows, nats."""
        return float(self.log_prob.mean())

    @property
    def error(self) -> float:
        """The standard error of ``log_density``, nats."""
        return float(np.std(self.log_prob, ddof=1) / np.sqrt(len(self.log_prob)))


def baselines(
    train: ArrayLike, held_out: ArrayLike, seed: int = 0, weights: FloatArray | None = None
) -> list[Baseline]:
    """A full-covariance Gaussian, a cross-validated kernel density, and a Gaussian mixture chosen by BIC.

    Args:
        train: rows to fit, (N, D), in the user's units; the last two are fitted to at most 20,000 of them.
        held_out: rows to judge by, (n, D).
        seed: of the subsample, the folds and the starts of the mixture.
        weights: what each training row counts (N,). The Gaussian has weighted moments, and the other two are fitted to
            rows that occur as often as they weigh (:func:`~driftfield.datasets.weights.representative`).

    Raises:
        InputError: different columns, fewer than three rows, NaN or infinity, or training rows that are all equal.
    """
    rows = checked(train, "training")
    judged = checked(held_out, "held-out", rows.shape[1], fewest=2)
    if np.ptp(rows, axis=0).max() == 0:
        raise InputError("The training rows are all equal: there is no density to compare with.")
    scaler = Scaler.fit(rows, "standard", weights)
    z, z_judged = standardised(scaler, rows), standardised(scaler, judged)
    some = choose(z, FIT_ROWS, stream(seed, "rows of the baselines"), weights)
    on = f", on {len(some):,} of {len(z):,} rows" if len(some) < len(z) else ""
    fits = (
        ("gaussian", "Gaussian, full covariance", *gaussian(z, z_judged, weights), ""),
        ("kde", "Kernel density", *kernel_density(some, z_judged, seed), on),
        ("mixture", "Gaussian mixture", *mixture(some, z_judged, seed), on),
    )
    return [Baseline(name, label, log_prob + scaler.log_det, detail + on) for name, label, log_prob, detail, on in fits]


def best(models: Sequence[Baseline]) -> Baseline:
    """The baseline with the highest mean held-out log-density.

    Raises:
        InputError: there is none.
    """
    if not models:
        raise InputError("There is no baseline to choose from: give at least one.")
    return max(models, key=lambda model: model.log_density)


def gaussian(z: FloatArray, judged: FloatArray, weights: FloatArray | None = None) -> tuple[FloatArray, str]:
    """Log-density (n,) under the Gaussian with the mean and the shrunk covariance of z (N, D), and what was done.

    The covariance is shrunk towards a multiple of the identity (Ledoit, Wolf 2004, equation 14), by ever less for more
    rows, so that it is that of maximum likelihood in the end.
    """
    from scipy.stats import multivariate_normal

    mean = np.average(z, axis=0, weights=weights)
    covariance, shrinkage = shrunk_covariance(z - mean, weights)
    covariance = covariance + SMALLEST_EIGENVALUE * np.trace(covariance) * np.eye(len(covariance))
    log_prob = np.atleast_1d(multivariate_normal(mean, covariance).logpdf(judged))
    return log_prob, f"Ledoit-Wolf shrinkage {shrinkage:.2g}"


def kernel_density(z: FloatArray, judged: FloatArray, seed: int) -> tuple[FloatArray, str]:
    """Log-density (n,) under a Gaussian kernel density of z (N, D), and its bandwidth.

    The bandwidth maximises the 5-fold log-likelihood of at most 5,000 rows (fewer for many columns, where it hardly
    depends on them), on a grid around the normal-reference one (4 / (D + 2) n)^(1 / (D + 4)) and then on a finer
    one; it is rescaled from the n rows of a fold to N rows at the rate N^(-1 / (D + 4)) (Silverman 1986, eq. 4.14).
    """
    from sklearn.neighbors import KernelDensity

    D = z.shape[1]
    searched = int(np.clip(SEARCH_CELLS // D, *SEARCH_ROWS))
    some = choose(z, searched, stream(seed, "rows of the bandwidth search"))
    folds = min(SEARCH_FOLDS, len(some))
    in_fold = len(some) * (folds - 1) / folds
    grid = (4 / ((D + 2) * in_fold)) ** (1 / (D + 4)) * np.geomspace(0.03, 3, 10)
    coarse = _likeliest(grid, some, folds, seed)
    edge = ", the smallest tried" if coarse == grid[0] else ", the largest tried" if coarse == grid[-1] else ""
    step = grid[1] / grid[0]
    chosen = coarse if edge else _likeliest(coarse * step ** np.linspace(-0.75, 0.75, 7), some, folds, seed)
    bandwidth = chosen * (len(z) / in_fold) ** (-1 / (D + 4))
    log_prob = KernelDensity(bandwidth=bandwidth, rtol=TOLERANCE).fit(z).score_samples(judged)
    return log_prob, f"bandwidth {bandwidth:.3g} standard deviations by {folds}-fold cross-validation{edge}"


def _likeliest(grid: FloatArray, z: FloatArray, folds: int, seed: int) -> float:
    """The bandwidth of the grid with the highest cross-validated log-likelihood."""
    from sklearn.model_selection import GridSearchCV, KFold
    from sklearn.neighbors import KernelDensity

    cut = KFold(folds, shuffle=True, random_state=derive(seed, "folds of the bandwidth search", bits=32))
    search = GridSearchCV(KernelDensity(rtol=TOLERANCE), {"bandwidth": grid}, cv=cut, refit=False).fit(z)
    return float(search.best_params_["bandwidth"])


def mixture(z: FloatArray, judged: FloatArray, seed: int) -> tuple[FloatArray, str]:
    """Log-density (n,) under the Gaussian mixture of z (N, D) with the lowest BIC, and its number of components.

    Full covariances, two starts; 1 to 10 components, as long as each can have twice as many rows as columns. BIC is
    -2 log L + parameters * log N (Schwarz 1978).
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    most = max(1, min(MOST_COMPONENTS, len(z) // (2 * (z.shape[1] + 1))))
    start = derive(seed, "starts of the mixture", bits=32)
    chosen, lowest, rises, before = None, np.inf, 0, np.inf
    with (
        threadpool_limits(1),
        warnings.catch_warnings(),
    ):  # k-means, which starts it, is slow with threads on a shared machine
        warnings.simplefilter("ignore", ConvergenceWarning)  # reported in the detail
        for components in range(1, most + 1):
            model = GaussianMixture(components, n_init=2, random_state=start).fit(z)
            bic = model.bic(z)
            if bic < lowest:
                chosen, lowest = model, bic
            rises = rises + 1 if bic > before else 0
            before = bic
            if rises == RISES:
                break
    if chosen is None:
        raise InputError("No Gaussian mixture could be fitted: the training rows are too large to square.")
    ended = "" if chosen.converged_ else ", EM not converged"
    count = f"{chosen.n_components} component{'s' * (chosen.n_components != 1)}"
    return chosen.score_samples(judged), f"{count} by BIC, of at most {most}{ended}"
