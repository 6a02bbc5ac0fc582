"""Objectives: what is minimised; each returns one loss per row."""

from driftfield.diffusion.objectives.bound import bound_variance, continuous_bound, diffusion_bound
from driftfield.diffusion.objectives.denoising import METRICS, WEIGHTS, denoising_loss
from driftfield.diffusion.objectives.elbo import chain_loss, hybrid_loss
from driftfield.diffusion.objectives.sliced import sliced_score_loss
from driftfield.diffusion.objectives.times import TIMES

__all__ = [
    "METRICS",
    "TIMES",
    "WEIGHTS",
    "bound_variance",
    "chain_loss",
    "continuous_bound",
    "denoising_loss",
    "diffusion_bound",
    "hybrid_loss",
    "sliced_score_loss",
]
