"""Memory: what would take more than there is, is refused before it is taken."""

import sys
from pathlib import Path

from driftfield.errors import InputError

_SMALL = 1 << 24  # bytes that are never refused
_UNITS = ("bytes", "KB", "MB", "GB", "TB", "PB")
_GROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current")  # the limit of a container, and what it uses


def require(needed: float, what: str, advice: str) -> None:
    """Refuse what needs more bytes than are free: "1,000,000,000 steps need 48 GB of memory, .."

    Raises:
        InputError: with the size, and the advice on what to do.
    """
    if needed > _SMALL and needed > (free := available()):
        raise InputError(f"{what} need at least {_size(needed)} of memory, but {_size(free)} are free: {advice}.")


def available() -> int:
    """Bytes that are free, for this process; without limit where the system does not tell."""
    free = [sys.maxsize]
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
        limit, used = (Path(name).read_text().strip() for name in _GROUPS)
        free.append(int(limit) - int(used))
    except (OSError, ValueError):  # another system, or "max": no limit
        pass
    return max(min(free), 0)


def _size(amount: float) -> str:
    """Bytes to two digits: 16 TB."""
    unit = 0
    while amount >= 999.5 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1000, unit + 1
    return f"{amount:,.0f} {_UNITS[unit]}" if amount >= 9.95 else f"{amount:.1f} {_UNITS[unit]}"
