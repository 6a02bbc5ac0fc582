"""Metric: a measured number with its floor; Measured: a number with its standard error."""

from dataclasses import dataclass
from typing import NamedTuple


class Measured(NamedTuple):
    """A number and its standard error, None where there is none."""

    value: float
    error: float | None


@dataclass(frozen=True)
class Metric:
    """A metric with its floor: the best that any model can be expected to reach at this number of rows.

    Attributes:
        name: a key, "c2st_knn".
        label: the name in reports, "C2ST, k-NN(30)".
        value: the metric, between generated and real rows.
        floor: the same metric between two independent real samples of that size (NLL: the entropy); None if unknown.
        error: standard error of ``value``, where it is an estimate.
        floor_error: standard error of ``floor``.
        unit: "accuracy", "standard deviations", "nats", or "" for a pure number.
        best: the ideal value, 0.5 for a two-sample classifier and 0 for a distance; nan if unknown.
        rows: rows per side that were used.
        note: its meaning, and any subsampling, in one short sentence.
    """

    name: str
    label: str
    value: float
    floor: float | None
    error: float | None
    floor_error: float | None
    unit: str
    best: float
    rows: int
    note: str

    @property
    def excess(self) -> float | None:
        """The part due to the model, value - floor; None without a floor."""
        return None if self.floor is None else self.value - self.floor
