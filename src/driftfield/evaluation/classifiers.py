r"""C2ST, the classifier two-sample test: can a classifier tell generated rows from real ones?

    accuracy = P( classifier(x) = side of x ),   x drawn from both sides equally often,

measured on rows that the classifier was not trained on. The best classifier between densities p and q has the accuracy
(1 + TV(p, q)) / 2, with TV their total variation distance: 0.5 is ideal, and every classifier gives a lower bound. Two
of them detect different failures: nearest neighbours local texture, boosted trees marginals and sharp edges.

Source: Lopez-Paz, Oquab 2017, Revisiting classifier two-sample tests, section 3, https://arxiv.org/abs/1610.06545.
"""

import numpy as np
from numpy.typing import ArrayLike

from driftfield.codecs import FloatArray
from driftfield.evaluation.metric import Measured
from driftfield.seeds import derive, stream

FOLDS = 3
NEIGHBOURS = 30
ITERATIONS = 200
ROWS_PER_LEAF = 20
SCATTER = 1.3  # of the accuracy over repeated draws, over the binomial error
FULL_FOLD = 45  # training rows from which the classifiers have their full settings


def judge_settings(n: int) -> tuple[int, int]:
    """(neighbours, rows per leaf) of the two classifiers for ``n`` rows per side.

    Thirty neighbours and twenty rows per leaf, unless the folds are so small that all rows would be classified alike.
    """
    training = 2 * n * (FOLDS - 1) // FOLDS
    if training >= FULL_FOLD:
        return NEIGHBOURS, ROWS_PER_LEAF
    return max(1, training // 2), max(1, training // 4)


def c2st(sample: FloatArray, real: FloatArray, seed: int) -> tuple[Measured, Measured]:
    """Accuracy of k-NN and of histogram gradient boosting at telling ``sample`` from ``real``, both (n, D).

    Columns are standardised together; three stratified folds. Rows are shuffled before they are split into
    folds, since they may be ordered or paired.

    Returns:
        (k-NN, boosting), each with the error 1.3 sqrt(p (1 - p) / 2n). The accuracy scatters more than a binomial
        fraction, since two rows of different folds judge each other. Over repeated draws the factor was 1.1 to 1.4
        in 13 cases, from equal distributions to clearly different ones, 60 to 1,500 rows and 1 to 10 columns.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.preprocessing import StandardScaler

    n = len(sample)
    rng = stream(seed, "order of rows in C2ST")
    x = np.concatenate([sample[rng.permutation(n)], real[rng.permutation(n)]])
    x = StandardScaler().fit_transform(np.ldexp(x, -np.frexp(np.abs(x).max(0))[1]))  # whose squares can be computed
    side = np.repeat([0, 1], n)
    neighbours, leaf = judge_settings(n)
    trees = HistGradientBoostingClassifier(max_iter=ITERATIONS, min_samples_leaf=leaf)
    trees.set_params(random_state=derive(seed, "boosted trees of C2ST", bits=32))
    return _accuracy(KNeighborsClassifier(neighbours), x, side, seed), _accuracy(trees, x, side, seed)


def _accuracy(judge: object, x: ArrayLike, side: FloatArray, seed: int) -> Measured:
    """The mean accuracy over the folds, and its error."""
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=derive(seed, "folds of C2ST", bits=32))
    with threadpool_limits(1):  # boosting on few columns is a hundred times slower with threads on a shared machine
        accuracy = float(cross_val_score(judge, x, side, cv=folds).mean())
    return Measured(accuracy, SCATTER * float(np.sqrt(accuracy * (1 - accuracy) / len(side))))
