"""Checks before sampling: the map between the user's units and the network's, and the end of the forward process."""

from __future__ import annotations

import numpy as np

from driftfield.diffusion.basics.schedules import PRIOR_TOLERANCE
from driftfield.verification.check import Finding
from driftfield.verification.subject import Subject

UNITS_SLACK = 0.02  # of a standard deviation, in addition to four standard errors
FRESH_SLACK = 0.2  # of a variance; a whitened table of 30 columns and 455 rows has 1.15 for fresh rows
JACOBIAN_SLACK = 0.01  # nats: float32 rounding of the corners of a cube leaves less than 0.003 in 30 columns
RETURN_SLACK = 1e-3  # standard deviations: float32


def units(subject: Subject) -> Finding:
    """The largest of three errors of the units, each relative to its tolerance."""
    scaler, model = subject.scaler, subject.model
    moments = _moments(subject)
    points = subject.real[:100]
    back = scaler.back(scaler.forward(points))
    returned = float(np.abs((back - points) / model.train.std(0)).max())
    jacobian = abs(_log_volume_ratio(subject) - scaler.log_det)
    errors = {"moments": moments, "return": returned / RETURN_SLACK, "jacobian": jacobian / JACOBIAN_SLACK}
    worst = max(errors, key=lambda key: errors[key])
    names = {
        "moments": "mean and variance of the training and held-out rows after scaling",
        "return": "the map to the network's units and back",
        "jacobian": f"log |det|, {scaler.log_det:.4f} against {_log_volume_ratio(subject):.4f} by the ratio of volumes",
    }
    note = f"error relative to its tolerance; the largest is that of {names[worst]}"
    return Finding(errors[worst], high=1.0, floor=0.0, note=note, details=errors)


def _moments(subject: Subject) -> float:
    """How far scaled rows are from mean 0 and variance 1, relative to the tolerance; 0 for unscaled data.

    For training rows, to which the scaler was fitted, by column and before the whitening, whose covariance is a shrunk
    one, with four standard errors in addition to the slack, as the model keeps only some of these rows. For held-out
    rows by their mean square over all columns, with a large slack: for few rows and many columns the variance of fresh
    rows is only roughly 1.
    """
    model = subject.model
    if model.recipe.data.scaling == "none":
        return 0.0
    columns = (
        model.codec.encode(subject.training).astype(np.float64) @ subject.scaler.inverse
    )  # (n, D), not yet whitened
    mean, spread = columns.mean(0), columns.std(0)
    kurtosis = np.mean(((columns - mean) / np.where(spread > 0, spread, 1)) ** 4, axis=0)
    error = 1 / np.sqrt(len(columns))
    of_mean = np.abs(mean) / (UNITS_SLACK + 4 * error)
    of_spread = np.abs(spread - 1) / (UNITS_SLACK + 4 * error * np.sqrt(np.maximum(kurtosis - 1, 0)) / 2)
    square = np.mean(subject.z**2, axis=1)  # (n,)
    of_fresh = abs(square.mean() - 1) / (FRESH_SLACK + 4 * square.std() / np.sqrt(len(square)))
    return max(float(of_mean.max()), float(of_spread.max()), float(of_fresh))


def _log_volume_ratio(subject: Subject) -> float:
    """Log of the ratio of volumes of a cube, in the network's units over the user's, from the images of its corners."""
    scaler = subject.scaler
    edge = subject.model.train.std(0)  # (D,)
    corner = subject.model.train.mean(0)
    corners = np.concatenate([corner[None], corner + np.diag(edge)])
    z = scaler.forward(corners).astype(np.float64)
    return float(np.linalg.slogdet(z[1:] - z[0])[1] - np.log(edge).sum())


def prior(subject: Subject) -> Finding:
    """How much of the data is left at t = 1."""
    mismatch = subject.model.prior_mismatch
    note = f"mismatch of x_1 and the prior, with a signal variance of {mismatch.signal:.2g} at t = 1"
    details = {"marginal": mismatch.marginal, "signal": mismatch.signal}
    return Finding(mismatch.bound, high=PRIOR_TOLERANCE, floor=0.0, note=note, details=details)
