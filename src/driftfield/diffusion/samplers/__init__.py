"""Samplers: a step function and a grid of times, joined by one loop."""

from driftfield.diffusion.samplers.catalogue import SAMPLERS, Sampler
from driftfield.diffusion.samplers.grids import GRIDS
from driftfield.diffusion.samplers.loop import Memory, State, Step, sample

__all__ = ["GRIDS", "SAMPLERS", "Memory", "Sampler", "State", "Step", "sample"]
