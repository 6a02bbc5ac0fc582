"""Verdict: a summary of the metrics in one sentence."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from driftfield.codecs import FloatArray
from driftfield.evaluation.baselines import Baseline, best
from driftfield.evaluation.classifiers import SCATTER
from driftfield.evaluation.memorisation import Memorisation
from driftfield.evaluation.metric import Metric
from driftfield.wording import FEWEST_OF_A_PERCENTAGE, plus_minus, share

NOISE = 3.0  # standard errors within which an excess over the floor counts as noise: the larger of two is judged
NOISE_OF_PAIRS = 2.0  # the same for the difference of two log-densities of the same rows
PRACTICALLY = 0.02  # excess accuracy up to which two samples are called practically indistinguishable
SLIGHTLY = 0.05  # slightly distinguishable
CLEARLY = 0.15  # clearly distinguishable; a larger excess is a poor match, and where only that shows, rows are too few
ABOVE = 3.0  # standard errors above its floor from which a distance is named
ABOVE_SQUARE = 2.5  # standard errors of its square, besides, where the distance is the root of a mean over rows
ROOTS = ("wasserstein2", "sliced_wasserstein2")
IMPOSSIBLE = 4.0  # standard errors below the entropy from which a mean NLL is called impossible
MANY_ROWS = 1_000  # per side, from which a floor below chance is meaningful, as for rows on a grid
SAME_DENSITY = 0.01  # nats within which two mean log-densities are called equal


def verdict(
    metrics: Sequence[Metric],
    memorisation: Memorisation | None = None,
    baselines: Sequence[Baseline] | None = None,
    model_nll: Metric | None = None,
    log_density: FloatArray | None = None,
) -> str:
    """One sentence on how well samples can be told from real rows, how good the density is, and memorisation.

    Args:
        metrics: of :func:`two_sample`; the classifier with the largest excess is quoted, and every distance more than
            three errors above its floor.
        memorisation: mentioned where it is present.
        baselines: compared with ``model_nll``, on the same held-out rows.
        model_nll: of :func:`nll`.
        log_density: of the same rows under the model, for a paired comparison with the baselines.
    """
    clauses = [*_samples(metrics), *_distances(metrics), *_density(model_nll, baselines or (), log_density)]
    clauses += _copies(memorisation)
    if not clauses:
        return "No metric was measured, so there is no verdict."
    sentence = "; ".join(clauses)
    return sentence[0].upper() + sentence[1:] + "."


def _samples(metrics: Sequence[Metric]) -> list[str]:
    """The clause on the classifier with the largest excess over its floor."""
    judged = [
        (metric.value - _base(metric.floor, metric.best, metric.rows), metric)
        for metric in metrics
        if metric.unit == "accuracy" and metric.floor is not None
    ]
    if not judged:
        return []
    excess, metric = max(judged, key=lambda pair: pair[0])
    # The accuracy and its floor share their real rows, so that their difference scatters less than two accuracies
    # would: 1.0 to 1.2 times the binomial error, measured for equal distributions.
    error = math.hypot(metric.error or 0.0, metric.floor_error or 0.0) / SCATTER
    value, floor = (share(accuracy, 2 * metric.rows) for accuracy in (metric.value, metric.floor or 0.0))
    seen = f"a classifier tells samples from fresh data {value} {'of the time' if '%' in value else 'times'}"
    return [f"{seen} (floor {floor}): {level(excess, error, metric.rows)}"]


def _base(floor: float, chance: float, rows: int) -> float:
    """The reference of an accuracy: its floor, or chance where few rows put the floor below chance by luck."""
    return floor if rows >= MANY_ROWS else max(floor, chance)


def level(excess: float, error: float, rows: int) -> str:
    """The meaning of an accuracy ``excess`` above its floor, with its standard ``error`` and ``rows`` per side.

    An excess within noise means no difference only if a slight one would have been detected, and nothing at all where
    even a clear one would not.
    """
    noise = NOISE * error
    few = noise > SLIGHTLY
    if excess <= noise:
        gaps = "large gaps" if rows < FEWEST_OF_A_PERCENTAGE else f"gaps above {100 * noise:.0f} points"
        limit = f"with {rows:,} rows per side only {gaps} would be detected"
        seen = "it cannot tell with so few rows" if noise > CLEARLY else "no significant difference"
        return f"{seen}; {limit}" if few else "indistinguishable within noise"
    if excess <= PRACTICALLY:
        return "practically indistinguishable"
    if excess <= SLIGHTLY:
        return "slightly distinguishable"
    return "clearly distinguishable" if excess <= CLEARLY else "a poor match"


def _distances(metrics: Sequence[Metric]) -> list[str]:
    """The clause on the distances that are too far above their floors to be noise, the farthest first."""
    named = sorted((metric for metric in metrics if _is_far(metric)), key=_errors_above, reverse=True)
    if not named:
        return []
    listed = ", ".join(f"{_inside(metric.label)} ({_beside_floor(metric)})" for metric in named)
    return [f"more than three errors above {'its floor' if len(named) == 1 else 'their floors'}: {listed}"]


def _is_far(metric: Metric) -> bool:
    """Whether a distance is more than three errors above its floor.

    The error of a root, e(W) = e(W^2) / 2W, is too small where few rows dominate: rows that are far out once in some
    hundred gave up to 5 % of false alarms between equal distributions. The squares must be apart as well.
    """
    if metric.unit == "accuracy" or metric.floor is None or not math.isfinite(metric.value):
        return False
    if metric.name in ROOTS:
        value, floor = metric.value, metric.floor
        error, floor_error = 2 * value * (metric.error or 0.0), 2 * floor * (metric.floor_error or 0.0)
        squares = replace(metric, value=value**2, floor=floor**2, error=error, floor_error=floor_error)
        if _errors_above(squares) <= ABOVE_SQUARE:
            return False
    return _errors_above(metric) > ABOVE


def _errors_above(metric: Metric) -> float:
    excess, error = metric.excess or 0.0, math.hypot(metric.error or 0.0, metric.floor_error or 0.0)
    return excess / error if error > 0 else math.copysign(math.inf, excess) if excess else 0.0


def _inside(label: str) -> str:
    """A label inside a sentence: names keep their capitals."""
    return label if label.startswith(("Wasserstein", "MMD")) else label[0].lower() + label[1:]


def _beside_floor(metric: Metric) -> str:
    return f"{plus_minus(metric.value, metric.error)}, floor {plus_minus(metric.floor, metric.floor_error)}"


def _density(model: Metric | None, baselines: Sequence[Baseline], log_density: FloatArray | None) -> list[str]:
    """The clauses that compare the mean NLL with the entropy and with the best baseline."""
    if model is None:
        return []
    if not math.isfinite(model.value):
        clause = "some held-out rows have density zero under the model"
    elif model.floor is None:
        clause = f"the mean NLL of held-out rows is {plus_minus(model.value, model.error)} nats"
    else:
        what = "mean NLL" if model.label == "NLL" else "bound on the mean NLL"
        clause = f"the {what} of {model.value:.3f} nats is {_beside_entropy(model.value - model.floor, model.error)}"
    finite = [baseline for baseline in baselines if math.isfinite(baseline.log_density)]
    if not finite:
        return [clause]
    rival = best(finite)
    noise = 0.0
    if log_density is not None and len(log_density) > 1:
        noise = NOISE_OF_PAIRS * float(np.std(log_density - rival.log_prob, ddof=1) / math.sqrt(len(log_density)))
    return [clause, _beside_baseline(-model.value, rival, noise)]


def _beside_entropy(excess: float, error: float | None) -> str:
    side = "above" if excess >= 0 else "below"
    gap = f"{plus_minus(abs(excess), error)} {side} the entropy"
    if excess < -IMPOSSIBLE * (error or 0.0):
        return f"{gap}, which is impossible: do not trust it"
    return f"{gap}, the best possible"


def _beside_baseline(log_density: float, rival: Baseline, noise: float) -> str:
    lead = log_density - rival.log_density
    name = f"{rival.label}, {-rival.log_density:.3f} nats"
    if abs(lead) <= noise:
        return f"a simpler density does as well within noise ({name})"
    if abs(lead) <= SAME_DENSITY:
        return f"a simpler density does as well ({name})"
    if lead > 0:
        return f"the best simpler density is worse by {lead:.3f} ({name})"
    return f"a simpler density is better{f' by {-lead:.3f}' if math.isfinite(lead) else ''} ({name})"


def _copies(memorisation: Memorisation | None) -> list[str]:
    if memorisation is None or not memorisation.present:
        return []
    copies, fresh, n = memorisation.duplicates, memorisation.held_out_duplicates, memorisation.rows
    if copies > max(memorisation.closer, fresh):
        those = share(fresh, n, "fresh rows")
        return [f"{share(copies, n, 'samples')} copy a training row ({those} do): it memorises"]
    close = f"{share(memorisation.closer, n, 'samples')} lie suspiciously close to a training row"
    return [f"{close} ({share(memorisation.expected, n)} expected): it memorises"]
