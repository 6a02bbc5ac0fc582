r"""The variational bound of a chain as an objective: one draw for each row, from a path of the forward process.

    loss(x) = 1/T [ -log p(x_T) - sum_{i=1..n} ( log p(x_{i-1} | x_i) - log q(x_i | x_{i-1}) ) ],   x_1 .. x_T ~ q

in nats, summed over dimensions. With n = T its mean is the bound on -log p(x), divided by T (Sohl-Dickstein et al.
2015, eq. 11); n = T - 1 leaves the first step of sampling untrained, as one tutorial does. There are three ways to draw
it, with equal means:

    "stepwise"  step by step along the chain, with one evaluation of the networks for each step
    "all"       the same number from the same noise, but with the whole path at once, x_i = alpha_i (x + sum_{j<=i}
                std_j / alpha_j z_j), many steps in one evaluation, and log q from the noise, -z^2 / 2 - log std_i + c
    "random"    one step i for each row, uniform on 1 .. n and stratified over the rows, with the weight n, which takes
                an nth of the work. Given x_i the means over x_{i-1} of log p(x_{i-1} | x_i), log q and log p(x_T) are
                known in closed form, so that only x_i and i are random
"""

import math
from collections.abc import Callable
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from driftfield.diffusion.basics.bridge import bridge, transition
from driftfield.diffusion.basics.forward import chain_times, walk
from driftfield.diffusion.basics.gaussian import Gaussian, standard_prior
from driftfield.diffusion.basics.kernels import Kernel
from driftfield.diffusion.basics.schedules import match
from driftfield.diffusion.basics.times import stratified_draws
from driftfield.diffusion.further.chain_bound import path_log_probs, reverse_transition
from driftfield.diffusion.further.objectives import Loss
from driftfield.errors import InputError, unknown_name
from driftfield.options import NameIn

ROWS = 2_048  # in one evaluation: the activations of more rows would not fit the cache of a core

Terms = Callable[[Kernel, Tensor, torch.Generator, int, Gaussian, Tensor | None], Tensor]


def stepwise(
    kernel: Kernel, x: Tensor, generator: torch.Generator, n: int, prior: Gaussian, cond: Tensor | None
) -> Tensor:
    """The n steps of the bound and its prior term, (B,), along the chain."""
    times = chain_times(kernel.schedule)
    draws = iter(_noise(len(times) - 1, x, generator))
    path = list(walk(kernel.schedule, x, lambda: next(draws), times))
    loss = -prior.log_prob(path[-1].x)
    for _, log_p, log_q in path_log_probs(kernel, path[: n + 1], times, x.dtype, cond):
        loss = loss + log_q - log_p
    return loss


def all_steps(
    kernel: Kernel, x: Tensor, generator: torch.Generator, n: int, prior: Gaussian, cond: Tensor | None
) -> Tensor:
    """The same from the same noise, with up to 2,048 rows in one evaluation."""
    times = chain_times(kernel.schedule)
    z = _noise(len(times) - 1, x, generator)  # (T, B, *D)
    alpha, log_var_ts = kernel.schedule.alpha(times[1:]), transition(kernel.schedule, times[1:], times[:-1])[1]  # (T,)
    steps = match((log_var_ts / 2).exp() / alpha, z) * z
    path = torch.cat([x[None], match(alpha, z) * (x + steps.cumsum(0))])  # (T + 1, B, *D)
    log_q = _log_q(z[:n].flatten(0, 1), log_var_ts[:n].repeat_interleave(len(x))).view(n, -1)  # (n, B)
    loss = log_q.sum(0) - prior.log_prob(path[-1])
    for chunk in torch.split(torch.arange(n, device=x.device), max(1, ROWS // len(x))):
        t, s = (times[i].repeat_interleave(len(x)) for i in (chunk + 1, chunk))
        tiled = None if cond is None else cond.repeat(len(chunk), *[1] * (cond.ndim - 1))
        p = reverse_transition(kernel, path[chunk + 1].flatten(0, 1), t, s, tiled)
        loss = loss - p.log_prob(path[chunk].flatten(0, 1)).view(len(chunk), -1).sum(0)
    return loss


def random_step(
    kernel: Kernel, x: Tensor, generator: torch.Generator, n: int, prior: Gaussian, cond: Tensor | None
) -> Tensor:
    """One step for each row, times n, with all expectations but that over x_i in closed form."""
    schedule, times = kernel.schedule, chain_times(kernel.schedule)
    u = stratified_draws(len(x), generator, shuffled=True)
    i = (u * n).long().clamp(max=n - 1)  # (B,): the step from times[i] to times[i + 1]
    s, t = times[i], times[i + 1]
    alpha, log_var = schedule.alpha(times), 2 * schedule.log_sigma(times)  # (T + 1,): shorter than the batch
    log_var_ts = transition(schedule, times[1:], times[:-1])[1]  # (T,)
    (eps,) = _noise(1, x, generator)
    x_t = match(alpha[i + 1], x) * x + match((log_var[i + 1] / 2).exp(), x) * eps
    cross = _cross_entropy(bridge(schedule, x_t, x, t, s), reverse_transition(kernel, x_t, t, s, cond))
    entropy = 0.5 * x[0].numel() * (1 + math.log(2 * math.pi) + log_var_ts[i].to(x))  # of q(x_i | x_{i-1})
    end = Gaussian(match(alpha[-1], x) * x, match(log_var[-1], x))
    return n * (cross - entropy) + _cross_entropy(end, prior)


TERMS: dict[str, Terms] = {"stepwise": stepwise, "all": all_steps, "random": random_step}


def chain_loss(
    kernel: Kernel,
    x: Tensor,
    generator: torch.Generator,
    terms: str = "all",
    last: bool = True,
    prior: Gaussian | None = None,
    cond: Tensor | None = None,
) -> Tensor:
    """One draw of the bound over T for each row of x (B, *D), in nats; (B,).

    Args:
        terms: a name in TERMS.
        last: whether n = T; otherwise n = T - 1.
        prior: of event shape (*D); by default N(0, prior_std^2 I).

    Raises:
        InputError: the name is unknown, the schedule is not a chain, or no step is left.
    """
    if terms not in TERMS:
        raise unknown_name("terms", terms, TERMS)
    T = len(chain_times(kernel.schedule)) - 1
    n = T if last else T - 1
    if n < 1:
        raise InputError("A chain of one step has nothing to train without its last: use more steps, or keep the last.")
    return TERMS[terms](kernel, x, generator, n, prior or standard_prior(kernel.schedule, x[0]), cond) / T


def elbo(
    kernel: Kernel,
    *,
    terms: Annotated[str, NameIn("terms", TERMS), Field(description="of the chain")] = "all",
    last_transition: Annotated[bool, Field(description="count the transition out of t = T")] = True,
) -> Loss:
    """The objective "elbo": :func:`chain_loss` of a learned kernel."""
    return lambda rows, generator, *labels: chain_loss(kernel, rows, generator, terms, last_transition)


def _noise(n: int, x: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(n, *x.shape, generator=generator, device=x.device, dtype=x.dtype)


def _log_q(z: Tensor, log_var: Tensor) -> Tensor:
    """log q(x_t | x_s) = -1/2 sum_d [ z^2 + log(2 pi var) ] from the noise z (B, *D) in it and log var (B,); (B,)."""
    return -0.5 * (z.square() + match(log_var + math.log(2 * math.pi), z)).flatten(1).sum(1)


def _cross_entropy(q: Gaussian, p: Gaussian) -> Tensor:
    """-E_q log p = -log p(mean of q) + 1/2 sum_d var_q / var_p, in nats; (B,)."""
    ratio = (q.log_var - p.log_var).exp().expand(q.mean.shape)
    return 0.5 * ratio.flatten(1).sum(1) - p.log_prob(q.mean)
