"""Checks of the rows of a table: their units, their noise, new rows beside real ones, and memorisation.

New and real rows are compared as features: numbers in the network's units, levels of categories as 0 or 1, and new rows
with the holes of the real ones.
"""

from __future__ import annotations

import math

import numpy as np

from driftfield.codecs import FloatArray, Scaler
from driftfield.evaluation import memorisation
from driftfield.evaluation.distances import sliced_wasserstein2
from driftfield.evaluation.metric import Measured
from driftfield.evaluation.rows import standardised
from driftfield.model.sampling import How
from driftfield.model.tables import table_codec
from driftfield.verification import denoising
from driftfield.verification.check import DoesNotApply, Finding
from driftfield.verification.sampling import ROW_SLACK, beside_floor, memorised
from driftfield.verification.subject import Subject
from driftfield.verification.table_draws import new_rows
from driftfield.verification.units import RETURN_SLACK

# Of a standard deviation. A single outlier among training rows that the model does not keep changes that of the others:
# diamonds have 0.964.
MOMENTS_SLACK = 0.2
SLOPE_SLACK = 0.01  # nats
DIFFERENCE = 1e-4  # on the line of z: float64 and the bend of a map leave 1e-6 nats, except where it has a knot
# Standard deviations, added in squares to the floor. Measured, floors of 0.03 to 0.5: 0.05 to 0.36 on tables of 250 to
# 40,000 rows; 1.3 where the estimated noise is halved.
NETWORK_SLACK = 0.15
FARTHEST = 10.0  # standard deviations
QUANTILE = 0.99  # of the errors of the slope, beside the knots


def units(subject: Subject) -> Finding:
    """The largest of four errors of the maps between cells and the network's units, each relative to its tolerance."""
    codec, rows = table_codec(subject.model), subject.model.train  # others may lie beyond the bounds of a column
    encoded = codec.encoded(rows)
    back = codec.finish(codec.decoded(encoded.z, encoded.codes))
    wrong = (back != rows) & ~np.isnan(rows)
    errors = {"levels": 2.0 * bool(wrong[:, [not part.numeric for part in codec.parts]].any())}
    for key, find in (("return", _returned), ("moments", _moments), ("slope", _slope)):
        of_columns = [find(subject, d, back[:, i]) for d, i in enumerate(codec.numbers)]
        errors[key] = max(of_columns, default=0.0)
    worst = max(errors, key=lambda key: errors[key])
    names = {
        "levels": "categories after the map and back",
        "return": "numbers after the map and back",
        "moments": "mean and variance of the training rows after the map",
        "slope": "the slope of the map against finite differences",
    }
    note = f"error relative to its tolerance; the largest is that of {names[worst]}"
    return Finding(errors[worst], high=1.0, floor=0.0, note=note, details=errors)


def _returned(subject: Subject, d: int, back: FloatArray) -> float:
    """How far the cells (n,) of a number are from where they were."""
    codec = table_codec(subject.model)
    cells = subject.model.train[:, codec.numbers[d]]
    moved = np.abs(codec.parts[codec.numbers[d]].near(back, cells) - cells)[~np.isnan(cells)]
    return float(np.nan_to_num(moved, nan=np.inf).max(initial=0.0) / np.nanstd(cells)) / RETURN_SLACK


def _moments(subject: Subject, d: int, back: FloatArray) -> float:
    """How far the training rows are from mean 0 and variance 1 on the line of z, with four standard errors.

    Rows count as they weigh or all the same, as the maps to normal scores leave weights out. Angles have these moments
    at random places on the line, and none here.
    """
    codec = table_codec(subject.model)
    if codec.parts[codec.numbers[d]].period is not None:
        return 0.0
    found = []
    for rows in (subject.model.train, subject.training):
        encoded = codec.encoded(rows)
        z, width = (each[encoded.present[:, d], d].astype(np.float64) for each in (encoded.z, encoded.width))
        mean, spread, error = z.mean(), z.std(), 1 / math.sqrt(len(z))
        kurtosis = np.mean(((z - mean) / spread) ** 4)
        of_mean = abs(mean) / (MOMENTS_SLACK + 4 * error)
        within = np.mean(width**2) / 24  # of an interval: a linear map counts it, normal scores do not
        of_spread = abs(spread - 1) / (MOMENTS_SLACK + within + 2 * error * math.sqrt(max(kurtosis - 1, 0.0)))
        found.append(float(max(of_mean, of_spread)))
    return min(found)


def _slope(subject: Subject, d: int, back: FloatArray) -> float:
    """The error of log dz/dx at the real cells of a number; 0 for whole numbers, which have none."""
    part = table_codec(subject.model).parts[table_codec(subject.model).numbers[d]]
    assert part.map is not None
    if part.kind == "whole number":
        return 0.0
    there = np.asarray(subject.free)[:, d] > 0
    ends = (part.map.back(subject.z[there, d] + side * DIFFERENCE) for side in (-1, 1))
    slopes = math.log(2 * DIFFERENCE) - np.log(np.subtract(*reversed(list(ends))))
    off = np.abs(slopes - table_codec(subject.model).log_slopes(subject.real)[there, d])
    return float(np.quantile(off, QUANTILE)) / SLOPE_SLACK if len(off) else 0.0


def calibration(subject: Subject) -> Finding:
    """The slope of the true noise on the estimated noise, given all categories."""
    if not table_codec(subject.model).numbers:
        raise DoesNotApply("no column is a number")
    return denoising.calibration(subject)


def network(subject: Subject) -> Finding:
    """New rows by a fine sampler, as features, against real rows."""
    real, other, made = _features(subject, _as_real(subject, subject.reference))
    found, floor = (_distance(subject, each, real) for each in (made, other))
    note = f"sliced Wasserstein-2 between the features of {len(made):,} rows drawn with a fine sampler and of real rows"
    both = math.hypot(found.error or 0.0, floor.error or 0.0)  # of few rows a level may be rare in either
    return beside_floor(found, Measured(floor.value, both), note, NETWORK_SLACK)


def sampler(subject: Subject) -> Finding:
    """The recipe's sampler against a fine one: row by row from the same noise, or as two samples if it adds noise."""
    if not table_codec(subject.model).numbers:
        raise DoesNotApply("no column is a number, and categories are drawn from their probabilities")
    model, n = subject.model, len(subject.real)
    made, second = (new_rows(model, n, How(), subject.seed, purpose) for purpose in ("first", "second"))
    if not np.array_equal(made, second, equal_nan=True):
        _, _, *sides = _features(subject, *(_as_real(subject, rows) for rows in (made, second, subject.reference)))
        found, floor = (_distance(subject, each, sides[0]) for each in (sides[2], sides[1]))
        note = f"sliced Wasserstein-2 between {len(made):,} rows by this sampler and as many by a fine one"
        return beside_floor(found, floor, note)
    one, two = (table_codec(subject.model).encoded(rows) for rows in (made, subject.reference))
    both = one.present & two.present
    apart, turn = (one.z.astype(np.float64) - two.z)[both], np.where(one.width < 0, -one.width, np.inf)[both]
    apart = np.minimum(np.abs(apart), np.abs(turn - np.abs(apart)))  # of angles, the short way round
    value = math.sqrt(np.mean(np.square(apart))) if both.any() else 0.0
    note = f"numbers by this sampler against a fine one, from the same noise and categories, over {len(made):,} rows"
    return Finding(value, high=ROW_SLACK, floor=0.0, note=note)


def copies(subject: Subject) -> Finding:
    """The fraction of new rows closer to a training row than the closest per cent of real rows, or equal to one."""
    made = _as_real(subject, subject.samples)
    real, _, made, train = _features(subject, made, subject.model.train)
    return memorised(memorisation(made, train, real, subject.seed))


def _as_real(subject: Subject, rows: FloatArray) -> FloatArray:
    """New rows (n, C) with the decimals of the data, and the holes of the real rows where none are modelled."""
    codec = table_codec(subject.model)
    return np.where(np.isnan(subject.real) & ~codec.holes, np.nan, codec.finish(rows))


def _features(subject: Subject, *sides: FloatArray) -> list[FloatArray]:
    """Features of the real rows, of the second real sample, and of others; (n, F) each.

    Numbers are in the network's units, in which they have no heavy tails. Only features that vary among the real rows
    are there, as a rare level may not.
    """
    codec, found = table_codec(subject.model), []
    for rows in (subject.real, subject.other, *sides):
        encoded = codec.encoded(rows)
        z = np.clip(encoded.z.astype(np.float64), -FARTHEST, FARTHEST)
        levels = [encoded.codes[:, k, None] == np.arange(-1, count) for k, count in enumerate(codec.levels)]
        found.append(np.concatenate([z, encoded.present, *levels], axis=1, dtype=np.float64))
    varying = np.ptp(found[0], axis=0) > 0
    return [side[:, varying] for side in found]


def _distance(subject: Subject, made: FloatArray, real: FloatArray) -> Measured:
    scaler, n = Scaler.fit(real, "standard"), min(len(made), len(real))
    return sliced_wasserstein2(standardised(scaler, made[:n]), standardised(scaler, real[:n]), subject.seed)
