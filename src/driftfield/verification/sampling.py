r"""Checks of samples: the error of the sampler apart from that of the network, and memorisation.

    sampler    the exact denoiser with the recipe's sampler, against fresh rows: the error is that of the sampler
    network    this denoiser with a fine reference sampler, against fresh rows: the error is that of the network

If the distribution is not known there is no exact denoiser, and the recipe's sampler is compared with the reference
sampler: row by row from the same noise if it is deterministic, otherwise as two samples. Distances are Wasserstein-2
along 200 random directions, in standard deviations of the real rows; the floor is the distance of two real samples.
"""

from __future__ import annotations

import math

import numpy as np

from driftfield.codecs import FloatArray, Scaler
from driftfield.errors import InputError
from driftfield.evaluation import memorisation
from driftfield.evaluation.distances import sliced_wasserstein2
from driftfield.evaluation.memorisation import Memorisation
from driftfield.evaluation.metric import Measured
from driftfield.evaluation.rows import standardised
from driftfield.verification.check import DoesNotApply, Finding
from driftfield.verification.subject import Subject
from driftfield.verification.truth import denoiser_of_distribution

# Measured, 4,000 rows, floors of 0.022 to 0.056: 0.027 to 0.050 with the network, 0.021 to 0.055 of the sampler;
# 1.0 with a scale that is off by 2, 10 under a cosine chain in place of a linear one, 800 with the wrong sign.
SLACK = 0.06  # standard deviations, added in squares to the floor
ROW_SLACK = 0.1  # standard deviations, root mean square over rows; 0.007 to 0.010 with 28 steps of DPM-Solver++(2M)
FEW = 16  # rows that show whether a sampler is deterministic


def network(subject: Subject) -> Finding:
    """This denoiser with a fine reference sampler, against real rows; a learned kernel with its own sampler."""
    made = subject.samples if subject.is_kernel else subject.reference
    how = "its own sampler" if subject.is_kernel else "a fine sampler"
    value, floor = _distance(subject, made), _distance(subject, subject.other)
    note = f"sliced Wasserstein-2 between {len(made):,} rows drawn with {how} and real rows"
    return beside_floor(value, floor, note)


def sampler(subject: Subject) -> Finding:
    """The recipe's sampler: with the exact denoiser against fresh rows, or against a fine sampler."""
    if subject.is_kernel:
        raise DoesNotApply("a learned kernel is its own sampler")
    own = subject.own_sampler()
    exact = denoiser_of_distribution(subject, len(own[1]) - 1)
    if exact is not None:
        denoiser, rows = exact
        try:
            made = subject.draw(denoiser, own, rows)
        except InputError as error:  # the sampler needs more than a denoiser
            raise DoesNotApply(f"the sampler needs more than an exact denoiser: {error}") from None
        found, floor = _distance(subject, made), _distance(subject, subject.other[: len(made)])
        note = f"sliced Wasserstein-2 between {len(made):,} rows of the exact denoiser with this sampler, and real rows"
        return beside_floor(found, floor, note)
    made = subject.draw(subject.model.denoiser, own)
    if _is_deterministic(subject):
        moved = (made - subject.reference) / subject.real.std(0)
        value = math.sqrt(np.mean(moved**2))
        note = f"this sampler against a fine one, row by row from the same noise, over {len(made):,} rows"
        return Finding(value, high=ROW_SLACK, floor=0.0, note=note)
    second = subject.draw(subject.model.denoiser, own, purpose="second")
    found, floor = _distance(subject, made, subject.reference), _distance(subject, made, second)
    note = f"sliced Wasserstein-2 between {len(made):,} rows by this sampler and as many by a fine one"
    return beside_floor(found, floor, note)


def _is_deterministic(subject: Subject) -> bool:
    """Whether the samples do not depend on noise drawn on the way."""
    one, two = (subject.draw(subject.model.denoiser, subject.own_sampler(), FEW, purpose) for purpose in ("one", "two"))
    return bool(np.array_equal(one, two))


def _distance(subject: Subject, made: FloatArray, real: FloatArray | None = None) -> Measured:
    real = subject.real if real is None else real
    n = min(len(made), len(real))
    scaler = Scaler.fit(subject.real, "standard")
    return sliced_wasserstein2(standardised(scaler, made[:n]), standardised(scaler, real[:n]), subject.seed)


def beside_floor(value: Measured, floor: Measured, note: str, slack: float = SLACK) -> Finding:
    """A distance that may exceed its floor by a slack, added in squares, and by two standard errors."""
    high = math.hypot(floor.value, slack) + 2 * (floor.error or 0.0)
    details = {"floor_error": floor.error}
    return Finding(value.value, high=high, error=value.error, floor=floor.value, note=note, details=details)


def copies(subject: Subject) -> Finding:
    """The fraction of samples closer to a training row than the closest per cent of fresh rows, or equal to one."""
    return memorised(memorisation(subject.samples, subject.model.train, subject.real, subject.seed))


def memorised(found: Memorisation) -> Finding:
    """The finding of distances to training rows."""
    value, floor, error, high = found.closer, found.expected, found.error, found.highest
    what = "suspiciously close to"
    if found.present and value <= high:  # copies in a table with repeated rows, where a small distance means nothing
        value, floor, high, what = found.duplicates, found.held_out_duplicates, found.held_out_duplicates, "equal to"
    note = (
        f"fraction of samples that are {what} one of {found.training_rows:,} training rows; median distance "
        f"{found.median_generated:.3g}, of fresh rows {found.median_held_out:.3g}"
    )
    details = {"ratio": found.ratio, "duplicates": found.duplicates}
    return Finding(value, high=high, error=error, floor=floor, note=note, details=details)
