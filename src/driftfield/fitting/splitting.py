"""Splitting: the rows that a model is trained on, those that decide when to stop, and those that judge it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from driftfield.codecs import FloatArray
from driftfield.codecs.decimals import decimals
from driftfield.codecs.rule_texts import read_rules
from driftfield.datasets import Table, load, split
from driftfield.datasets.inspection import BREAKS
from driftfield.datasets.raw_table import check_size
from driftfield.datasets.weights import effective_rows
from driftfield.errors import InputError
from driftfield.recipes.schema import Recipe
from driftfield.seeds import derive

FEWEST_ROWS = 20  # to train on, to stop by and to judge by
FEWEST_ALONE = 2  # where none are held out
FEWEST_TO_STOP = 10  # training rows, some of which then decide when to stop
MOST_VALIDATION_ROWS = 10_000
VALIDATION = 0.1  # fraction of the training rows


@dataclass(frozen=True)
class Split:
    """The three parts of the data; ``validation`` is None where no rows decide when to stop."""

    train: Table
    validation: Table | None
    held_out: FloatArray
    held_out_weights: FloatArray | None = None

    @property
    def rows(self) -> int:
        """How many rows the user gave, or how many training rows were drawn from a distribution."""
        if self.train.distribution is not None:
            return len(self.train.values)
        validation = 0 if self.validation is None else len(self.validation.values)
        return len(self.train.values) + validation + len(self.held_out)


def split_rows(data: Any, recipe: Recipe, seed: int, weights: Any = None) -> Split:
    """The rows of DATA, split by the seed.

    Of a file, 20 % are held out for judging (at most 10,000), and of the rest 10 % decide when to stop (at most
    10,000). A distribution is drawn from instead: its training rows are all used, and the others are drawn beside them.
    With ``data.held_out = 0`` no rows of a file are held out, and with ``train.validation = 0`` none decide when to
    stop. ``weights`` are those of the rows, where they are not in a column of their own; all parts keep them.

    Raises:
        InputError: the data cannot be read, or are too few; fresh rows are wanted of a file.
    """
    section, fraction = recipe.data, recipe.train.validation
    weights = section.weight if weights is None else weights
    table = load(data, section.rows, seed, section.label, section.dialect, weights, as_mixed=True)
    if table.distribution is not None:
        beside = max(100, min(len(table.values), MOST_VALIDATION_ROWS))
        held_out = table.distribution.sample(beside, derive(seed, "held-out rows"))
        if fraction == 0:
            return Split(table, None, held_out)
        return Split(table, load(data, beside, derive(seed, "validation rows"), section.label), held_out)
    if section.fresh:
        raise InputError(f"Only a distribution can give fresh rows, not {table.source}: leave out data.fresh.")
    check_size(table.values, table.columns, table.source)
    table = ruled(table, recipe.rules.hold)
    train, rest = _judged(table, section.held_out, seed)
    fraction = VALIDATION if fraction is None else fraction
    if fraction == 0 or len(train.values) < FEWEST_TO_STOP:
        return Split(train, None, rest.values, rest.weights)
    train, stopping = split(train, fraction, MOST_VALIDATION_ROWS, seed=derive(seed, "validation rows"))
    return Split(train, stopping, rest.values, rest.weights)


def ruled(table: Table, hold: Sequence[str]) -> Table:
    """A table whose rows obey rules, without warnings that they follow from each other.

    Raises:
        InputError: a rule cannot be read or is not on columns of the table, or a row breaks it.
    """
    if not hold:
        return table
    places = [decimals(cells[~np.isnan(cells), None])[0] for cells in table.values.T]
    rules = read_rules(hold, table.columns, places, table.levels, table.dates)
    rules.check(rules.completed(table.values), f" of {table.source}")
    told = tuple(f'Column "{name}" is ' for name in rules.used)
    warnings = [text for text in table.warnings if not (text.startswith(told) and text.endswith(BREAKS))]
    return replace(table, warnings=tuple(warnings))


def _judged(table: Table, fraction: float, seed: int) -> tuple[Table, Table]:
    """(the other rows, those that judge)."""
    fewest = FEWEST_ROWS if fraction else FEWEST_ALONE
    if len(table.values) < fewest:
        why = "some to learn from and others to judge by" if fraction else "one shows no spread"
        raise InputError(f"{table.source} has {len(table.values)} rows, but at least {fewest} are needed: {why}.")
    if table.weights is not None and (found := effective_rows(table.weights)) < fewest:
        raise InputError(
            f"The weights of {table.source} differ so much that its {len(table.values):,} rows tell as much as "
            f"{found:.1f} of one weight, but at least {fewest} are needed: limit the largest weights."
        )
    if fraction:
        return split(table, fraction, seed=seed)
    weights = None if table.weights is None else table.weights[:0]
    return table, replace(table, values=table.values[:0], labels=None, weights=weights)
