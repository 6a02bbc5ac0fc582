"""Objectives: what is minimised; each returns one loss per row."""

from driftfield.diffusion.objectives.bound import diffusion_bound
from driftfield.diffusion.objectives.denoising import METRICS, WEIGHTS, denoising_loss
from driftfield.diffusion.objectives.times import TIMES

__all__ = ["METRICS", "TIMES", "WEIGHTS", "denoising_loss", "diffusion_bound"]
