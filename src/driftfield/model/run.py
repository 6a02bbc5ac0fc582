"""A run is a folder: everything that one fit produced, in plain files, each written atomically.

    recipe.toml        the recipe, with every choice filled in
    model.safetensors  the weights, the scaling and the column names
    metrics.jsonl      the history of the training, one record per line
    environment.json   versions, device, times, the command
    train.parquet      training rows (at most 20,000), to detect memorisation
    held_out.parquet   rows that training never saw, for everything else
    SHA256SUMS         checksums of all files above (sha256sum -c SHA256SUMS)
    samples.parquet    the samples that were evaluated;  report.html;  figures/
    verify.json, verify.html  what a verification found, if there was one
    snapshots.safetensors  weights at earlier steps, if the recipe keeps any
    checkpoint/        only while training: the state to resume from

A folder without model.safetensors is not yet a run; a run is replaced only with ``force``, and only once its successor
is complete.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from driftfield.datasets.mixed import mixed
from driftfield.datasets.parquet import parquet_table
from driftfield.datasets.raw_table import numbers
from driftfield.errors import InputError, reason
from driftfield.files import check_writable as check_file
from driftfield.files import open_regular, read_text, write_atomically

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
CHECKSUMS = "SHA256SUMS"
CHECKED = (MODEL, RECIPE, HISTORY, ENVIRONMENT, TRAIN, HELD_OUT, SNAPSHOTS)  # what a model is read from
PAGES = (".html",)  # endings of a page's name
RESTORE = "restore it from a copy, or train again"
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
    try:
        str(path).encode()  # the files of weights are opened by names in UTF-8 alone
        exists = path.exists()
    except (OSError, ValueError) as error:
        raise InputError(f"The output folder {path} cannot be made ({reason(error)}): choose another name.") from None
    if exists and not path.is_dir():
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


def check_writable(path: Path, *names: str) -> None:
    """Refuse a run in which the named files, or the folder of figures, cannot be written, before they are made."""
    if not os.access(path, os.W_OK | os.X_OK):
        raise InputError(f"The run {path} cannot be written: name the file to write with -o.")
    for name in names:
        if name != FIGURES:
            check_file(path / name)
        elif (path / name).exists() and not (path / name).is_dir():
            raise InputError(f"There is a file {path / name} where a folder of figures belongs: move it away.")


def inputs(path: Path) -> list[Path]:
    """The files that the model of a run is read from."""
    return [path / name for name in (*CHECKED, CHECKSUMS)]


def check_outside(file: str, path: Path) -> None:
    """Refuse rows that are one of the files which a new run in this folder replaces."""
    for own in (*inputs(path), path / SAMPLES, *(path / CHECKPOINT).glob("*"), *(path / FIGURES).glob("*")):
        if os.path.exists(file) and own.exists() and own.samefile(file):
            raise InputError(f"The rows of {file} belong to the run {path}: choose another folder with -o.")


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


def discard(path: Path) -> None:
    """Undo :func:`start`: drop the checkpoint, and the folder if nothing else is in it."""
    shutil.rmtree(path / CHECKPOINT)
    if not any(path.iterdir()):
        path.rmdir()


def finish(path: Path, new: Path) -> None:
    """Move the files of a complete model from the folder ``new`` into the run, and drop what belonged to an old one."""
    for name in (REPORT, SAMPLES, SNAPSHOTS, CHECKSUMS, VERIFY, VERIFY_PAGE):
        (path / name).unlink(missing_ok=True)
    shutil.rmtree(path / FIGURES, ignore_errors=True)
    names = sorted(item.name for item in new.iterdir())
    for name in [n for n in names if n != MODEL] + [MODEL]:
        os.replace(new / name, path / name)
    shutil.rmtree(path / CHECKPOINT)


def write_checksums(folder: Path) -> None:
    """Write SHA256SUMS: the checksum of every file that a model is read from."""
    present = [name for name in CHECKED if (folder / name).exists()]
    lines = [f"{_checksum(folder / name)}  {name}\n" for name in present]
    write_atomically(folder / CHECKSUMS, "".join(lines).encode())


def verify_checksums(folder: Path) -> bool:
    """Refuse a run whose files are not those that were written together; False for a run without checksums.

    Raises:
        InputError: a file differs, is missing, or came from elsewhere.
    """
    path = folder / CHECKSUMS
    if not path.exists():
        return False
    try:
        lines = read_text(path).splitlines()
        noted = {name: checksum for checksum, name in (line.split("  ", 1) for line in lines)}
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    for name in CHECKED:
        try:
            found = _checksum(folder / name) if (folder / name).exists() else None
        except (OSError, ValueError) as error:
            raise _unreadable(folder / name, error) from None
        if found == noted.get(name):
            continue
        what = "is missing" if found is None else "was changed after it was written, or belongs to another run"
        raise InputError(f"The file {folder / name} {what}: {RESTORE}.")
    return True


def _checksum(path: Path) -> str:
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, content: Any) -> None:
    """JSON, atomically."""
    write_atomically(path, json.dumps(content, indent=2).encode())


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; an InputError names a file that is missing or damaged."""
    try:
        found = json.loads(read_text(path))
    except (OSError, ValueError, RecursionError) as error:
        raise _unreadable(path, error) from None
    if not isinstance(found, dict):
        raise InputError(f"The file {path} does not hold a JSON object: {RESTORE}.")
    return found


def read_history(path: Path) -> list[dict[str, Any]]:
    """The records of metrics.jsonl; none if there is no file."""
    file = path / HISTORY
    try:
        return [json.loads(line) for line in read_text(file).splitlines()] if file.exists() else []
    except (OSError, ValueError, RecursionError) as error:
        raise _unreadable(file, error) from None


def read_rows(
    path: Path, columns: Sequence[str], safe: bool, holes: bool = False, fewest: int = 1
) -> NDArray[np.float64]:
    """The rows (n, D) of a Parquet file of a run, whose columns are those of the model; ``safe`` if it was checked.

    With ``holes``, cells may be missing: they are NaN. Fewer than ``fewest`` rows are refused.

    Raises:
        InputError: the file is missing or damaged, or has other columns.
    """
    try:
        raw = parquet_table(path, safe)
        values, names = mixed(raw, None, fewest)[:2] if holes else numbers(raw, None, fewest)
    except OSError as error:
        raise _unreadable(path, error) from None
    if names != tuple(columns):
        raise InputError(f"The file {path} has other columns than the model of its run: {RESTORE}.")
    return values


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(f"The file {path} cannot be read ({reason(error)}): {RESTORE}.")


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
    if folder.is_file():
        raise InputError(f"{path} is a file: name the folder of a run.")
    what = "has no model in it" if folder.is_dir() else "does not exist"
    raise InputError(f"The run {folder} {what}: make one with driftfield fit DATA -o {folder}.")
