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
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError):
        raise InputError(f'There is no device "{name}" here: use --device auto or cpu.') from None
    return device
