"""Reading texts within bounds, writing files whole or not at all, and plain data for JSON."""

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

from driftfield.errors import DriftfieldError, InputError, listed, reason

MOST_READ = 1 << 28  # bytes of a text file
_LONGEST_ENDING = 10  # of a temporary file: writers tell the format from it
_NO_FAULT_OF_THE_USER = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG)


def check_writable(path: str | Path, endings: Sequence[str] = ()) -> Path:
    """The file to write, which is another than ``path`` where that is a symbolic link; nothing is left in its folder.

    Raises:
        InputError: the name has none of the endings, or names a folder, a pipe or a device; its folder does not exist;
            or it cannot be written.
        DriftfieldError: the disk is full.
    """
    target = _place(Path(path), endings)
    try:
        probe = _beside(target)  # permissions alone do not tell: of root, of /proc, of a disk without room for a file
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise _cannot_write(path, error) from None
    return target


def _beside(target: Path, ending: str = "") -> Path:
    """A new name in the folder of a file; short, as the name of the file may be as long as is allowed."""
    return target.with_name(f".{secrets.token_hex(8)}{ending}")


def _cannot_write(path: str | Path, error: OSError) -> DriftfieldError:
    if error.errno in (*_NO_FAULT_OF_THE_USER, None):
        return DriftfieldError(f"Cannot write {path} ({reason(error)}): free some space or choose another folder.")
    return InputError(f"Cannot write {path} ({reason(error)}): choose another folder.")


def _place(path: Path, endings: Sequence[str]) -> Path:
    try:
        target = Path(os.path.realpath(path))
        found, folder = _mode(target), _mode(target.parent)
    except (OSError, ValueError) as error:
        raise InputError(f"Cannot write {path} ({reason(error)}): choose another name.") from None
    if found is not None and stat.S_ISDIR(found):
        raise InputError(f"Cannot write {path}: it is a folder, so name a file.")
    if found is not None and not stat.S_ISREG(found):
        raise InputError(f"Cannot write {path}: it is a pipe or a device, so name a file.")
    if endings and path.suffix.lower() not in endings:
        raise InputError(f"Cannot write {path}: end its name in {listed(endings)}.")
    if folder is not None and not stat.S_ISDIR(folder):
        raise InputError(f"Cannot write {path}: {target.parent} is a file, so choose another folder.")
    if folder is None:
        raise InputError(f"Cannot write {path}: there is no folder {target.parent}, so create it first.")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise InputError(f"Cannot write {path}: the folder {target.parent} is not writable, so choose another folder.")
    if found is not None and not os.access(target, os.W_OK):
        raise InputError(f"Cannot write {path}: the file is read-only, so choose another name.")
    return target


def _mode(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None


def check_no_input(path: str | Path, inputs: Iterable[str | Path], why: str = "which is read") -> None:
    """Raise an InputError where ``path`` is one of the files that are read, under whatever name."""
    for each in inputs:
        if os.path.exists(path) and os.path.exists(each) and os.path.samefile(path, each):
            raise InputError(f"Cannot write {path}: it is the file {each}, {why}; choose another name.")


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Within the block, a temporary file of the same folder and ending to write; then fsync, and rename onto ``path``.

    If the block fails, the old file stays as it was and the temporary one is gone. A symbolic link stays, and the file
    that it names is replaced; a file that is replaced keeps its permissions.

    Raises:
        InputError: see :func:`check_writable`.
        DriftfieldError: the disk is full.
    """
    target, ending = _place(Path(path), ()), Path(path).suffix
    temporary = _beside(target, ending if len(ending) <= _LONGEST_ENDING else "")
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, temporary)
        os.replace(temporary, target)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def open_regular(path: str | Path) -> BufferedReader:
    """Open a file to read.

    Raises:
        OSError: it cannot be read.
        ValueError: it is a pipe, which might have no writer, or a device, which might have no end.
    """

    def at_once(name: str, flags: int) -> int:
        return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))

    file = open(path, "rb", opener=at_once)  # noqa: SIM115 - the caller closes it
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise ValueError("it is a pipe or a device, not a file")


def read_text(path: str | Path, most: int = MOST_READ) -> str:
    """The text of a UTF-8 file of at most so many bytes; raises as :func:`open_regular`, or a ValueError."""
    with open_regular(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"it is longer than {most:,} bytes")
    return content.decode("utf-8")


def write_atomically(path: str | Path, content: bytes) -> None:
    """Write a whole file at once."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def plain(value: Any) -> Any:
    """Plain data for JSON: arrays and tuples become lists, and numbers that are not finite become None."""
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(value, inf_nan_mode="null", fallback=lambda array: plain(array.tolist()))
