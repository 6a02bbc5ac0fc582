"""Data: built-in distributions with known densities, and tables from files and from memory."""

from driftfield.datasets.distributions import DISTRIBUTIONS, Distribution, FloatArray
from driftfield.datasets.files import SUFFIXES
from driftfield.datasets.gaussians import GaussianMixture, random_mixture
from driftfield.datasets.nodes import Nodes, Noise
from driftfield.datasets.tables import CLASS_COLUMN, Table, catalogue, load, load_like, split
from driftfield.datasets.writing import csv_text, write_rows

__all__ = [
    "CLASS_COLUMN",
    "DISTRIBUTIONS",
    "SUFFIXES",
    "Distribution",
    "FloatArray",
    "GaussianMixture",
    "Nodes",
    "Noise",
    "Table",
    "catalogue",
    "csv_text",
    "load",
    "load_like",
    "random_mixture",
    "split",
    "write_rows",
]
