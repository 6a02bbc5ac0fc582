r"""Maps of a number to the line on which it is modelled: smooth, monotone, with a derivative and an exact inverse.

A map is a rational quadratic spline through knots (x_k, z_k) with slopes d_k, linear beyond the first and the last one
(Gregory, Delbourgo 1982, Piecewise rational quadratic interpolation to monotonic data; Durkan et al. 2019, Neural
spline flows, eq. 4 to 8, https://arxiv.org/abs/1906.04032). With the secant m = (z_{k + 1} - z_k) / (x_{k + 1} - x_k)
and xi = (x - x_k) / (x_{k + 1} - x_k),

    z = z_k + (z_{k + 1} - z_k) (m xi^2 + d_k xi (1 - xi)) / (m + (d_k + d_{k + 1} - 2 m) xi (1 - xi)).

Two knots are a linear map: (x - mean) / std. More are the normal scores of a column whose values are far from normal.
Beyond the last knot x_m on the side of a bound b, where the slope is d,

    z = z_m + d (x_m - b) log((x - b) / (x_m - b)),

which no value beyond the bound can come from.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from driftfield.datasets.distribution import FloatArray

# Nats of held-out log-likelihood for each value, for which a column is mapped to normal scores; a small gain where
# values end at a bound that is known, as a hard edge on the line of z would be blurred.
GAIN, GAIN_AT_AN_EDGE = 0.2, 0.02
FEWEST_VALUES = 40  # distinct ones, for normal scores
NEXT = 1e-15  # of the way from a bound to the last knot before it
BEND = 0.2  # of the way from a bound to the middle, over which a map is bent within it
_KNOTS = 17
_MOST_CLUSTERS, _ROWS_TO_CLUSTER = 4, 2_000
_ROWS_OF_A_KNOT = 20


@dataclass(frozen=True)
class Map:
    """z = spline(x), increasing; ``x`` and ``z`` are its knots (m,), at least two and increasing.

    ``low`` and ``high`` are bounds of x, beyond its knots, or None.
    """

    x: tuple[float, ...]
    z: tuple[float, ...]
    low: float | None = None
    high: float | None = None

    @cached_property
    def _spline(self) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """x, z, secants (m - 1,) and slopes d (m,): weighted harmonic means of neighbouring secants."""
        x, z = np.array(self.x), np.array(self.z)
        h, secant = np.diff(x), np.diff(z) / np.diff(x)
        d = np.concatenate([secant[:1], secant[-1:]]) if len(secant) == 1 else np.empty(len(x))
        if len(secant) > 1:
            d[1:-1] = (h[:-1] + h[1:]) / (h[1:] / secant[:-1] + h[:-1] / secant[1:])
            d[0], d[-1] = secant[0], secant[-1]
        return x, z, secant, d

    @property
    def tails(self) -> tuple[float, float]:
        """What a logarithm beyond the outermost knots is multiplied by: (x_m - b) dz/dx, 0 where there is no bound."""
        d = self._spline[3]
        low, high = self.x[0] if self.low is None else self.low, self.x[-1] if self.high is None else self.high
        return float(d[0] * (self.x[0] - low)), float(d[-1] * (self.x[-1] - high))

    def outside(self, values: FloatArray) -> NDArray[np.bool_]:
        """Which values x (n,) lie at a bound or beyond, where nothing can; (n,)."""
        low, high = (-np.inf if self.low is None else self.low), (np.inf if self.high is None else self.high)
        found: NDArray[np.bool_] = (values <= low) | (values >= high)
        return found

    def _within(self, values: FloatArray) -> FloatArray:
        """Values (n,), those at a bound and beyond just before it, so that all that is computed is finite."""
        low, high = -np.inf, np.inf
        if self.low is not None:
            low = max(np.nextafter(self.low, np.inf), self.low + NEXT * (self.x[0] - self.low))
        if self.high is not None:
            high = min(np.nextafter(self.high, -np.inf), self.high - NEXT * (self.high - self.x[-1]))
        return np.clip(values, low, high)

    def forward(self, values: FloatArray) -> FloatArray:
        """z of values x (n,); of those at a bound and beyond, that just before it."""
        values = self._within(values)
        x, z, secant, d = self._spline
        k = np.clip(np.searchsorted(x, values, side="right") - 1, 0, len(secant) - 1)
        xi = np.clip((values - x[k]) / (x[k + 1] - x[k]), 0.0, 1.0)
        between = xi * (1 - xi)
        inside = z[k] + (z[k + 1] - z[k]) * (secant[k] * xi**2 + d[k] * between) / (
            secant[k] + (d[k] + d[k + 1] - 2 * secant[k]) * between
        )
        result: FloatArray = (
            inside
            - _stretched(np.maximum(x[0] - values, 0), None if self.low is None else x[0] - self.low) * d[0]
            + _stretched(np.maximum(values - x[-1], 0), None if self.high is None else self.high - x[-1]) * d[-1]
        )
        return result

    def log_slope(self, values: FloatArray) -> FloatArray:
        """log dz/dx at x (n,)."""
        values = self._within(values)
        x, _, secant, d = self._spline
        k = np.clip(np.searchsorted(x, values, side="right") - 1, 0, len(secant) - 1)
        xi = np.clip((values - x[k]) / (x[k + 1] - x[k]), 0.0, 1.0)
        between = xi * (1 - xi)
        slope = secant[k] ** 2 * (d[k + 1] * xi**2 + 2 * secant[k] * between + d[k] * (1 - xi) ** 2)
        slope /= (secant[k] + (d[k] + d[k + 1] - 2 * secant[k]) * between) ** 2
        slope = np.where(values < x[0], d[0], np.where(values > x[-1], d[-1], slope))
        for bound, end in ((self.low, x[0]), (self.high, x[-1])):
            if bound is not None:
                beyond = (values < x[0]) if end == x[0] else (values > x[-1])
                slope = np.where(beyond, slope * (end - bound) / np.where(beyond, values - bound, 1.0), slope)
        result: FloatArray = np.log(slope)
        return result

    def back(self, values: FloatArray) -> FloatArray:
        """x of values z (n,)."""
        x, z, secant, d = self._spline
        k = np.clip(np.searchsorted(z, values, side="right") - 1, 0, len(secant) - 1)
        y = np.clip(values, z[0], z[-1]) - z[k]
        bend = d[k] + d[k + 1] - 2 * secant[k]
        a = (z[k + 1] - z[k]) * (secant[k] - d[k]) + y * bend
        b = (z[k + 1] - z[k]) * d[k] - y * bend
        c = -secant[k] * y
        xi = 2 * c / (-b - np.sqrt(np.maximum(b**2 - 4 * a * c, 0)))
        below, above = np.maximum(z[0] - values, 0) / d[0], np.maximum(values - z[-1], 0) / d[-1]
        result: FloatArray = (
            x[k]
            + xi * (x[k + 1] - x[k])
            - _shrunk(below, None if self.low is None else x[0] - self.low)
            + _shrunk(above, None if self.high is None else self.high - x[-1])
        )
        return result


def _stretched(distance: FloatArray, room: float | None) -> FloatArray:
    """A distance beyond the last knot, so that it would be infinite at a bound so far away."""
    if room is None:
        return distance
    found: FloatArray = -room * np.log1p(-distance / room)
    return found


def _shrunk(distance: FloatArray, room: float | None) -> FloatArray:
    """The inverse of :func:`_stretched`."""
    return distance if room is None else -room * np.expm1(-distance / room)


def linear_map(values: FloatArray, weights: FloatArray | None = None) -> Map:
    """(x - mean) / std of values (n,)."""
    mean = float(np.average(values, weights=weights))
    std = float(np.sqrt(np.average((values - mean) ** 2, weights=weights)))
    std = std if std > 0 else 1.0
    return Map((mean, mean + std), (0.0, 1.0))


def scores_map(values: FloatArray) -> Map:
    """Normal scores: a spline through quantiles of values (n,), standardised."""
    from scipy.stats import norm

    ordered = np.sort(values)
    m = int(np.clip(len(values) // _ROWS_OF_A_KNOT, 5, _KNOTS))
    reach = norm.ppf(1 - 0.5 / len(values))
    z = np.linspace(-reach, reach, m)
    x = np.quantile(ordered, norm.cdf(z))
    x[0], x[-1] = ordered[0], ordered[-1]
    kept = np.concatenate([[True], np.diff(np.maximum.accumulate(x)) > 1e-9 * (x[-1] - x[0])])
    raw = Map(tuple(x[kept].tolist()), tuple(z[kept].tolist()))
    found = raw.forward(values)
    mean, std = found.mean(), found.std()
    return Map(raw.x, tuple(((z[kept] - mean) / std).tolist()))


def bent(map_: Map, low: float | None, high: float | None) -> Map:
    """A map with those bounds that lie beyond its knots."""
    x = map_.x
    return Map(x, map_.z, None if low is None or low >= x[0] else low, None if high is None or high <= x[-1] else high)


def bent_within(map_: Map, low: float | None, high: float | None) -> Map:
    """A map of whole numbers that is bent within its bounds, so that their last intervals have no end.

    It is bent over a fifth of the way from a bound to the middle, and at least over the last interval.
    """
    middle = float(map_.back(np.zeros(1))[0])
    first = map_.x[0] if low is None else low + max(1.0, BEND * (middle - low))
    last = map_.x[-1] if high is None else high - max(1.0, BEND * (high - middle))
    last = max(last, first + 1) if high is None else last
    if not first < last or (low is None and high is None):
        return map_
    x = np.array(sorted({first, last, *(knot for knot in map_.x if first < knot < last)}))
    return Map(tuple(x.tolist()), tuple(map_.forward(x).tolist()), low, high)


def choose_map(
    values: FloatArray,
    weights: FloatArray | None = None,
    bounded: bool = False,
    least_gain: float = GAIN,
) -> Map:
    """A linear map, unless normal scores make held-out values (n,) likelier under N(0, 1) by ``least_gain`` nats each.

    They have to beat several clusters of one width on the linear map too, by half as much: these are what the model
    finds by itself, while normal scores would stretch what is between them and cut each off at its inner end.

    The knots of a linear map for values with a bound are the outermost of them, so that it can be bent beyond.
    """
    linear = linear_map(values, weights)
    if bounded and values.min() < values.max():
        x = np.array([values.min(), values.max()])
        linear = Map(tuple(x.tolist()), tuple(linear.forward(x).tolist()))
    if len(np.unique(values)) < FEWEST_VALUES:
        return linear
    parts = [values[i::2] for i in range(2)]
    halves = [(fitted, judged, scores_map(fitted)) for fitted, judged in (parts, parts[::-1])]
    scores = sum(_log_likelihood(judged, map_) for _, judged, map_ in halves) / 2
    plain = sum(_log_likelihood(judged, linear_map(fitted)) for fitted, judged, _ in halves) / 2
    if scores - plain <= least_gain:
        return linear
    clustered = sum(_clustered(fitted, judged) for fitted, judged, _ in halves) / 2
    return scores_map(values) if scores - clustered > least_gain / 2 else linear


def _log_likelihood(values: FloatArray, map_: Map) -> float:
    """The mean log-density of values (n,) whose z is N(0, 1)."""
    return float(np.mean(-0.5 * map_.forward(values) ** 2 + map_.log_slope(values))) - 0.5 * math.log(2 * math.pi)


def _clustered(fitted: FloatArray, judged: FloatArray) -> float:
    """The mean log-density of values under Gaussians of one width, as many as the BIC of others says, four at most."""
    from sklearn.mixture import GaussianMixture

    map_ = linear_map(fitted)
    z = map_.forward(fitted[:: -(-len(fitted) // _ROWS_TO_CLUSTER)])[:, None]
    tried = [
        GaussianMixture(count, covariance_type="tied", reg_covar=1e-3, random_state=0).fit(z)
        for count in range(2, _MOST_CLUSTERS + 1)
    ]
    best = min(tried, key=lambda each: each.bic(z))
    return float(best.score(map_.forward(judged)[:, None]) + map_.log_slope(judged[:1])[0])
