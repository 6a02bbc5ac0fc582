"""Reads a Parquet file in a process of its own: python parquet_process.py BYTES FILE all|names|COLUMN ..

A damaged Parquet file can abort the process that reads it, or claim any amount of memory. This one may take the given
number of bytes. It writes an Arrow IPC file to standard output: of all columns, of all columns without rows, or of the
columns with the given indices. It ends with exit code 1 and a reason on standard error if the file cannot be read.
"""

import sys
from pathlib import Path
from typing import IO


def main() -> None:
    """Read the file that the arguments name."""
    most, path, *columns = sys.argv[1:]
    import polars as pl

    _limit_memory(int(most))
    try:
        with Path(path).open("rb") as file:  # polars expands patterns in a path
            _write(file, columns)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        print((str(error).splitlines() or [type(error).__name__])[0], file=sys.stderr)
        sys.exit(1)


def _write(file: IO[bytes], columns: list[str]) -> None:
    import polars as pl

    if columns == ["names"]:
        frame = pl.DataFrame(schema=pl.read_parquet_schema(file))
    else:
        frame = pl.read_parquet(file, columns=None if columns == ["all"] else [int(column) for column in columns])
    frame.write_ipc(sys.stdout.buffer)


def _limit_memory(most: int) -> None:
    """Let this process take so many bytes more than it has; on Linux alone."""
    status = Path("/proc/self/status")
    if status.exists():
        import resource

        taken = next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmData:"))
        resource.setrlimit(resource.RLIMIT_DATA, (taken * 1024 + most,) * 2)


if __name__ == "__main__":
    main()
