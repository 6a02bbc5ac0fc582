"""The mathematics of diffusion models, on torch tensors alone; read it from ``schedules`` to ``likelihood``."""

from driftfield.diffusion.bridge import bridge, transition
from driftfield.diffusion.catalogue import SCHEDULES
from driftfield.diffusion.chains import Chain
from driftfield.diffusion.conversion import RescheduledDenoiser, ThroughHead, output
from driftfield.diffusion.denoisers import BaseDenoiser, Denoiser, Estimate
from driftfield.diffusion.dequantisation import DiscreteBound, dequantised_log_prob
from driftfield.diffusion.elbo import BoundTerms, bound_terms, importance_bound
from driftfield.diffusion.exact import EmpiricalDenoiser, MixtureDenoiser, TiedMixtureDenoiser, exact_denoiser
from driftfield.diffusion.forward import chain_times, walk
from driftfield.diffusion.gaussian import Gaussian, matched_prior, standard_prior
from driftfield.diffusion.guidance import GuidedDenoiser
from driftfield.diffusion.heads import HEADS
from driftfield.diffusion.kernels import VARIANCES, DenoiserKernel, Kernel, LearnedKernel
from driftfield.diffusion.learned_schedule import Learned
from driftfield.diffusion.likelihood import LogDensity, correlated_prior, log_prob
from driftfield.diffusion.objectives import (
    METRICS,
    TIMES,
    WEIGHTS,
    bound_variance,
    chain_loss,
    continuous_bound,
    denoising_loss,
    diffusion_bound,
    hybrid_loss,
    sliced_score_loss,
)
from driftfield.diffusion.probability_flow import decode, encode
from driftfield.diffusion.samplers import GRIDS, SAMPLERS, State, sample
from driftfield.diffusion.schedules import Schedule

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
    "BoundTerms",
    "Chain",
    "Denoiser",
    "DenoiserKernel",
    "DiscreteBound",
    "EmpiricalDenoiser",
    "Estimate",
    "Gaussian",
    "GuidedDenoiser",
    "Kernel",
    "Learned",
    "LearnedKernel",
    "LogDensity",
    "MixtureDenoiser",
    "RescheduledDenoiser",
    "Schedule",
    "State",
    "ThroughHead",
    "TiedMixtureDenoiser",
    "bound_terms",
    "bound_variance",
    "bridge",
    "chain_loss",
    "chain_times",
    "continuous_bound",
    "correlated_prior",
    "decode",
    "denoising_loss",
    "dequantised_log_prob",
    "diffusion_bound",
    "encode",
    "exact_denoiser",
    "hybrid_loss",
    "importance_bound",
    "log_prob",
    "matched_prior",
    "output",
    "sample",
    "sliced_score_loss",
    "standard_prior",
    "transition",
    "walk",
]
