r"""A mixture of Gaussians and categories: the classical model that the network of a table starts from.

    p(c, x) = sum_m w_m  N(x; mu_m, C_m)  prod_k P_mk(c_k)

Everything that a table asks for has a closed form. Observe y_i = a_i x_i + noise of variance n_i for each number: a =
alpha and n = sigma^2 where it is generated, a = 1 and n = 0 where it is given, and nothing where it is absent. With
S_m = A C_m A + N over the observed numbers,

    P(m | y, c)  ~  w_m N(y; A mu_m, S_m) prod_{known k} P_mk(c_k)
    eps_hat      =  sigma sum_m P(m | y, c) S_m^{-1} (y - A mu_m),        x_hat = (x_t - sigma eps_hat) / alpha
    P(c_k | y, c) = sum_m P(m | y, c) P_mk(c_k)

Where all numbers have the same a and n, S_m has the axes of C_m = U diag(l) U^T, and no factor of its own is needed:

    S_m^{-1} = U diag(1 / (a^2 l + n)) U^T

(Hunt, Jorgensen 2003, Mixture model clustering for mixed data with missing information). A network that adds to eps_hat
and to log P(c_k | ..), and whose output is zero at first, starts as this model.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from driftfield.diffusion.further.cells import UNKNOWN, Cells

JITTER = 1e-6  # variance of a given number, for the Cholesky factor


class Posterior(NamedTuple):
    """log P(m | y, c) (B, M), the log evidence (B,), and S^{-1} (y - A mu) (B, M, D), 0 for absent numbers."""

    log_chances: Tensor
    log_evidence: Tensor
    whitened: Tensor


class TableMixture(nn.Module):
    """A mixture of M components over D numbers, standardised, and K categories; float64.

    Args:
        components, dimensions, levels: M, D, and how many levels each category has.
    """

    log_weights: Tensor  # (M,)
    means: Tensor  # (M, D)
    variances: Tensor  # (M, D), along the principal axes
    axes: Tensor  # (M, D, D), columns
    log_levels: Tensor  # (M, all levels)

    def __init__(self, components: int, dimensions: int, levels: Sequence[int]) -> None:
        super().__init__()
        self.levels, total = tuple(levels), sum(levels)
        like = torch.zeros((), dtype=torch.float64)
        self.register_buffer("log_weights", torch.full((components,), -math.log(components)).to(like))
        self.register_buffer("means", torch.zeros(components, dimensions).to(like))
        self.register_buffer("variances", torch.ones(components, dimensions).to(like))
        self.register_buffer("axes", torch.eye(dimensions).repeat(components, 1, 1).to(like))
        uniform = [torch.full((components, count), -math.log(count)) for count in levels]
        self.register_buffer("log_levels", torch.cat(uniform, 1).to(like) if total else like.new_zeros(components, 0))

    @property
    def covariances(self) -> Tensor:
        """C_m = U diag(l) U^T; (M, D, D)."""
        found: Tensor = self.axes * self.variances[:, None] @ self.axes.mT
        return found

    @covariances.setter
    def covariances(self, C: Tensor) -> None:
        variances, self.axes = torch.linalg.eigh(C)
        self.variances = variances.clamp(min=0)

    def posterior(self, y: Tensor, gain: Tensor, variance: Tensor, codes: Tensor) -> Posterior:
        """What observations say of the component.

        Args:
            y: (B, D).
            gain, variance: a and n (B, D), or (B, 1) where they are the same for all numbers, or (1, D) for all rows,
                which are much faster; a = 0 where a number is absent.
            codes: (B, K), -1 for unknown.
        """
        seen = gain != 0
        residual = torch.where(seen[:, None], y[:, None] - gain[:, None] * self.means, 0.0)  # (B, M, D)
        whitened, volume = self._whitened(residual, gain, torch.where(seen, variance + JITTER, 1.0))
        quadratic = (residual * whitened).sum(2)
        count = seen.expand(-1, y.shape[1]).sum(1, keepdim=True)
        log_p = self.log_weights - 0.5 * (quadratic + volume + count * math.log(2 * math.pi))
        for k, log_level in enumerate(torch.split(self.log_levels, list(self.levels), 1)):
            found = log_level.T[codes[:, k].clamp(min=0)]  # (B, M)
            log_p = log_p + torch.where(codes[:, k : k + 1] == UNKNOWN, 0.0, found)
        evidence = torch.logsumexp(log_p, 1)
        return Posterior(log_p - evidence[:, None], evidence, whitened)

    def _whitened(self, residual: Tensor, gain: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """S^{-1} residual (B, M, D), and log det S (B, M) or (1, M)."""
        D = residual.shape[2]
        if D == 0:
            return residual, residual.sum(2)
        if gain.shape[1] == 1:
            variances = gain[..., None] ** 2 * self.variances + noise[..., None]  # (B, M, D)
            along = torch.einsum("bmd,mde->bme", residual, self.axes) / variances
            return torch.einsum("bme,mde->bmd", along, self.axes), variances.log().sum(2)
        eye = torch.eye(D, dtype=gain.dtype, device=gain.device)
        S = gain[:, None, :, None] * gain[:, None, None, :] * self.covariances + noise[:, None, :, None] * eye
        factor, _ = torch.linalg.cholesky_ex(S)
        if len(gain) == 1:
            found = torch.cholesky_solve(residual.permute(1, 2, 0), factor[0]).permute(2, 0, 1)
        else:
            found = torch.cholesky_solve(residual[..., None], factor)[..., 0]
        return found, 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(2)

    def forward(self, x_t: Tensor, alpha: Tensor, sigma: Tensor, cond: Tensor | None = None) -> Tensor:
        """The noise in x_t (B, D), as :meth:`eps_hat`, with the cells packed in ``cond`` (B, 2 D + K).

        Without a condition all numbers are generated, and no category is known.
        """
        n, D = x_t.shape
        unknown = torch.full((n, len(self.levels)), UNKNOWN, dtype=torch.int64, device=x_t.device)
        if cond is None:
            return self._eps_hat(x_t, alpha, sigma**2, sigma, unknown)
        return self.eps_hat(x_t, alpha, sigma, Cells.unpacked(cond, D))

    def eps_hat(self, x_t: Tensor, alpha: Tensor, sigma: Tensor, cells: Cells) -> Tensor:
        """The noise in x_t (B, D) given the cells, alpha and sigma (B, 1) or (1, 1); 0 where nothing is generated."""
        free = cells.free
        whole = free.all(1)
        if bool(whole.all()):
            return self._eps_hat(x_t, alpha, sigma**2, sigma, cells.codes)
        alpha, sigma = (part.double().expand(len(x_t), 1) for part in (alpha, sigma))
        gain, variance = torch.where(free, alpha, cells.given.double()), torch.where(free, sigma**2, 0.0)
        y = torch.where(free, x_t.double(), cells.values.double())
        eps = torch.empty_like(y)
        for rows, g, n in ((whole, alpha, sigma**2), (~whole, gain, variance)):
            if bool(rows.any()):
                eps[rows] = self._eps_hat(y[rows], *_shared(g[rows], n[rows]), sigma[rows], cells.codes[rows])
        return torch.where(free, eps, 0.0)

    def _eps_hat(self, y: Tensor, gain: Tensor, variance: Tensor, sigma: Tensor, codes: Tensor) -> Tensor:
        """sigma sum_m P(m | y, c) S_m^{-1} (y - A mu_m); (B, D)."""
        found = self.posterior(y.double(), gain.double(), variance.double(), codes)
        eps: Tensor = sigma.double() * (found.log_chances.exp()[..., None] * found.whitened).sum(1)
        return eps

    def logits(self, cells: Cells) -> list[Tensor]:
        """log P(c_k | what is known) of each category (B, levels)."""
        gain = cells.given.double()
        found = self.posterior(cells.values.double(), *_shared(gain, torch.zeros_like(gain)), cells.codes)
        each = found.log_chances[..., None] + self.log_levels  # (B, M, all levels)
        return list(torch.split(torch.logsumexp(each, 1), list(self.levels), 1))


def _shared(gain: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
    """Gains and variances (B, D), or (1, D) where all rows have the same."""
    same = bool((gain == gain[:1]).all()) and bool((variance == variance[:1]).all())
    return (gain[:1], variance[:1]) if same else (gain, variance)
