"""The files of a model: the weights, the rows and the recipe of a run folder, written and read."""

import json
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn

from driftfield.codecs.scaling import Scaler
from driftfield.datasets import write_rows
from driftfield.diffusion import ReparametrisedDenoiser, RescheduledDenoiser, Schedule
from driftfield.errors import DriftfieldError, InputError
from driftfield.files import write_atomically
from driftfield.model import run as runs
from driftfield.model.fitted import Fitted
from driftfield.recipes.building import Parts, build_denoiser
from driftfield.recipes.schema import load_recipe

AnyModel = TypeVar("AnyModel", bound=Fitted)


def check_writable(model: Fitted) -> None:
    """Refuse a model that its recipe does not describe."""
    if isinstance(model.denoiser, RescheduledDenoiser | ReparametrisedDenoiser):
        raise InputError("A converted model cannot be saved: save the model it was made from, and convert it again.")


def write_model(model: Fitted, folder: Path) -> None:
    """Write everything that makes a model into a folder that is there."""
    tensors = {f"denoiser.{name}": t.detach().cpu().contiguous() for name, t in model.denoiser.state_dict().items()}
    for name in ("mean", "scale", "rotation", "inverse"):
        tensors[f"scaler.{name}"] = torch.from_numpy(np.ascontiguousarray(getattr(model.scaler, name)))
    about = {
        "columns": list(model.columns),
        "source": model.source,
        "parts": model.parts.names,
        "places": model.places,
        "classes": model.classes,
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


def read_model(
    kind: type[AnyModel], path: str | Path, network: nn.Module | None, schedule: Schedule | None, device: str
) -> AnyModel:
    """The model of a run folder; see :func:`driftfield.model.model.load_model`."""
    folder = runs.find(path)
    recipe = load_recipe(folder / runs.RECIPE)
    parts = Parts(network, schedule)
    try:
        with safe_open(folder / runs.MODEL, framework="pt") as file:
            about = json.loads(file.metadata()["model"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, KeyError, OSError, ValueError) as error:
        raise DriftfieldError(f"The model {folder / runs.MODEL} cannot be read: {error}.") from None
    missing = sorted({"network", "schedule"} & set(about["parts"]) - set(parts.names))
    if missing:
        raise InputError(f"The model was made with a {missing[0]} of your own: pass it as load(path, {missing[0]}=..).")
    columns = tuple(about["columns"])
    classes = tuple(about.get("classes", ()))
    denoiser = build_denoiser(recipe, len(columns), parts, seed=0, classes=len(classes))
    weights = {key.removeprefix("denoiser."): t for key, t in tensors.items() if key.startswith("denoiser.")}
    try:
        denoiser.load_state_dict(weights)
        scaler = Scaler(*(tensors[f"scaler.{name}"].numpy() for name in ("mean", "scale", "rotation", "inverse")))
    except (RuntimeError, KeyError) as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise DriftfieldError(
            f"The model {folder / runs.MODEL} does not fit its recipe ({reason}): it is damaged or of another run."
        ) from None
    if not all(bool(t.isfinite().all()) for t in weights.values() if t.is_floating_point()):
        raise DriftfieldError(f"The model {folder / runs.MODEL} holds weights that are not finite: train it anew.")
    if not (np.isfinite(scaler.scale).all() and (scaler.scale > 0).all()):
        raise DriftfieldError(f"The model {folder / runs.MODEL} holds a scale that is not positive: it is damaged.")
    return kind(
        recipe,
        columns,
        scaler,
        denoiser.to(device).eval().requires_grad_(False),
        about["source"],
        runs.read_rows(folder / runs.TRAIN),
        runs.read_rows(folder / runs.HELD_OUT),
        tuple(about["places"]),
        classes,
        _read_snapshots(folder),
        runs.read_history(folder),
        runs.read_json(folder / runs.ENVIRONMENT),
        parts,
    )


def _read_snapshots(folder: Path) -> dict[int, dict[str, Tensor]]:
    """The weights that were kept on the way, by step; none where there is no such file."""
    path = folder / runs.SNAPSHOTS
    kept: dict[int, dict[str, Tensor]] = {}
    if path.exists():
        try:
            with safe_open(path, framework="pt") as file:
                for key in file.keys():  # noqa: SIM118 - not a mapping
                    step, name = key.split("/", 1)
                    kept.setdefault(int(step), {})[name] = file.get_tensor(key)
        except (SafetensorError, OSError, ValueError) as error:
            raise DriftfieldError(f"The weights in {path} cannot be read: {error}.") from None
    return kept
