"""Devices: where a network lives."""

import torch

from driftfield.errors import InputError


def choose_device(name: str) -> torch.device:
    """The torch device of a name; "auto" takes CUDA where there is one.

    Raises:
        InputError: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        works = float(torch.ones(1, dtype=torch.float64, device=device).sum()) == 1.0  # "meta" holds no numbers
    except Exception:  # each back end that is missing fails in its own way
        works = False
    if not works:
        raise InputError(f'There is no device "{name}" here that can be computed with: use --device auto or cpu.')
    return torch.device("cpu") if device.type == "cpu" else device  # there is one CPU, whatever its number
