"""The ground floor: toy laws with known densities, and tables from files and from memory."""

from driftfield.datasets.laws import LAWS, FloatArray, Law
from driftfield.datasets.tables import Table, catalogue, load, load_like, split
from driftfield.datasets.writing import check_writable, write_rows

__all__ = [
    "LAWS",
    "FloatArray",
    "Law",
    "Table",
    "catalogue",
    "check_writable",
    "load",
    "load_like",
    "split",
    "write_rows",
]
