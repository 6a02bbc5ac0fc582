"""Checkpoints: all that is needed to continue a training bit for bit, in one safetensors file, written atomically."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from driftfield.errors import DriftfieldError


@dataclass
class Progress:
    """The progress of a training, as plain data.

    Early stopping judges the weights by one number, the lower the better: ``lowest`` is the lowest so far, ``last`` the
    latest, and ``best`` that of the weights at ``best_step``, which are returned.
    """

    step: int = 0
    seconds: float = 0.0
    lowest: float = float("inf")
    best_step: int = 0
    best: float = float("inf")
    last: float = float("inf")
    history: list[dict[str, Any]] = field(default_factory=list)


def pack(tensors: dict[str, dict[str, Tensor]], progress: Progress) -> bytes:
    """Named groups of tensors and the progress, as the bytes of one safetensors file."""
    flat = {f"{group}/{name}": t.detach().cpu().contiguous() for group, ts in tensors.items() for name, t in ts.items()}
    return save(flat, metadata={"progress": json.dumps(asdict(progress))})


def unpack(path: Path) -> tuple[dict[str, dict[str, Tensor]], Progress]:
    """The inverse of :func:`pack`, from a file.

    Raises:
        DriftfieldError: the file is damaged.
    """
    groups: dict[str, dict[str, Tensor]] = {}
    try:
        with safe_open(path, framework="pt") as file:
            progress = Progress(**json.loads(file.metadata()["progress"]))
            for key in file.keys():  # noqa: SIM118 - not a mapping
                group, name = key.split("/", 1)
                groups.setdefault(group, {})[name] = file.get_tensor(key)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise DriftfieldError(f"The checkpoint {path} cannot be read ({error}): start again with --force.") from None
    return groups, progress


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The state of an optimiser as named tensors."""
    state = optimizer.state_dict()["state"]
    return {f"{i}/{key}": value for i, values in state.items() for key, value in values.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Restore the state of an optimiser from :func:`optimizer_tensors`."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        i, key = name.split("/", 1)
        state.setdefault(int(i), {})[key] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
