"""Loading: the model of a run folder."""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from driftfield.codecs import NumericCodec
from driftfield.diffusion import Schedule
from driftfield.errors import DriftfieldError, InputError
from driftfield.model import run as runs
from driftfield.model.files import CODEC, DENOISER
from driftfield.model.model import Model
from driftfield.recipes.building import Parts, build_denoiser
from driftfield.recipes.schema import load_recipe


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
            f"The model {folder / runs.MODEL} does not fit its recipe ({reason}): it is damaged or belongs to "
            "another run."
        ) from None
    except DriftfieldError as error:
        raise DriftfieldError(f"The model {folder / runs.MODEL} is damaged: {error}.") from None
    if not all(bool(w.isfinite().all()) for w in weights.values() if w.is_floating_point()):
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
