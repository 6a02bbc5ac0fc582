r"""The variational bound in continuous time: its diffusion term, in nats.

Up to a reconstruction term and a prior term, which do not depend on the network, the bound on -log p(x) is

    L(x) = 1/2 int E |eps_hat - eps|^2 d gamma  =  1/2 (gamma_high - gamma_low) E_{gamma ~ U} |eps_hat - eps|^2

(Kingma et al. 2021, eq. 17 and 18), the same for every schedule with the same ends. Differences of L between networks
are differences of their bounds on the log-likelihood, so L shows which of two networks has the better density. The
losses that are best for training show it less clearly, as they give little weight to small noise.

One draw with t uniform on [t_low, t_high] is  l = 1/2 (t_high - t_low) gamma'(t) |eps_hat - eps|^2.  Its mean L depends
on a schedule only through its ends, but its variance E[l^2] - L^2 depends on all of it. So a learned schedule is
trained to make E[l^2] small while the network is trained to make E[l] small (sec. 5.1 and appendix I.2): with [.] for
values without gradients, and any constant c,

    loss = l(network, [schedule]) + c l([network], schedule)^2 - [c l^2].
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call

from driftfield.diffusion.basics.denoisers import BaseDenoiser, Denoiser
from driftfield.diffusion.basics.denoising import denoising_loss, snr
from driftfield.diffusion.basics.schedules import Schedule
from driftfield.diffusion.basics.times import stratified, stratified_draws
from driftfield.diffusion.further.objectives import LABEL_DROPOUT, LabelDropout, Loss, TimesOption, at_times


def diffusion_bound(
    denoiser: Denoiser,
    x: Tensor,
    generator: torch.Generator,
    cond: Tensor | None = None,
    gammas: tuple[float, float] | None = None,
) -> Tensor:
    """One draw of L for each row of x (B, *D), in nats, summed over dimensions; (B,), gamma stratified over the rows.

    On a discrete chain, too, gamma is continuous.

    Args:
        gammas: the limits of the integral, by default the ends of the schedule. Between equal limits the value is the
            same for every schedule.
    """
    schedule = denoiser.schedule
    low, high = gammas or schedule.gamma_ends().tolist()
    t = schedule.time(low + (high - low) * stratified_draws(len(x), generator, shuffled=True))
    eps = torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)
    return 0.5 * (high - low) * denoising_loss(denoiser, x, t, eps, weight=snr, cond=cond)


@torch.no_grad()
def trained_gammas(schedule: Schedule, times: Callable[..., Tensor]) -> tuple[float, float]:
    """(gamma_low, gamma_high): the range of gamma over 16,384 random times, without the lowest and the highest 4.

    A network is trained only in this range, and its schedule may go further: kappa of the cosine schedule goes
    down to 1e-5, where log-normal times almost never fall. For log-normal times it is the mean plus and minus 3.5
    standard deviations, cut at the ends of the schedule.

    Args:
        times: (schedule, n, generator) -> t (n,), as in TIMES.
    """
    t = schedule.clamp(times(schedule, 16_384, torch.Generator(schedule.device).manual_seed(0))).sort().values
    low, high = schedule.gamma(t[[4, -5]]).tolist()
    return low, high


def continuous_bound(denoiser: BaseDenoiser, x: Tensor, t: Tensor, eps: Tensor, cond: Tensor | None = None) -> Tensor:
    """One draw of L for each row, for t uniform on [t_low, t_high]; it trains a learned schedule beside the network.

    Its value is l. With c = 1 / (D (gamma_high - gamma_low) / 2), one over the mean of l for eps_hat = 0, both
    gradients are of similar size. A schedule with parameters takes a second evaluation of the network if gradients are
    enabled.

    Args:
        x, eps: (B, *D) data and standard normal noise.
        t: () or (B,) times.

    Returns:
        (B,) in nats, summed over dimensions.
    """
    draw = _Draw(denoiser)
    timed = {id(parameter) for parameter in denoiser.schedule.parameters() if parameter.requires_grad}
    if not timed or not torch.is_grad_enabled():
        value: Tensor = draw(x, t, eps, cond)
        return value
    of_network: dict[str, Tensor] = {}
    of_schedule: dict[str, Tensor] = {}
    for name, parameter in draw.named_parameters():
        of_network[name] = parameter.detach() if id(parameter) in timed else parameter
        of_schedule[name] = parameter if id(parameter) in timed else parameter.detach()
    low, high = denoiser.schedule.gamma_ends()
    size = 0.5 * x[0].numel() * float(high - low)
    square: Tensor = functional_call(draw, of_schedule, (x, t, eps, cond)) ** 2 / size
    value = functional_call(draw, of_network, (x, t, eps, cond))
    return value + (square - square.detach())


def bound(
    denoiser: BaseDenoiser, *, times: TimesOption = stratified, label_dropout: LabelDropout = LABEL_DROPOUT
) -> Loss:
    """The objective "bound": :func:`continuous_bound` at random times."""
    return at_times(denoiser, continuous_bound, times, label_dropout)


def bound_variance(denoiser: BaseDenoiser, x: Tensor, generator: torch.Generator) -> tuple[float, float]:
    """Mean and variance over the rows of x (B, *D) of one draw of L with independent uniform times; nats, nats^2."""
    low, high = denoiser.schedule.t_low, denoiser.schedule.t_high
    t = low + (high - low) * torch.rand(len(x), dtype=torch.float64, generator=generator, device=x.device)
    eps = torch.randn(x.shape, dtype=x.dtype, generator=generator, device=x.device)
    with torch.no_grad():
        draws = continuous_bound(denoiser, x, t, eps).double()
    return float(draws.mean()), float(draws.var())


class _Draw(nn.Module):
    """l as a module, so that its parameters can be replaced by detached ones."""

    def __init__(self, denoiser: BaseDenoiser) -> None:
        super().__init__()
        self.denoiser = denoiser

    def forward(self, x: Tensor, t: Tensor, eps: Tensor, cond: Tensor | None) -> Tensor:
        schedule = self.denoiser.schedule
        t = schedule.clamp(t)
        if isinstance(self.denoiser, Denoiser):
            error = denoising_loss(self.denoiser, x, t, eps, weight=snr, cond=cond)
        else:
            eps_hat = self.denoiser(schedule.perturb(x, t, eps), t, cond).eps
            error = (eps_hat - eps).square().flatten(1).sum(1)  # (B,)
        return 0.5 * (schedule.t_high - schedule.t_low) * schedule.gamma_rate(t).to(error) * error
