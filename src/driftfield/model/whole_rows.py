"""Whole rows: what is defined only where a row is a point, and not for a table of numbers and categories."""

from __future__ import annotations

from typing import TYPE_CHECKING

from driftfield.codecs import TableCodec
from driftfield.errors import InputError

if TYPE_CHECKING:
    from driftfield.model.model import Model


def check_whole(model: Model, what: str) -> None:
    """Raises InputError where a row is more than its numbers, as in a table with text or missing cells."""
    if isinstance(model.codec, TableCodec):
        raise InputError(f"A table with text, few distinct values or missing cells has no {what}: its rows are mixed.")


def check_held_out(model: Model) -> None:
    """Raises InputError where no rows were held out that could judge the model."""
    if not len(model.held_out) and model.distribution is None:
        raise InputError("The model was fitted with data.held_out = 0, so no rows can judge it: fit another.")
