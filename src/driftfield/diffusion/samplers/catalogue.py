"""The samplers by name: the step of each, and what is known of it."""

from dataclasses import dataclass
from functools import partial

from torch import Tensor

from driftfield.diffusion.denoisers import BaseDenoiser
from driftfield.diffusion.samplers.adaptive import rk45
from driftfield.diffusion.samplers.loop import Memory, Step
from driftfield.diffusion.samplers.multistep import adams_bashforth, dpmpp_2m, dpmpp_3m, linear_multistep, unipc
from driftfield.diffusion.samplers.single_step import euler, heun, midpoint, rk4
from driftfield.diffusion.samplers.stochastic import (
    ancestral,
    churn,
    ddim,
    euler_maruyama,
    learned_kernel,
    predictor_corrector,
    sde_dpmpp_2m,
)


@dataclass(frozen=True)
class Sampler:
    """A step function, called as such, with what is known of it.

    Attributes:
        step: (denoiser, x_t, t, s, memory) -> x_s.
        order: of convergence to the solution of the probability-flow ODE; of a random sampler, the weak order, of
            convergence to its law. None where no theory states one.
        evaluations: of the denoiser in a step; None where the step chooses.
        random: it draws noise on the way.
        summary, source: what it is, and where it comes from.
        needs: what the model must have learned, in words, where it must.
    """

    step: Step
    order: int | None
    evaluations: int | None
    random: bool
    summary: str
    source: str
    needs: str = ""

    def __call__(self, denoiser: BaseDenoiser, x_t: Tensor, t: Tensor, s: Tensor, memory: Memory) -> Tensor:
        return self.step(denoiser, x_t, t, s, memory)


SAMPLERS: dict[str, Sampler] = {
    "euler": Sampler(euler, 1, 1, False, "Euler's method in sigma / alpha", "Karras et al. 2022, eq. 4"),
    "ddim": Sampler(ddim, 1, 1, False, "the same; with eta, partly ancestral", "Song et al. 2021 (DDIM), eq. 12"),
    "heun": Sampler(heun, 2, 2, False, "mean slope of both ends", "Karras et al. 2022, algorithm 1"),
    "midpoint": Sampler(
        midpoint, 2, 2, False, "slope at the middle in log-SNR, DPM-Solver-2", "Lu et al. 2022, algorithm 1"
    ),
    "rk4": Sampler(rk4, 4, 4, False, "Runge-Kutta in the angle atan(sigma / alpha)", "Salimans, Ho 2022, appendix D"),
    "lms-2": Sampler(linear_multistep, 2, 1, False, "Adams-Bashforth in sigma / alpha", "Hairer et al. 1993, III.1"),
    "ab-2": Sampler(
        adams_bashforth, 2, 1, False, "exponential Adams-Bashforth in log-SNR, DEIS", "Zhang, Chen 2023, sec. 3.3"
    ),
    "ab-3": Sampler(
        partial(adams_bashforth, order=3), 3, 1, False, "the same through three estimates", "Zhang, Chen 2023, sec. 3.3"
    ),
    "dpmpp-2m": Sampler(
        dpmpp_2m, 2, 1, False, "DPM-Solver++(2M), on the data", "Lu et al. 2022 (DPM-Solver++), algorithm 2"
    ),
    "dpmpp-3m": Sampler(
        dpmpp_3m, 3, 1, False, "the same through three estimates, exact weights", "Lu et al. 2022 (DPM-Solver++)"
    ),
    "unipc": Sampler(unipc, 3, 1, False, "2M, corrected at no cost", "Zhao et al. 2023, algorithms 1, 2"),
    "rk45": Sampler(rk45, None, None, False, "to a tolerance, each row for itself", "Dormand, Prince 1980"),
    "ancestral": Sampler(ancestral, 1, 1, True, "the kernel's own draw, small variance", "Ho et al. 2020, algorithm 2"),
    "ancestral-large": Sampler(
        partial(ancestral, variance="large"), 1, 1, True, "the same, large variance", "Ho et al. 2020, sec. 3.2"
    ),
    "ancestral-learned": Sampler(
        partial(ancestral, variance="learned"),
        None,
        1,
        True,
        "the same, learned variance",
        "Nichol, Dhariwal 2021, eq. 15",
        "a learned variance",
    ),
    "ancestral-marginal": Sampler(
        partial(ancestral, variance="marginal"), None, 1, True, "a mistake to look at: too much noise", "a tutorial"
    ),
    "kernel": Sampler(
        learned_kernel,
        None,
        1,
        True,
        "the model's own reverse step",
        "Sohl-Dickstein et al. 2015, table 1",
        "a learned kernel",
    ),
    "euler-maruyama": Sampler(
        euler_maruyama, 1, 1, True, "the reverse SDE, step by step", "Song et al. 2021 (SDE), eq. 6"
    ),
    "sde-dpmpp-2m": Sampler(
        sde_dpmpp_2m, None, 1, True, "SDE-DPM-Solver++(2M)", "Lu et al. 2022 (DPM-Solver++), sec. 5"
    ),
    "churn": Sampler(churn, None, 2, True, "Heun with noise put back, EDM", "Karras et al. 2022, algorithm 2"),
    "predictor-corrector": Sampler(
        predictor_corrector, None, 2, True, "ancestral, then a step of Langevin's", "Song et al. 2021, algorithms 4, 5"
    ),
}
