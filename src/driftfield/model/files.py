"""The files of a model: the weights, the rows and the recipe of a run folder, written and read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn

from driftfield.codecs import NumericCodec
from driftfield.datasets import write_rows
from driftfield.diffusion import ReparametrisedDenoiser, RescheduledDenoiser, Schedule
from driftfield.errors import DriftfieldError, InputError
from driftfield.files import write_atomically
from driftfield.model import run as runs
from driftfield.recipes.building import Parts, build_denoiser
from driftfield.recipes.schema import load_recipe

if TYPE_CHECKING:
    from driftfield.model.model import Model

CODEC, DENOISER = "scaler.", "denoiser."  # prefixes of the names of tensors


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
    about = {
        **model.codec.description(),
        "source": model.source,
        "parts": model.parts.names,
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


def load_model(
    path: str | Path, *, network: nn.Module | None = None, schedule: Schedule | None = None, device: str = "cpu"
) -> Model:
    """The model of a run folder.

    Args:
        network, schedule: the user's own parts that were passed to fit, if any.

    Raises:
        InputError: there is no finished run, or a part is missing.
        DriftfieldError: a file is damaged.
    """
    from driftfield.model.model import Model

    folder, parts = runs.find(path), Parts(network, schedule)
    recipe = load_recipe(folder / runs.RECIPE)
    about, tensors = _read(folder / runs.MODEL)
    missing = sorted({"network", "schedule"} & set(about["parts"]) - set(parts.names))
    if missing:
        raise InputError(f"The model was made with a {missing[0]} of your own: pass it as load(path, {missing[0]}=..).")
    classes = tuple(about.get("classes", ()))
    denoiser = build_denoiser(recipe, len(about["columns"]), parts, seed=0, classes=len(classes))
    weights = {key.removeprefix(DENOISER): t for key, t in tensors.items() if key.startswith(DENOISER)}
    arrays = {key.removeprefix(CODEC): t.numpy() for key, t in tensors.items() if key.startswith(CODEC)}
    try:
        denoiser.load_state_dict(weights)
        codec = NumericCodec.restored(about, arrays)
    except (RuntimeError, KeyError) as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise DriftfieldError(
            f"The model {folder / runs.MODEL} does not fit its recipe ({reason}): it is damaged or of another run."
        ) from None
    except DriftfieldError as error:
        raise DriftfieldError(f"The model {folder / runs.MODEL} is damaged: {error}.") from None
    if not all(bool(t.isfinite().all()) for t in weights.values() if t.is_floating_point()):
        raise DriftfieldError(f"The model {folder / runs.MODEL} holds weights that are not finite: train it anew.")
    return Model(
        recipe=recipe,
        codec=codec,
        denoiser=denoiser.to(device).eval().requires_grad_(False),
        source=about["source"],
        train=runs.read_rows(folder / runs.TRAIN),
        held_out=runs.read_rows(folder / runs.HELD_OUT),
        classes=classes,
        snapshots=_read_snapshots(folder / runs.SNAPSHOTS),
        history=runs.read_history(folder),
        facts=runs.read_json(folder / runs.ENVIRONMENT),
        parts=parts,
    )


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The description and the tensors of a model file."""
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads(file.metadata()["model"])
            return about, {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, KeyError, OSError, ValueError) as error:
        raise DriftfieldError(f"The model {path} cannot be read: {error}.") from None


def _read_snapshots(path: Path) -> dict[int, dict[str, Tensor]]:
    """The weights that were kept at earlier steps, by step; none where there is no such file."""
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
