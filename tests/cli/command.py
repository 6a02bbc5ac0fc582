"""The real command, in a real process."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

COMMAND = str(Path(sys.executable).with_name("driftfield"))
Run = Callable[..., "subprocess.CompletedProcess[str]"]
TINY = ["--steps", "60", "--set", "network.width=16", "--set", "train.batch=128"]


def environment() -> dict[str, str]:
    """One thread, and a plain terminal."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "120", "NO_COLOR": "1"}
