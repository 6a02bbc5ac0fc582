"""What a column holds: its kind, range, examples, missing cells, distinct values and decimals."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np

from driftfield.codecs.codec import FloatArray
from driftfield.codecs.decimals import decimals
from driftfield.datasets.raw_table import NotNumeric, RawTable

_EXAMPLES = 3
_LARGE = 1e100  # numbers whose squares may overflow, or underflow for one over it
_LOOKED_AT = 1_000  # cells that examples are taken from
_EXAMPLE_SHOWN = 24  # characters


def describe_columns(raw: RawTable, indices: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Each column as plain data.

    The keys are name, kind ("whole numbers", "numbers", "true or false", "text", "dates or times", "empty"), missing,
    distinct, examples; for numbers also min, max, mean, std, and decimals (None for more than six).
    """
    for index, column in zip(indices, raw.read(indices), strict=True):
        name = raw.columns[index]
        if isinstance(column, NotNumeric):
            yield _text(name, column.what, list(raw.text(index)))
        else:
            yield _numbers(name, column) | {"examples": _examples(raw.text(index))}


def _text(name: str, kind: str, cells: list[str | None]) -> dict[str, Any]:
    present = [cell for cell in cells if cell is not None]
    distinct = dict.fromkeys(present)
    return {
        "name": name,
        "kind": kind,
        "missing": len(cells) - len(present),
        "distinct": len(distinct),
        "examples": _examples(present),
    }


def _numbers(name: str, x: FloatArray) -> dict[str, Any]:
    found = x[~np.isnan(x)]
    described: dict[str, Any] = {"name": name, "kind": "empty", "missing": len(x) - len(found), "distinct": 0}
    if not len(found):
        return described
    finite = found[np.isfinite(found)]
    distinct = np.unique(found)
    whole = len(finite) > 0 and bool((finite == np.round(finite)).all())
    flags = len(distinct) == 2 and set(distinct) == {0.0, 1.0}
    described |= {
        "kind": "0 or 1" if flags else "whole numbers" if whole else "numbers",
        "distinct": len(distinct),
    }
    if len(finite):
        unit = max(finite.max(), -finite.min())  # in which squares do not overflow or vanish
        unit = unit if unit > _LARGE or 0 < unit < 1 / _LARGE else 1.0
        moments = {"mean": (finite / unit).mean() * unit, "std": (finite / unit).std() * unit}
        described |= {"min": finite.min(), "max": finite.max(), **moments}
        described |= {"decimals": decimals(finite[:, None])[0]}
    return described


def _examples(cells: Iterable[str | None]) -> list[str]:
    """The first cells that are not missing, as they are written, each once."""
    found = dict.fromkeys(cell for cell in islice(cells, _LOOKED_AT) if cell is not None)
    return [_cut(cell) for cell in islice(found, _EXAMPLES)]


def _cut(text: str) -> str:
    return text if len(text) <= _EXAMPLE_SHOWN else text[:_EXAMPLE_SHOWN] + "…"
