"""Labels: the names of classes, as the numbers that the network takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from driftfield.diffusion.further.row_noise import BlockNoise
from driftfield.errors import InputError, unknown_name

if TYPE_CHECKING:
    from driftfield.model.model import Model

One = str | int | float  # a class by its name, or by the number or truth value that its name stands for
Label = One | Sequence[One] | NDArray[Any] | Tensor | None


def class_numbers(model: Model, label: Label, n: int) -> Tensor | None:
    """Class numbers (n,) of one label for all rows, or one for each; None without a label.

    Raises:
        InputError: an unknown class, another number of labels, or a model without classes.
    """
    if label is None:
        return None
    if not model.classes:
        raise InputError("This model has no classes: fit one with data.label, the name of a column of labels.")
    plain: Any = label.tolist() if isinstance(label, Tensor | np.ndarray | np.generic) else label
    labels = [plain] * n if isinstance(plain, str | int | float) else list(plain)
    if len(labels) != n:
        raise InputError(f"There are {len(labels)} labels for {n} rows: give one label, or one for each row.")
    numbers = {each: _number(each, model.classes) for each in set(labels)}
    return torch.tensor([numbers[each] for each in labels], dtype=torch.int64, device=model.device)


def drawn_labels(model: Model, n: int, seed: int, start: int = 0) -> list[str]:
    """A class for each of the rows ``start`` .. ``start + n - 1`` of the seed, as often as in the training rows.

    Raises:
        InputError: the model does not know how often its classes occur.
    """
    if not model.class_counts:
        raise InputError("This model does not know how often its classes occur: name the class of each row with label.")
    if n == 0:
        return []
    u = torch.special.ndtr(BlockNoise(seed, "classes of samples", start, n, (), torch.device("cpu"))().double())
    ends = np.cumsum(model.class_counts) / sum(model.class_counts)
    return [model.classes[i] for i in np.searchsorted(ends[:-1], u.numpy(), side="right")]


def class_names(model: Model, label: Label, n: int) -> list[str]:
    """The name of each row's class (n,), as :func:`class_numbers` reads the label."""
    numbers = class_numbers(model, label, n)
    return [] if numbers is None else [model.classes[i] for i in numbers.tolist()]


def _number(label: Any, classes: Sequence[str]) -> int:
    """The number of the class that a label names: 1 stands for "1" and "01", and True for "True", "true" and "1"."""
    if str(label) in classes:
        return classes.index(str(label))
    if not isinstance(label, str):
        found = [i for i, name in enumerate(classes) if _stands_for(label, name)]
        if len(found) == 1:
            return found[0]
    raise unknown_name("class", str(label), classes)


def _stands_for(label: Any, name: str) -> bool:
    if isinstance(label, bool) and name.lower() == str(label).lower():
        return True
    try:
        return float(name) == float(label)
    except (TypeError, ValueError):
        return False
