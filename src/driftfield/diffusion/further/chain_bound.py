r"""The variational bound of a chain, term by term, in nats.

For any reverse process p(x_s | x_t) over times 0 = t_0 < t_1 < .. < t_n = 1, on a chain t_i = i / T,

    -log p(x) <= L_n + sum_{i=2..n} L_{i-1} + L_0                              (Ho et al. 2020, eq. 5)

    L_n     = KL( q(x_1 | x) || prior )                                        independent of the network
    L_{i-1} = E KL( q(x_{t_{i-1}} | x_{t_i}, x) || p(x_{t_{i-1}} | x_{t_i}) )  two Gaussians: closed form
    L_0     = -E log p(x | x_{t_1})                                            the decoder

The expectations are over x_{t_i} = alpha x + sigma eps. The decoder is Gaussian: the last step of a learned kernel, or,
for a kernel that adds no noise at s = 0, N(x; x_hat, v I) with v = sigma^2 / alpha^2 at t_1. This v is the variance of
x given x_{t_1} under a flat prior; for no data is the mean squared error of the best estimate larger.

Minus the bound is also the mean of log w over paths x_{t_1} .. x_{t_n} of the forward process, with

    w = p(x_1) prod_i p(x_{t_{i-1}} | x_{t_i}) / q(x_{t_i} | x_{t_{i-1}}),        E w = p(x),

and log (w_1 + .. + w_K) / K over K paths is a tighter lower bound, which rises to log p(x) with K (Burda et al. 2016,
theorem 1). Both are computed in float64; only networks see the dtype of x.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from driftfield.diffusion.basics.bridge import bridge, transition
from driftfield.diffusion.basics.forward import State, chain_times, walk
from driftfield.diffusion.basics.gaussian import Gaussian
from driftfield.diffusion.basics.kernels import Kernel
from driftfield.diffusion.basics.schedules import match
from driftfield.errors import InputError

ROWS = 8_192  # of the importance bound in one evaluation

Noise = Callable[[], Tensor]  # returns fresh standard normal noise of the shape of the rows at each call


@dataclass(frozen=True)
class BoundTerms:
    """The bound on -log p(x) of each row: ``prior`` (B,), ``transitions`` (B, n - 1), ``decoder`` (B,), in nats.

    transitions[:, i - 1] is L_i, of the step that ends at ``times``[i]; times are (n + 1,). ``row_error`` (B,) is the
    standard error of the bound of each row over the draws of x_t; nan for a single draw.
    """

    prior: Tensor
    transitions: Tensor
    decoder: Tensor
    times: Tensor
    row_error: Tensor

    @property
    def total(self) -> Tensor:
        """The bound; (B,)."""
        return self.columns.sum(1)

    @property
    def columns(self) -> Tensor:
        """L_0, L_1, .., L_n, one for each time; (B, n + 1)."""
        return torch.cat([self.decoder[:, None], self.transitions, self.prior[:, None]], 1)

    def means(self) -> Tensor:
        """L_0, L_1, .., L_n, averaged over the rows; (n + 1,)."""
        return self.columns.mean(0)

    def errors(self) -> Tensor:
        """The standard errors of these means, over the draws and the choice of the rows; (n + 1,)."""
        return standard_error(self.columns)

    def mean_total(self) -> tuple[float, float]:
        """The mean of the bound over the rows, and its standard error."""
        return float(self.total.mean()), float(standard_error(self.total))


def standard_error(values: Tensor) -> Tensor:
    """Of the mean over dim 0: std / sqrt(n)."""
    return values.std(0) / math.sqrt(len(values))


def reverse_transition(
    kernel: Kernel, x_t: Tensor, t: Tensor, s: Tensor, cond: Tensor | None = None, log_var: Tensor | float | None = None
) -> Gaussian:
    """p(x_s | x_t), with the variance of the decoder where the kernel adds no noise.

    Args:
        log_var: of the decoder, broadcastable to x_t (B, *D); by default the log of sigma_t^2 / alpha_t^2.
    """
    gaussian = kernel.step(x_t, t, s, cond)
    if (s > 0).all():
        return gaussian
    own = match(kernel.schedule.gamma(t), x_t) if log_var is None else torch.as_tensor(log_var).to(x_t)
    return Gaussian(gaussian.mean, torch.where(torch.isneginf(gaussian.log_var), own, gaussian.log_var))


def bound_terms(
    kernel: Kernel,
    x: Tensor,
    prior: Gaussian,
    generator: torch.Generator | Noise,
    cond: Tensor | None = None,
    decoder_log_var: Tensor | float | None = None,
    times: Tensor | None = None,
    draws: int = 1,
) -> BoundTerms:
    """The terms of the bound for each row of x (B, *D), without gradients.

    Args:
        prior: the Gaussian from which sampling starts, of event shape (*D).
        generator: of the noise, or a function that returns noise of the shape of x at each call.
        decoder_log_var: of the decoder, for a kernel without one; by default log(sigma^2 / alpha^2) at t_1.
        times: (n + 1,) increasing from 0 to 1; by default those of the chain.
        draws: the number of draws of x_t for each row and time, over which to average.

    Raises:
        InputError: no times are given and the schedule is not a chain, or the times do not go from 0 to 1.
    """
    schedule = kernel.schedule
    times = _grid(kernel, times)
    noise = _noise(generator, x)
    columns, variances = [], []
    with torch.no_grad():
        end = times[-1]
        last = Gaussian(schedule.alpha(end) * x.double(), (2 * schedule.log_sigma(end)).expand(x.shape))
        prior_term = last.kl(_double(prior))
        for s, t in pairwise(times):
            found = []
            for _ in range(draws):
                x_t = schedule.perturb(x, t, noise())
                p = _double(reverse_transition(kernel, x_t, t, s, cond, decoder_log_var))
                if s > 0:
                    found.append(bridge(schedule, x_t.double(), x.double(), t, s).kl(p))
                else:
                    found.append(-p.log_prob(x.double()))
            values = torch.stack(found)  # (draws, B)
            columns.append(values.mean(0))
            variances.append(values.var(0) / draws if draws > 1 and len(x) else torch.full_like(found[0], math.nan))
    transitions = torch.stack(columns, 1)[:, 1:]  # (B, n - 1)
    row_error = torch.stack(variances).sum(0).sqrt()  # the draws at different times are independent
    return BoundTerms(prior_term, transitions, columns[0], times, row_error)


def log_weight(
    kernel: Kernel,
    x: Tensor,
    prior: Gaussian,
    noise: Callable[[], Tensor],
    cond: Tensor | None = None,
    decoder_log_var: Tensor | float | None = None,
    times: Tensor | None = None,
) -> Tensor:
    """One draw of log w for each row of x (B, *D), along one path; (B,) float64. Its mean is minus the bound.

    Args:
        noise: returns fresh standard normal noise of the shape of x at each call.
        prior, decoder_log_var, times: as in :func:`bound_terms`, which estimates the same mean with less variance.
    """
    times = _grid(kernel, times)
    path = walk(kernel.schedule, x.double(), noise, times)
    log_w = torch.zeros(len(x), dtype=torch.float64, device=x.device)
    for state, log_p, log_q in path_log_probs(kernel, path, times, x.dtype, cond, decoder_log_var):
        log_w, end = log_w + log_p - log_q, state.x
    return log_w + _double(prior).log_prob(end)


def path_log_probs(
    kernel: Kernel,
    path: Iterable[State],
    times: Tensor,
    dtype: torch.dtype,
    cond: Tensor | None = None,
    decoder_log_var: Tensor | float | None = None,
) -> Iterator[tuple[State, Tensor, Tensor]]:
    """(x_t, log p(x_s | x_t), log q(x_t | x_s)) for each step of a path; (B,) in nats, in the dtype of the path.

    Args:
        path: states at the first of the increasing ``times`` (n + 1,), as many as wanted.
        dtype: of what the networks see.
    """
    alpha_ts, log_var_ts = transition(kernel.schedule, times[1:], times[:-1])  # (n,)
    for i, (before, after) in enumerate(pairwise(path)):
        x_s, x_t = before.x, after.x
        q = Gaussian(match(alpha_ts[i], x_s) * x_s, match(log_var_ts[i], x_s).expand_as(x_s))
        p = reverse_transition(kernel, x_t.to(dtype), after.t, before.t, cond, decoder_log_var)
        p = Gaussian(p.mean.to(x_s), p.log_var.to(x_s))
        yield after, p.log_prob(x_s), q.log_prob(x_t)


@dataclass(frozen=True)
class ImportanceBound:
    """``value``: in expectation a lower bound on log p(x), in nats (B,); ``error``: its standard error (B,)."""

    value: Tensor
    error: Tensor


def importance_bound(
    kernel: Kernel,
    x: Tensor,
    prior: Gaussian,
    generator: torch.Generator | Callable[[int], Noise],
    paths: int = 64,
    cond: Tensor | None = None,
    decoder_log_var: Tensor | float | None = None,
    times: Tensor | None = None,
) -> ImportanceBound:
    """log (w_1 + .. + w_K) / K over K paths for each row of x (B, *D) (Burda et al. 2016, eq. 8).

    The error is std(w) / (mean(w) sqrt(K)). It is too small for few paths, or if w has heavy tails.

    Args:
        generator: of the noise; or a function k -> the noise of path k, which is itself a function that returns noise
            of the shape of x at each call. With it no path depends on how many are computed together.
        paths: K.

    Raises:
        InputError: fewer than two paths.
    """
    if paths < 2:
        raise InputError(f"The importance bound needs at least 2 paths for its error, got {paths}.")
    weights = []
    with torch.no_grad():
        for chunk in torch.split(torch.arange(paths), max(1, ROWS // max(1, len(x)))):
            rows = _tiled(x, len(chunk))
            if isinstance(generator, torch.Generator):
                noise = _noise(generator, rows)
            else:
                noise = _concatenated([generator(int(k)) for k in chunk], x)
            tiled = None if cond is None else _tiled(cond, len(chunk))
            weights.append(log_weight(kernel, rows, prior, noise, tiled, decoder_log_var, times).view(len(chunk), -1))
    log_w = torch.cat(weights)  # (K, B)
    value = torch.logsumexp(log_w, 0) - math.log(paths)
    return ImportanceBound(value, standard_error((log_w - value).exp()))


def _grid(kernel: Kernel, times: Tensor | None) -> Tensor:
    if times is None:
        return chain_times(kernel.schedule)
    if times[0] != 0 or times[-1] != 1 or not (times.diff() > 0).all():
        raise InputError("The times of a bound must increase from 0 to 1, got others: use a grid from 0 to 1.")
    return times.double()


def _noise(generator: torch.Generator | Noise, x: Tensor) -> Noise:
    if not isinstance(generator, torch.Generator):
        return _concatenated([generator], x)
    return lambda: torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)


def _concatenated(sources: list[Noise], x: Tensor) -> Noise:
    return lambda: torch.cat([source().to(x) for source in sources])


def _double(gaussian: Gaussian) -> Gaussian:
    return Gaussian(gaussian.mean.double(), gaussian.log_var.double())


def _tiled(x: Tensor, n: int) -> Tensor:
    return x.repeat(n, *[1] * (x.ndim - 1))  # (n B, *D)
