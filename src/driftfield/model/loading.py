"""Loading: the model of a run folder."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from driftfield.codecs import Codec, FloatArray, NumericCodec, TableCodec
from driftfield.diffusion import BaseDenoiser, Schedule
from driftfield.errors import DriftfieldError, InputError, reason
from driftfield.model import run as runs
from driftfield.model.densities import REACH
from driftfield.model.files import CODEC, DENOISER, WEIGHTS
from driftfield.model.model import Model
from driftfield.modes import own_modes
from driftfield.recipes.building import Parts, build_denoiser
from driftfield.recipes.schema import Recipe, load_recipe


class About(BaseModel):
    """The description of a model in its file, beside that of its codec."""

    model_config = ConfigDict(strict=True)

    columns: list[str] = Field(min_length=1)
    places: list[int | None]
    source: str
    parts: list[str]
    classes: list[str] = []
    class_counts: list[float] = []
    checksums: bool = False
    kind: str = "numeric"
    table: list[dict[str, Any]] = []
    rules: list[str] = []
    modelled: list[dict[str, Any]] = []


@own_modes
def load_model(
    path: str | Path, *, network: nn.Module | None = None, schedule: Schedule | None = None, device: str = "cpu"
) -> Model:
    """The model of a run folder.

    Args:
        network, schedule: the user's own parts that were passed to fit, if any.

    Raises:
        InputError: there is no finished run, a part is missing, or a file is damaged or belongs to another run.
    """
    folder, parts = runs.find(path), Parts(network, schedule)
    checked = runs.verify_checksums(folder)
    about, tensors = _read(folder / runs.MODEL)
    if about.checksums and not checked:
        raise InputError(f"The file {folder / runs.CHECKSUMS} is missing: {runs.RESTORE}.")
    recipe = load_recipe(folder / runs.RECIPE)
    missing = sorted({"network", "schedule"} & set(about.parts) - set(parts.names))
    if missing:
        raise InputError(f"The model was made with a {missing[0]} of your own: pass it as load(path, {missing[0]}=..).")
    read = partial(runs.read_rows, columns=about.columns, safe=checked, holes=about.kind == "table")
    judges = int(recipe.data.held_out > 0)
    rows = {"train": read(folder / runs.TRAIN), "held_out": read(folder / runs.HELD_OUT, fewest=judges)}
    weights = {part: _row_weights(folder / runs.MODEL, tensors, part, len(rows[part])) for part in rows}
    denoiser, codec = _restored(folder / runs.MODEL, about, tensors, recipe, parts)
    for part, file in (("train", runs.TRAIN), ("held_out", runs.HELD_OUT)):
        if not np.abs(codec.encode(rows[part])).max(initial=0.0) <= REACH:
            raise InputError(f"The rows of {folder / file} do not fit the scaling of the model: {runs.RESTORE}.")
    return Model(
        recipe=recipe,
        codec=codec,
        denoiser=denoiser.to(device).eval().requires_grad_(False),
        source=about.source,
        train=rows["train"],
        held_out=rows["held_out"],
        train_weights=weights["train"],
        held_out_weights=weights["held_out"],
        classes=tuple(about.classes),
        class_counts=tuple(about.class_counts),
        snapshots=_read_snapshots(folder / runs.SNAPSHOTS),
        history=runs.read_history(folder),
        facts=runs.read_json(folder / runs.ENVIRONMENT),
        parts=parts,
    )


def _row_weights(path: Path, tensors: dict[str, Tensor], part: str, rows: int) -> FloatArray | None:
    """What each of the rows that a model keeps counts (n,); None where all count the same."""
    if (kept := tensors.get(f"{WEIGHTS}{part}")) is None:
        return None
    weights: FloatArray = kept.double().numpy()
    if weights.shape != (rows,) or not (np.isfinite(weights) & (weights > 0)).all():
        raise InputError(f"The row weights in {path} do not fit the rows: {runs.RESTORE}.")
    return weights


def _restored(
    path: Path, about: About, tensors: dict[str, Tensor], recipe: Recipe, parts: Parts
) -> tuple[BaseDenoiser, Codec]:
    """The denoiser with its weights, and the codec, which the tensors of a model file must fit."""
    weights = {key.removeprefix(DENOISER): t for key, t in tensors.items() if key.startswith(DENOISER)}
    arrays = {key.removeprefix(CODEC): t.numpy() for key, t in tensors.items() if key.startswith(CODEC)}
    codec: Codec
    try:
        if about.kind == "table":
            codec = TableCodec.restored(about.model_dump())
            denoiser = build_denoiser(recipe, codec.shape[0], parts, seed=0, levels=codec.levels)
        else:
            denoiser = build_denoiser(recipe, len(about.columns), parts, seed=0, classes=len(about.classes))
            codec = NumericCodec.restored(about.model_dump(), arrays)
        denoiser.load_state_dict(weights)
    except (RuntimeError, KeyError) as error:
        last = str(error).strip().splitlines()[-1].strip()
        raise InputError(
            f"The model {path} does not fit its recipe ({last}): it is damaged or belongs to another run."
        ) from None
    except DriftfieldError as error:
        raise InputError(f"The model {path} is damaged: {error}.") from None
    if not all(bool(w.isfinite().all()) for w in weights.values() if w.is_floating_point()):
        raise InputError(f"The model {path} holds weights that are not finite: train it anew.")
    return denoiser, codec


def _read(path: Path) -> tuple[About, dict[str, Tensor]]:
    """The description and the tensors of a model file."""
    try:
        with safe_open(path, framework="pt") as file:
            about = About.model_validate_json((file.metadata() or {})["model"])
            return about, {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, KeyError, OSError, ValueError, RuntimeError) as error:
        raise InputError(f"The model {path} cannot be read ({reason(error)}): {runs.RESTORE}.") from None


def _read_snapshots(path: Path) -> dict[int, dict[str, Tensor]]:
    """The weights that were kept at earlier steps, by step; none where there is no such file."""
    kept: dict[int, dict[str, Tensor]] = {}
    if path.is_file():
        try:
            with safe_open(path, framework="pt") as file:
                for key in file.keys():  # noqa: SIM118 - not a mapping
                    step, name = key.split("/", 1)
                    kept.setdefault(int(step), {})[name] = file.get_tensor(key)
        except (SafetensorError, OSError, ValueError, RuntimeError) as error:
            raise InputError(f"The weights in {path} cannot be read ({reason(error)}): {runs.RESTORE}.") from None
    return kept
