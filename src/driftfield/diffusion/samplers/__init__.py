"""Samplers: a step function and a grid of times, joined by one loop."""

from driftfield.diffusion.samplers.grids import GRIDS
from driftfield.diffusion.samplers.loop import Memory, State, sample
from driftfield.diffusion.samplers.steps import SAMPLERS

__all__ = ["GRIDS", "SAMPLERS", "Memory", "State", "sample"]
