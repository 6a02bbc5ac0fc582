"""Evaluation of a model on rows that its training never saw, every metric with its floor."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from driftfield.codecs import Codec, FloatArray, TableCodec
from driftfield.datasets import Distribution
from driftfield.datasets.weights import representative
from driftfield.evaluation.baselines import Baseline, baselines
from driftfield.evaluation.holes import empty_cells
from driftfield.evaluation.imputation import DRAWS, Imputation, judge_imputation
from driftfield.evaluation.memorisation import Memorisation, memorisation
from driftfield.evaluation.metrics import Metric, nll, two_sample
from driftfield.evaluation.verdict import verdict
from driftfield.files import plain
from driftfield.seeds import derive, stream

REAL, OTHER = "real rows of an evaluation", "second real sample of an evaluation"
DENSITY_WORK = 40_000  # rows times columns of the densities: the divergence costs one pass per column
FEWEST_DENSITIES = 200


class Judged(Protocol):
    """What an evaluation needs of a model: rows, densities, and its data."""

    @property
    def train(self) -> FloatArray: ...
    @property
    def held_out(self) -> FloatArray: ...
    @property
    def train_weights(self) -> FloatArray | None: ...
    @property
    def held_out_weights(self) -> FloatArray | None: ...
    @property
    def columns(self) -> tuple[str, ...]: ...
    @property
    def codec(self) -> Codec: ...
    @property
    def distribution(self) -> Distribution | None: ...
    def sample(self, n: int, seed: int = 0) -> FloatArray: ...
    def log_prob(self, x: ArrayLike) -> tuple[FloatArray, FloatArray]: ...
    def impute(self, x: Any, seed: int = 0, *, draws: int = 1) -> FloatArray: ...


@dataclass(frozen=True)
class Evaluation:
    """The results of an evaluation, and the rows they were measured on.

    Attributes:
        verdict: one sentence.
        metrics: each with its floor.
        memorisation: distances to the training rows.
        baselines: simpler densities on the same held-out rows; empty where the distribution is known.
        log_density: of the real rows under the model, in nats (m,).
        samples, real: generated and real rows (n, D).
        imputation: how well hidden cells of a table are filled, by this model first and by other methods.
    """

    verdict: str
    metrics: Sequence[Metric]
    memorisation: Memorisation
    baselines: Sequence[Baseline]
    log_density: FloatArray
    samples: FloatArray
    real: FloatArray
    imputation: Sequence[Imputation] = ()

    def densities(self) -> list[tuple[str, float, float]]:
        """(label, mean log-density, standard error) in nats: the model first, then the baselines.

        Raises:
            InputError: a log-density of the model is NaN or +inf.
        """
        own = nll(self.log_density)
        return [("this model", -own.value, own.error or 0.0)] + [
            (b.label, b.log_density, b.error) for b in self.baselines
        ]

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON, with null for numbers that are not finite."""
        found: dict[str, Any] = plain(
            {
                "verdict": self.verdict,
                "metrics": {m.name: {**asdict(m), "excess": m.excess} for m in self.metrics},
                "densities": [
                    {"label": label, "mean_log_density": mean, "error": error}
                    for label, mean, error in self.densities()
                ],
                "imputation": [asdict(each) for each in self.imputation],
            }
        )
        return found


def evaluate(model: Judged, rows: int = 10_000, seed: int = 0) -> Evaluation:
    """Evaluate a model on at most ``rows`` generated and as many real rows.

    Where the distribution is known, the real rows are fresh draws from it. Otherwise they are held-out rows, and
    training rows serve as the second real sample, for the floor. Of a table with categories and missing cells, features
    are compared (:meth:`~driftfield.codecs.table.TableCodec.numeric`), and samples have the holes of the real rows, or
    their own where holes are modelled. Where rows have weights, both samples hold rows as often as they weigh
    (:func:`~driftfield.datasets.weights.representative`).
    """
    distribution = model.distribution
    if distribution is not None:
        real, other = (distribution.sample(rows, derive(seed, purpose)) for purpose in (REAL, OTHER))
    else:
        real, other = (
            side[representative(len(side), weights, stream(seed, purpose))[:rows]]
            for side, weights, purpose in (
                (model.held_out, model.held_out_weights, REAL),
                (model.train, model.train_weights, OTHER),
            )
        )
    own_holes = model.codec.holes if isinstance(model.codec, TableCodec) else np.zeros(real.shape[1], dtype=bool)
    samples = np.where(np.isnan(real) & ~own_holes, np.nan, model.sample(len(real), seed))
    sides = [model.codec.numeric(rows) for rows in (samples, real, other, model.train)]
    varying = np.ptp(np.concatenate(sides[1:3]), axis=0) > 0  # a feature without holes or of a rare level may not
    made, judged, second, trained = (side[:, varying] for side in sides)
    names = [name for name, kept in zip(model.codec.features, varying, strict=True) if kept]
    metrics = two_sample(made, judged, second, seed, names)
    if own_holes.any():
        shown = [name for name, own in zip(model.columns, own_holes, strict=True) if own]
        metrics.append(empty_cells(samples[:, own_holes], real[:, own_holes], other[:, own_holes], shown))
    copies = memorisation(made, trained, judged, seed)

    work = 0 if isinstance(model.codec, TableCodec) else DENSITY_WORK  # the densities of a table take longer
    usable = model.codec.usable(real) if isinstance(model.codec, TableCodec) else real
    judges = usable[: max(FEWEST_DENSITIES, work // real.shape[1])]
    log_density, _ = model.log_prob(judges)
    bounded = getattr(model, "density_is_bound", False)
    densities = [nll(log_density, None if distribution is None else distribution.entropy, bounded)]
    rivals: list[Baseline] = []
    if distribution is None and made.shape == samples.shape:
        rivals = baselines(model.train, judges, seed, model.train_weights)
    elif distribution is not None and distribution.log_prob is not None:
        densities.append(_divergence(distribution.log_prob(judges) - log_density, bounded))
    sentence = verdict(metrics, copies, rivals, densities[0], log_density)
    measured = [*metrics, *densities, *copies.metrics()]
    filled = _imputation(model, seed)
    return Evaluation(sentence, measured, copies, rivals, log_density, samples, real, filled)


def _imputation(model: Judged, seed: int) -> list[Imputation]:
    """How well hidden cells are filled, where the model can fill them."""
    if not isinstance(model.codec, TableCodec):
        return []
    return judge_imputation(
        model.codec, lambda rows: model.impute(rows, seed, draws=DRAWS), model.train, model.held_out, seed
    )


def _divergence(difference: FloatArray, bounded: bool) -> Metric:
    """KL(data || model) = E[log p_data - log p_model], paired row by row to cancel the variation of rows."""
    return Metric(
        "kl",
        "KL divergence" + ", upper bound" * bounded,
        float(difference.mean()),
        0.0,
        float(difference.std(ddof=1) / np.sqrt(len(difference))),
        None,
        "nats",
        0.0,
        len(difference),
        "From the distribution to the model: the mean of log p(distribution) - log p(model) over fresh rows.",
    )
