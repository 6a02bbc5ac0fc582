"""Angles: columns on a circle, of any period and start."""

import math
import re

import numpy as np

from driftfield.codecs.maps import Map
from driftfield.datasets.distribution import FloatArray

_PI = re.compile(r"\s*(\d*\.?\d*)\s*\*?\s*(?:pi|π)\s*")


def read_period(text: str) -> float:
    """A period as text: "360", "2pi", "pi". Raises ValueError for other text."""
    match = _PI.fullmatch(text)
    try:
        return float(match[1] or 1) * math.pi if match else float(text)
    except ValueError:
        raise ValueError("should be a number, perhaps times pi") from None


def wrapped(difference: FloatArray, period: float) -> FloatArray:
    """Differences of angles, the short way round: between -period / 2 and period / 2."""
    found: FloatArray = (difference + period / 2) % period - period / 2
    return found


def within(values: FloatArray, low: float, period: float) -> FloatArray:
    """Angles from ``low`` on, below ``low + period``."""
    turned = (values - low) % period
    found: FloatArray = low + np.where(turned >= period, 0.0, turned)
    return np.where(found >= low + period, low, found)


def mean_angle(values: FloatArray, period: float, weights: FloatArray | None = None) -> FloatArray:
    """The direction of the mean of points on the circle, over the first axis of angles (n, ..); (..)."""
    turns = np.exp(2j * np.pi * values / period)
    found: FloatArray = np.angle(np.average(turns, axis=0, weights=weights)) * period / (2 * np.pi)
    return found


def angle_map(values: FloatArray, period: float, weights: FloatArray | None = None) -> Map:
    """(x - mean) / std, with the std of the places on the line where angles (n,) are put.

    As :mod:`driftfield.diffusion.further.places` puts them: at d = x - mean with the probability
    cos^2(pi d / 2 period), and otherwise a period away on the other side.
    """
    mean = float(mean_angle(values, period, weights))
    d = wrapped(values - mean, period)
    chance, other = np.cos(0.5 * np.pi * d / period) ** 2, d - np.sign(d) * period
    first = np.average(chance * d + (1 - chance) * other, weights=weights)
    second = np.average(chance * d**2 + (1 - chance) * other**2, weights=weights)
    std = float(np.sqrt(max(second - first**2, 1e-12 * period**2)))
    return Map((mean, mean + std), (0.0, 1.0))
