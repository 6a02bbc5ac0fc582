"""The mathematics of diffusion models, on torch tensors alone. This is the table of contents.

PART I, :mod:`driftfield.diffusion.basics`: what everybody needs, to be read from front to back in an evening. The page
``docs/book.md`` is a guide through it, with exercises.

The forward process: how data become noise.

    schedules      alpha(t) and sigma(t), and everything that follows from them
    chains         schedules from a table of betas, in discrete steps
    gaussian       diagonal Gaussians, and the priors from which sampling starts
    bridge         the distribution of x_s given x_t and x, for any two times
    forward        the noising of a row as a path

The model: what a network learns.

    heads          what the output of a network means
    denoisers      from a network to estimates of data, noise, score and velocity
    kernels        p(x_s | x_t): one step backward, with a choice of its variance

Training.

    denoising      the objective and its weights
    times          the times at which to train

Sampling.

    loop           the loop that all samplers share
    grids          the times that a sampler visits
    single_step    solvers of the probability-flow ODE that use one step at a time
    stochastic     samplers that add noise on the way

PART II, :mod:`driftfield.diffusion.further`: further subjects. Each chapter builds on Part I; few build on each other.

More samplers.

    multistep          solvers that use the estimates of earlier steps
    ode                Runge-Kutta with error control for each row
    adaptive           the probability-flow ODE to a tolerance
    langevin           Langevin steps between reverse steps: predictor and corrector

More denoisers.

    guidance           classifier-free guidance
    exact              the exact denoisers of Gaussian mixtures and of finite data
    conversion         a trained denoiser under another schedule, or with another head

More to learn than a mean.

    objectives         what training minimises: a loss at random times, with labels hidden
    learned_kernel     mean and standard deviation of a reverse step, without a denoiser
    learned_variance   the variance of a reverse step, and the hybrid loss that trains it
    learned_schedule   gamma(t) as a monotone network
    sliced             sliced score matching

Tables of numbers and categories, with missing cells.

    cells              what is known of each cell of a row: generated, given or absent
    categories         drawn and scored one after the other
    places             where whole numbers and angles are put on the line
    table_mixture      Gaussians and categories in closed form, from which the network starts
    table_denoiser     numbers given all that is known of their row
    table_loss         the objective, which learns all conditionals at once
    target_loss        the objective of one column given the others

Bounds on the likelihood.

    chain_bound        the variational bound of a chain, to evaluate a model
    chain_loss         the same bound as a loss, to train a learned kernel
    continuous_bound   its limit in continuous time: a loss, and a measure of a model

Densities.

    probability_flow   the probability-flow ODE in variables that suit its solution
    divergence         the divergence of its field, exact or estimated
    likelihood         log-densities, with their errors
    prior_error        how far a prior is from the distribution of x_1
    dequantisation     the probability of integers from a density
    fokker_planck      the density of the forward process on a grid

Noise.

    row_noise          noise that depends only on the seed and the number of a row

SYMBOLS, the same in code, docstrings and docs; they mean nothing else, and nothing else means them.

    x                 a row of data; (B, *D) for a batch
    t, s              times in [0, 1], s < t; () or (B,)
    x_t               the noisy row at time t, x_t = alpha x + sigma eps
    eps               standard normal noise
    alpha, sigma      the coefficients of data and noise at time t; alpha_t, sigma_t if there are two times
    kappa             sigma / alpha, the noise level in units of the data
    lambda            log(alpha / sigma), half the log signal-to-noise ratio
    gamma             -2 lambda = 2 log kappa, which increases with t
    x_hat, eps_hat    a denoiser's estimates of x and eps, with x_t = alpha x_hat + sigma eps_hat
    alpha_ts, var_ts  of the transition from s to t, x_t = alpha_ts x_s + sqrt(var_ts) z
    T                 the number of steps of a chain, whose times are 1/T, 2/T, .. 1

The forward process is q(x_t | x), the reverse process p(x_s | x_t). Other letters belong to the docstring that
introduces them: f and g^2 to the SDE dx_t = f x_t dt + g dw, a and b to a target a x + b eps, z to what is solved for.

Papers are cited by a key, such as "Ho et al. 2020"; ``docs/references.md`` lists them with links. This module collects
the public names of both parts, and holds the tables ``SCHEDULES``, ``OBJECTIVES`` and ``SAMPLERS``, the names by which
recipes and the command line know them.
"""

from collections.abc import Callable
from functools import partial

from driftfield.diffusion.basics.bridge import bridge, transition
from driftfield.diffusion.basics.chains import Chain, constant, cosine_chain, linear, quadratic, sigmoid
from driftfield.diffusion.basics.denoisers import BaseDenoiser, Denoiser, Estimate
from driftfield.diffusion.basics.denoising import METRICS, WEIGHTS, denoising_loss
from driftfield.diffusion.basics.forward import State, chain_times, walk
from driftfield.diffusion.basics.gaussian import Gaussian, matched_prior, standard_prior
from driftfield.diffusion.basics.grids import GRIDS
from driftfield.diffusion.basics.heads import HEADS
from driftfield.diffusion.basics.kernels import DenoiserKernel, Kernel
from driftfield.diffusion.basics.loop import Memory, Sampler, Step, sample
from driftfield.diffusion.basics.schedules import VE, VP, Cosine, RectifiedFlow, Schedule, SubVP
from driftfield.diffusion.basics.single_step import euler, heun, midpoint, rk4
from driftfield.diffusion.basics.stochastic import (
    ancestral,
    churn,
    ddim,
    euler_maruyama,
)
from driftfield.diffusion.basics.times import TIMES
from driftfield.diffusion.further.adaptive import rk45
from driftfield.diffusion.further.categories import categories_log_prob, draw_categories
from driftfield.diffusion.further.cells import Cells
from driftfield.diffusion.further.chain_bound import BoundTerms, bound_terms, importance_bound
from driftfield.diffusion.further.chain_loss import chain_loss, elbo
from driftfield.diffusion.further.continuous_bound import (
    bound,
    bound_variance,
    continuous_bound,
    diffusion_bound,
    trained_gammas,
)
from driftfield.diffusion.further.conversion import ReparametrisedDenoiser, RescheduledDenoiser, output
from driftfield.diffusion.further.dequantisation import DiscreteBound, dequantised_log_prob
from driftfield.diffusion.further.exact import MixtureDenoiser, empirical_denoiser, exact_denoiser
from driftfield.diffusion.further.guidance import GuidedDenoiser
from driftfield.diffusion.further.langevin import predictor_corrector
from driftfield.diffusion.further.learned_kernel import LearnedKernel, kernel_step
from driftfield.diffusion.further.learned_schedule import Learned
from driftfield.diffusion.further.learned_variance import (
    VARIANCES,
    LearnedVarianceDenoiser,
    hybrid,
    hybrid_loss,
    learned_log_variance,
    reverse_kernel,
)
from driftfield.diffusion.further.likelihood import LogDensity, correlated_prior, log_prob
from driftfield.diffusion.further.multistep import (
    adams_bashforth,
    dpmpp_2m,
    dpmpp_3m,
    linear_multistep,
    sde_dpmpp_2m,
    unipc,
)
from driftfield.diffusion.further.objectives import Loss, denoising
from driftfield.diffusion.further.probability_flow import decode, encode
from driftfield.diffusion.further.sliced import sliced_score, sliced_score_loss
from driftfield.diffusion.further.table_denoiser import TableDenoiser
from driftfield.diffusion.further.table_loss import table, table_bound
from driftfield.diffusion.further.table_mixture import TableMixture
from driftfield.diffusion.further.target_loss import TargetLoss

__all__ = [
    "GRIDS",
    "HEADS",
    "METRICS",
    "OBJECTIVES",
    "SAMPLERS",
    "SCHEDULES",
    "TIMES",
    "VARIANCES",
    "WEIGHTS",
    "BaseDenoiser",
    "BoundTerms",
    "Cells",
    "Chain",
    "Denoiser",
    "DenoiserKernel",
    "DiscreteBound",
    "Estimate",
    "Gaussian",
    "GuidedDenoiser",
    "Kernel",
    "Learned",
    "LearnedKernel",
    "LearnedVarianceDenoiser",
    "LogDensity",
    "Loss",
    "Memory",
    "MixtureDenoiser",
    "ReparametrisedDenoiser",
    "RescheduledDenoiser",
    "Sampler",
    "Schedule",
    "State",
    "Step",
    "TableDenoiser",
    "TableMixture",
    "TargetLoss",
    "bound_terms",
    "bound_variance",
    "bridge",
    "categories_log_prob",
    "chain_loss",
    "chain_times",
    "continuous_bound",
    "correlated_prior",
    "decode",
    "denoising_loss",
    "dequantised_log_prob",
    "diffusion_bound",
    "draw_categories",
    "empirical_denoiser",
    "encode",
    "exact_denoiser",
    "hybrid_loss",
    "importance_bound",
    "log_prob",
    "matched_prior",
    "output",
    "reverse_kernel",
    "sample",
    "sliced_score_loss",
    "standard_prior",
    "table",
    "table_bound",
    "trained_gammas",
    "transition",
    "walk",
]

SCHEDULES: dict[str, Callable[..., Schedule]] = {
    "constant": constant,
    "linear": linear,
    "quadratic": quadratic,
    "sigmoid": sigmoid,
    "cosine-chain": cosine_chain,
    "vp": VP,
    "sub-vp": SubVP,
    "ve": VE,
    "cosine": Cosine,
    "rectified-flow": RectifiedFlow,
    "learned": Learned,
}

OBJECTIVES: dict[str, Callable[..., Loss]] = {
    "denoising": denoising,
    "elbo": elbo,
    "hybrid": hybrid,
    "bound": bound,
    "sliced-score": sliced_score,
    "table": table,
}

SAMPLERS: dict[str, Sampler] = {
    "euler": Sampler(euler, "Euler's method in sigma / alpha", "Karras et al. 2022, eq. 4", order=1, fewest_steps=11),
    "ddim": Sampler(
        ddim, "the same; with eta, partly ancestral", "Song et al. 2021 (DDIM), eq. 12", order=1, fewest_steps=11
    ),
    "heun": Sampler(
        heun, "mean slope of both ends", "Karras et al. 2022, algorithm 1", order=2, evaluations=2, fewest_steps=9
    ),
    "midpoint": Sampler(
        midpoint,
        "slope at the middle in log-SNR, DPM-Solver-2",
        "Lu et al. 2022 (DPM-Solver), algorithm 1",
        order=2,
        evaluations=2,
        fewest_steps=8,
    ),
    "rk4": Sampler(
        rk4,
        "Runge-Kutta in the angle atan(sigma / alpha)",
        "Salimans, Ho 2022, appendix D",
        order=4,
        evaluations=4,
        fewest_steps=3,
    ),
    "lms-2": Sampler(
        linear_multistep, "Adams-Bashforth in sigma / alpha", "Hairer et al. 1993, III.1", order=2, fewest_steps=9
    ),
    "ab-2": Sampler(
        adams_bashforth,
        "exponential Adams-Bashforth in log-SNR, DEIS",
        "Zhang, Chen 2023, sec. 3.3",
        order=2,
        fewest_steps=7,
    ),
    "ab-3": Sampler(
        partial(adams_bashforth, order=3),
        "the same through three estimates",
        "Zhang, Chen 2023, sec. 3.3",
        order=3,
        fewest_steps=5,
    ),
    "dpmpp-2m": Sampler(
        dpmpp_2m, "DPM-Solver++(2M), on the data", "Lu et al. 2022 (DPM-Solver++), algorithm 2", order=2, fewest_steps=4
    ),
    "dpmpp-3m": Sampler(
        dpmpp_3m,
        "the same through three estimates, exact weights",
        "Lu et al. 2022 (DPM-Solver++)",
        order=3,
        fewest_steps=11,
    ),
    "unipc": Sampler(
        unipc, "2M with a corrector, no extra evaluations", "Zhao et al. 2023, algorithms 1, 2", order=3, fewest_steps=4
    ),
    "rk45": Sampler(
        rk45, "adaptive steps to a tolerance, for each row", "Dormand, Prince 1980", order=None, evaluations=None
    ),
    "ancestral": Sampler(
        ancestral,
        "a draw from the kernel, small variance",
        "Ho et al. 2020, algorithm 2",
        order=1,
        random=True,
        walks_chain=True,
        fewest_steps=18,
    ),
    "ancestral-large": Sampler(
        partial(ancestral, variance="large"),
        "the same, large variance",
        "Ho et al. 2020, sec. 3.2",
        order=1,
        random=True,
        walks_chain=True,
        fewest_steps=20,
    ),
    "ancestral-learned": Sampler(
        partial(ancestral, variance=learned_log_variance),
        "the same, learned variance",
        "Nichol, Dhariwal 2021, eq. 15",
        order=None,
        random=True,
        walks_chain=True,
        needs="a learned variance",
    ),
    "ancestral-marginal": Sampler(
        partial(ancestral, variance="marginal"),
        "a published mistake: too much noise",
        "a tutorial",
        order=None,
        random=True,
        walks_chain=True,
    ),
    "kernel": Sampler(
        kernel_step,
        "the model's own reverse step",
        "Sohl-Dickstein et al. 2015, table 1",
        order=None,
        random=True,
        walks_chain=True,
        needs="a learned kernel",
    ),
    "euler-maruyama": Sampler(
        euler_maruyama,
        "the reverse SDE, step by step",
        "Song et al. 2021 (SDE), eq. 6",
        order=1,
        random=True,
        fewest_steps=15,
    ),
    "sde-dpmpp-2m": Sampler(
        sde_dpmpp_2m,
        "SDE-DPM-Solver++(2M)",
        "Lu et al. 2022 (DPM-Solver++), sec. 5",
        order=None,
        random=True,
        fewest_steps=5,
    ),
    "churn": Sampler(
        churn,
        "Heun with added noise, EDM",
        "Karras et al. 2022, algorithm 2",
        order=None,
        evaluations=2,
        random=True,
        fewest_steps=11,
    ),
    "predictor-corrector": Sampler(
        predictor_corrector,
        "an ancestral step, then a Langevin step",
        "Song et al. 2021 (SDE), algorithms 4, 5",
        order=None,
        evaluations=2,
        random=True,
        fewest_steps=17,
    ),
}
