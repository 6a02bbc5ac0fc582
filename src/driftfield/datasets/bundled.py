"""The data sets that come with scikit-learn, as `sklearn:NAME`: their features, without the target."""

from dataclasses import dataclass, replace

import numpy as np

from driftfield.datasets.frames import array_table, count_from_zero
from driftfield.datasets.raw_table import RawTable
from driftfield.datasets.text_files import comma_separated
from driftfield.errors import unknown_name

PREFIX = "sklearn:"
_FEWEST = 10  # images in which a pixel of the digits must be nonzero


@dataclass(frozen=True)
class Bundled:
    """The size of a data set, known without loading it, and one line about it."""

    rows: int
    columns: int
    summary: str


SETS: dict[str, Bundled] = {
    "iris": Bundled(150, 4, "lengths and widths of the leaves of iris flowers, cm"),
    "wine": Bundled(178, 13, "chemical analyses of wines"),
    "diabetes": Bundled(442, 10, "age, sex, body-mass index and blood values of patients"),
    "breast_cancer": Bundled(569, 30, "shapes of cell nuclei in images of tumours"),
    "digits": Bundled(
        1797, 54, "8 by 8 images of digits; pixels that are nonzero in fewer than 10 images are left out"
    ),
}


def bundled_table(name: str) -> RawTable:
    """The raw table of a data set, in its own units. Raises InputError for an unknown name."""
    if name not in SETS:
        raise unknown_name("scikit-learn data set", name, SETS)
    from sklearn import datasets

    loaded = datasets.load_diabetes(scaled=False) if name == "diabetes" else getattr(datasets, f"load_{name}")()
    values = np.asarray(loaded.data, dtype=np.float64)
    kept = (values != 0).sum(axis=0) >= _FEWEST if name == "digits" else np.ones(values.shape[1], dtype=bool)
    columns = tuple(str(column) for column, keep in zip(loaded.feature_names, kept, strict=True) if keep)

    data = PREFIX + name
    raw = array_table(values[:, kept], data, count_from_zero, lambda names: f"{data}:{comma_separated(names)}")
    return replace(raw, columns=columns)
