"""The mathematics of diffusion models, on torch tensors alone; read it from ``schedules`` to ``likelihood``."""

from driftfield.diffusion.bridge import bridge, transition
from driftfield.diffusion.denoisers import BaseDenoiser, Denoiser, Estimate
from driftfield.diffusion.exact import EmpiricalDenoiser, MixtureDenoiser
from driftfield.diffusion.gaussian import Gaussian, matched_prior, standard_prior
from driftfield.diffusion.heads import HEADS
from driftfield.diffusion.kernels import VARIANCES, DenoiserKernel
from driftfield.diffusion.likelihood import LogDensity, log_prob
from driftfield.diffusion.objectives import METRICS, TIMES, WEIGHTS, denoising_loss, diffusion_bound
from driftfield.diffusion.samplers import GRIDS, SAMPLERS, State, sample
from driftfield.diffusion.schedules import SCHEDULES, Chain, Schedule

__all__ = [
    "GRIDS",
    "HEADS",
    "METRICS",
    "SAMPLERS",
    "SCHEDULES",
    "TIMES",
    "VARIANCES",
    "WEIGHTS",
    "BaseDenoiser",
    "Chain",
    "Denoiser",
    "DenoiserKernel",
    "EmpiricalDenoiser",
    "Estimate",
    "Gaussian",
    "LogDensity",
    "MixtureDenoiser",
    "Schedule",
    "State",
    "bridge",
    "denoising_loss",
    "diffusion_bound",
    "log_prob",
    "matched_prior",
    "sample",
    "standard_prior",
    "transition",
]
