"""NPY files as raw tables; what the header says is compared with the size of the file before anything is read."""

import math
import warnings
from pathlib import Path
from typing import IO

import numpy as np

from driftfield.datasets.frames import array_table, count_from_one
from driftfield.datasets.raw_table import RawTable
from driftfield.datasets.text_files import comma_separated
from driftfield.errors import InputError, reason


def npy_table(path: Path) -> RawTable:
    """The raw table of an NPY file; nothing is unpickled, so an array of Python objects is refused.

    Raises:
        InputError: the file is damaged, or is not as large as its header says.
    """
    with path.open("rb") as file:
        shape, dtype = _header(file, path)
        if dtype.hasobject:
            raise InputError(f"{path} holds pickled Python objects, which are not loaded: save an array of numbers.")
        wanted, found = math.prod(shape) * dtype.itemsize, path.stat().st_size - file.tell()
        if wanted != found or min(shape, default=0) < 0:
            raise _damaged(path, f"the header promises {wanted:,} bytes of numbers, but {found:,} follow")
        file.seek(0)
        array = np.lib.format.read_array(file, allow_pickle=False)
    return array_table(array, str(path), count_from_one, lambda names: f"{path}:{comma_separated(names)}")


def _header(file: IO[bytes], path: Path) -> tuple[tuple[int, ...], np.dtype]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about headers of Python 2
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(file)
    except Exception as error:  # numpy evaluates the header as Python, which can fail in any way
        raise _damaged(path, reason(error)) from error
    return shape, dtype


def _damaged(path: Path, why: str) -> InputError:
    return InputError(f"{path} is damaged or not a valid NPY file ({why}): write it again.")
