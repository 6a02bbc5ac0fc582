r"""C2ST, the classifier two-sample test: can a classifier tell generated rows from real ones?

    accuracy = P( judge(x) = side of x ),   x drawn from both sides equally often,

measured on rows that the judge was not trained on. The best judge of two densities p and q reaches (1 + TV(p, q)) / 2,
with TV their total variation distance, so that 0.5 is perfect and every judge gives a lower bound. Two judges see
different failures: neighbours see local texture, boosted trees see marginals and sharp edges.

Source: Lopez-Paz & Oquab 2017, Revisiting classifier two-sample tests, section 3.
"""

import numpy as np
from numpy.typing import ArrayLike

from driftfield.codecs.scaling import FloatArray
from driftfield.evaluation.metric import Measured
from driftfield.seeds import derive, stream

FOLDS = 3
NEIGHBOURS = 30
ITERATIONS = 200
ROWS_PER_LEAF = 20
FULL_FOLD = 45  # training rows from which on the judges have their full settings; with fewer they could not tell at all


def judge_settings(n: int) -> tuple[int, int]:
    """(neighbours, rows per leaf) of the two judges for ``n`` rows a side.

    Thirty neighbours and twenty rows a leaf, unless the folds are so small that such a judge calls all rows alike.
    """
    training = 2 * n * (FOLDS - 1) // FOLDS
    if training >= FULL_FOLD:
        return NEIGHBOURS, ROWS_PER_LEAF
    return max(1, training // 2), max(1, training // 4)


def c2st(sample: FloatArray, real: FloatArray, seed: int) -> tuple[Measured, Measured]:
    """Accuracy of k-NN and of histogram gradient boosting at telling ``sample`` from ``real``, both (n, D).

    Columns are standardised together; three stratified folds. Rows that come in an order, or in pairs, are shuffled
    before the folds are cut, with a stream other than the one that cuts them: the same stream would undo the shuffle.

    Returns:
        (k-NN, boosting), each with the binomial error sqrt(p (1 - p) / 2n). Repeated draws of both sides scatter 1.0
        to 1.4 times as much, since the judge is trained on the same rows.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.preprocessing import StandardScaler

    n = len(sample)
    rng = stream(seed, "order of rows in C2ST")
    x = np.concatenate([sample[rng.permutation(n)], real[rng.permutation(n)]])
    x = StandardScaler().fit_transform(x)
    side = np.repeat([0, 1], n)
    neighbours, leaf = judge_settings(n)
    trees = HistGradientBoostingClassifier(max_iter=ITERATIONS, min_samples_leaf=leaf)
    trees.set_params(random_state=derive(seed, "boosted trees of C2ST", bits=32))
    return _accuracy(KNeighborsClassifier(neighbours), x, side, seed), _accuracy(trees, x, side, seed)


def _accuracy(judge: object, x: ArrayLike, side: FloatArray, seed: int) -> Measured:
    """The mean accuracy over the folds, and its binomial error."""
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=derive(seed, "folds of C2ST", bits=32))
    with threadpool_limits(1):  # boosting on few columns is a hundred times slower with threads on a shared machine
        accuracy = float(cross_val_score(judge, x, side, cv=folds).mean())
    return Measured(accuracy, float(np.sqrt(accuracy * (1 - accuracy) / len(side))))
