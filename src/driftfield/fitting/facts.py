"""Facts: what a run folder says of a training besides its recipe."""

import math
import os
import platform
import time
from importlib.metadata import version
from typing import Any

import numpy as np
import torch

from driftfield.datasets.weights import effective_rows
from driftfield.diffusion import Denoiser
from driftfield.fitting.plan import Plan
from driftfield.model.model import Model
from driftfield.training.checkpoint import Progress


def _of_weights(plan: Plan) -> dict[str, Any]:
    if plan.weights is None:
        return {}
    column = plan.recipe.data.weight
    return {
        "row weights": "an array" if column is None else f"column {column}",
        "effective training rows": round(effective_rows(plan.weights)),
    }


def facts_of(plan: Plan, model: Model, progress: Progress, device: torch.device) -> dict[str, Any]:
    """Command, numbers of rows and steps, speed, versions and the machine, as plain data."""
    rate = progress.step * (plan.recipe.train.batch or 0) / max(progress.seconds, 1e-9)
    bounded = isinstance(model.denoiser, Denoiser) and model.parts.objective is None
    loss, unit = ("bound", ", nats per dimension") if bounded else ("loss", "")
    judged = {
        f"validation {loss} at the best step{unit}": round(progress.best, 6),
        f"validation {loss} at the last step{unit}": round(progress.last, 6),
    }
    return {
        "command": plan.command,
        "seed": plan.seed,
        "training rows": len(plan.rows),
        "held-out rows": len(plan.held_out),
        **_of_weights(plan),
        **({"steps per epoch": plan.steps_per_epoch} if plan.recipe.train.order == "shuffled" else {}),
        "parameters": sum(p.numel() for p in model.denoiser.parameters()),
        "steps": progress.step,
        "best step": progress.best_step,
        **(judged if math.isfinite(progress.best) else {}),
        "training seconds": round(progress.seconds, 2),
        "rows per second": round(rate),
        "device": str(device),
        "threads": torch.get_num_threads(),
        "driftfield": version("driftfield"),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
        "finished": time.strftime("%Y-%m-%d %H:%M:%S %z"),
    }
