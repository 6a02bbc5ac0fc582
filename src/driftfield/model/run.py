"""A run is a folder: everything that one fit produced, in plain files, each written atomically.

    recipe.toml        the recipe, with every choice filled in
    model.safetensors  the weights, the scaling and the column names
    metrics.jsonl      the history of the training, one record per line
    environment.json   versions, device, times, the command
    train.parquet      training rows (at most 20,000), to detect memorisation
    held_out.parquet   rows that training never saw, for everything else
    samples.parquet    the samples that were evaluated;  report.html;  figures/
    verify.json, verify.html  what a verification found, if there was one
    snapshots.safetensors  weights at earlier steps, if the recipe keeps any
    checkpoint/        only while training: the state to resume from

A folder without model.safetensors is not yet a run; a run is replaced only with ``force``, and only once its successor
is complete.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from driftfield.errors import DriftfieldError, InputError
from driftfield.files import write_atomically

MODEL, RECIPE, HISTORY, ENVIRONMENT = "model.safetensors", "recipe.toml", "metrics.jsonl", "environment.json"
TRAIN, HELD_OUT, SAMPLES, REPORT, FIGURES = (
    "train.parquet",
    "held_out.parquet",
    "samples.parquet",
    "report.html",
    "figures",
)
CHECKPOINT = "checkpoint"
LESSON = "lesson.json"  # what a tutorial's report measured
PLAIN_REPORT = "model.html"  # of a run whose report.html is a tutorial's
SNAPSHOTS = "snapshots.safetensors"
VERIFY, VERIFY_PAGE = "verify.json", "verify.html"
STATE, SETUP, ALL_ROWS = "state.safetensors", "setup.json", "rows.npy"


def is_complete(path: Path) -> bool:
    """Whether the folder holds a finished run."""
    return (path / MODEL).is_file() and (path / RECIPE).is_file()


def is_started(path: Path) -> bool:
    """Whether the folder holds a training that can be resumed."""
    return (path / CHECKPOINT / SETUP).is_file()


def check_free(path: Path, force: bool) -> None:
    """Refuse an output folder that exists, unless it is a run and ``force`` is given.

    Raises:
        InputError: the folder is in the way, or cannot be made or written.
    """
    if path.exists() and not path.is_dir():
        raise InputError(f"The output folder {path} is a file: choose another folder with -o.")
    if path.is_dir() and any(path.iterdir()):
        if not (is_complete(path) or (path / CHECKPOINT).is_dir()):
            raise InputError(f"The output folder {path} exists and is not a run: choose another folder with -o.")
        if not force:
            advice = "--resume continues it, " if is_started(path) else ""
            raise InputError(f"The run {path} exists: {advice}--force replaces it, -o names another folder.")
    probe = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
    if not os.access(probe, os.W_OK | os.X_OK):
        raise InputError(f"The output folder {path} cannot be written: choose another folder with -o.")


def start(path: Path) -> Path:
    """Make the folder and an empty checkpoint in it; returns the checkpoint's folder."""
    folder = path / CHECKPOINT
    try:
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
    except OSError as error:
        raise InputError(f"The output folder {path} cannot be written ({error.strerror}): choose another.") from None
    return folder


def finish(path: Path, new: Path) -> None:
    """Move the files of a complete model from the folder ``new`` into the run, and drop what belonged to an old one."""
    for name in (REPORT, SAMPLES, SNAPSHOTS, VERIFY, VERIFY_PAGE):
        (path / name).unlink(missing_ok=True)
    shutil.rmtree(path / FIGURES, ignore_errors=True)
    names = sorted(item.name for item in new.iterdir())
    for name in [n for n in names if n != MODEL] + [MODEL]:
        os.replace(new / name, path / name)
    shutil.rmtree(path / CHECKPOINT)


def write_json(path: Path, content: Any) -> None:
    """JSON, atomically."""
    write_atomically(path, json.dumps(content, indent=2).encode())


def read_json(path: Path) -> Any:
    """JSON; a DriftfieldError names a file that is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DriftfieldError(f"The file {path} cannot be read: {error}.") from None


def read_history(path: Path) -> list[dict[str, Any]]:
    """The records of metrics.jsonl; none if there is no file."""
    file = path / HISTORY
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def read_rows(path: Path) -> NDArray[np.float64]:
    """The rows (n, D) of a Parquet file of a run.

    Raises:
        DriftfieldError: the file is missing or damaged.
    """
    import polars

    try:
        return polars.read_parquet(path).to_numpy().astype(np.float64, copy=False)
    except (OSError, polars.exceptions.PolarsError) as error:
        raise DriftfieldError(f"The file {path} cannot be read: {error}.") from None


def find(path: str | Path) -> Path:
    """The folder of a finished run.

    Raises:
        InputError: there is none, with the resume command if its training was interrupted.
    """
    folder = Path(path)
    if is_complete(folder):
        return folder
    if is_started(folder):
        raise InputError(
            f"The training of {folder} is not finished: resume it with driftfield fit --resume -o {folder}."
        )
    what = "has no model in it" if folder.is_dir() else "does not exist"
    raise InputError(f"The run {folder} {what}: make one with driftfield fit DATA -o {folder}.")
