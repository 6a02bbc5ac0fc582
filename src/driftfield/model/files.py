"""The files of a model: the weights, the rows and the recipe of a run folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save as to_safetensors

from driftfield.datasets import write_rows
from driftfield.diffusion import ReparametrisedDenoiser, RescheduledDenoiser
from driftfield.errors import InputError
from driftfield.files import write_atomically
from driftfield.model import run as runs

if TYPE_CHECKING:
    from driftfield.model.model import Model

CODEC, DENOISER, WEIGHTS = "scaler.", "denoiser.", "row_weights."  # prefixes of the names of tensors


def save_model(model: Model, folder: Path) -> Path:
    """Write a model as a new run folder; see :meth:`Model.save`."""
    if isinstance(model.denoiser, RescheduledDenoiser | ReparametrisedDenoiser):
        raise InputError("A converted model cannot be saved: save the model it was made from, and convert it again.")
    runs.check_free(folder, force=False)
    new = runs.start(folder) / "new"
    new.mkdir()
    write_model(model, new)
    runs.finish(folder, new)
    return folder


def write_model(model: Model, folder: Path) -> None:
    """Write everything that makes a model into an existing folder."""
    tensors = {f"{DENOISER}{name}": t.detach().cpu().contiguous() for name, t in model.denoiser.state_dict().items()}
    tensors |= {f"{CODEC}{name}": torch.from_numpy(array) for name, array in model.codec.tensors().items()}
    for part in ("train", "held_out"):
        if (weights := getattr(model, f"{part}_weights")) is not None:
            tensors[f"{WEIGHTS}{part}"] = torch.from_numpy(weights)
    about = {
        **model.codec.description(),
        "source": model.source,
        "parts": model.parts.names,
        "classes": model.classes,
        "class_counts": model.class_counts,
        "checksums": True,
    }
    write_atomically(folder / runs.RECIPE, model.recipe.toml().encode())
    write_rows(folder / runs.TRAIN, model.train, model.columns)
    write_rows(folder / runs.HELD_OUT, model.held_out, model.columns)
    write_atomically(folder / runs.HISTORY, "".join(json.dumps(r) + "\n" for r in model.history).encode())
    runs.write_json(folder / runs.ENVIRONMENT, model.facts)
    if model.snapshots:
        kept = {
            f"{step}/{name}": t.cpu().contiguous() for step, ts in model.snapshots.items() for name, t in ts.items()
        }
        write_atomically(folder / runs.SNAPSHOTS, to_safetensors(kept))
    write_atomically(folder / runs.MODEL, to_safetensors(tensors, metadata={"model": json.dumps(about)}))
    runs.write_checksums(folder)
