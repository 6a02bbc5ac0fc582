"""What a model computes must be finite; where it is not, the model is to blame, not the rows."""

import numpy as np

from driftfield.codecs import FloatArray
from driftfield.errors import InputError


def check_finite(values: FloatArray, what: str) -> FloatArray:
    """The values, if all are finite.

    Raises:
        InputError: the model is of no use, as when its training diverged.
    """
    if not np.isfinite(values).all():
        raise InputError(f"Some {what} are not finite: the model is not trained well enough; try more steps.")
    return values
