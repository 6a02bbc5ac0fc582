"""Writing files whole or not at all, and plain data for JSON."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from driftfield.errors import InputError

MOST_READ = 1 << 28  # bytes of a text file


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Within the block, a temporary file of the same folder and ending to write; then fsync, and rename onto ``path``.

    If the block fails, the old file stays as it was and the temporary one is gone.

    Raises:
        InputError: the folder does not exist, or cannot be written.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise InputError(f"Cannot write {path}: there is no folder {path.parent}, so create it first.")
    if path.is_dir():
        raise InputError(f"Cannot write {path}: it is a folder, so name a file.")
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"Cannot write {path}: the folder {path.parent} is not writable, so choose another place.")
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read_text(path: str | Path, most: int = MOST_READ) -> str:
    """The text of a UTF-8 file of at most so many bytes.

    Raises:
        OSError: it cannot be read.
        ValueError: it is a pipe or a device, is longer, or is not UTF-8.
    """
    with open(path, "rb", opener=_open_at_once) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("it is a pipe or a device, not a file")
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"it is longer than {most:,} bytes")
    return content.decode("utf-8")


def _open_at_once(path: str, flags: int) -> int:
    """Open a file without waiting for the writer of a pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def write_atomically(path: str | Path, content: bytes) -> None:
    """Write a whole file at once."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def plain(value: Any) -> Any:
    """Plain data for JSON: arrays and tuples become lists, and numbers that are not finite become None."""
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(value, inf_nan_mode="null", fallback=lambda array: plain(array.tolist()))
