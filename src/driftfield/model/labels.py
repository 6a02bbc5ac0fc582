"""Labels: the names of classes, as the numbers that the network takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from driftfield.errors import InputError, unknown_name

if TYPE_CHECKING:
    from driftfield.model.model import Model

Label = str | Sequence[str] | None


def class_numbers(model: Model, label: Label, n: int) -> Tensor | None:
    """Class numbers (n,) of one label for all rows, or one for each; None without a label.

    Raises:
        InputError: an unknown class, another number of labels, or a model without classes.
    """
    if label is None:
        return None
    if not model.classes:
        raise InputError("This model has no classes: fit one with data.label, the name of a column of labels.")
    names = [label] * n if isinstance(label, str) else [str(name) for name in label]
    if len(names) != n:
        raise InputError(f"There are {len(names)} labels for {n} rows: give one label, or one for each row.")
    numbers = {name: i for i, name in enumerate(model.classes)}
    for name in names:
        if name not in numbers:
            raise unknown_name("class", name, model.classes)
    return torch.tensor([numbers[name] for name in names], device=model.device)
