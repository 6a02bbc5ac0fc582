"""Models that are broken on purpose, and a model that is exact."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from driftfield.codecs.scaling import Scaler
from driftfield.diffusion import SCHEDULES, BaseDenoiser, Estimate, empirical_denoiser, exact_denoiser
from driftfield.model.model import Model
from driftfield.verification import density

# Sizes of the checks of the density that a verdict on these models needs; the exact one has its numbers with them too.
SMALL = {"SCORE_ROWS": 64, "PROPOSALS": 1_000, "MOST_POINTS": {1: 501, 2: 64**2}}


@pytest.fixture(autouse=True)
def small_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SMALL.items():
        monkeypatch.setattr(density, name, value)


class Placed(BaseDenoiser):
    """A denoiser without weights, with a parameter that says where it is, as a model expects of its denoiser."""

    def __init__(self, inner: BaseDenoiser, sign: float = 1.0) -> None:
        super().__init__(inner.schedule)
        self.inner = inner
        self.sign = sign
        self.place = nn.Parameter(torch.zeros(1), requires_grad=False)

    def forward(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Estimate:
        estimate = self.inner(x_t, t, cond)
        eps = self.sign * estimate.eps
        alpha, sigma = (f(estimate.t).to(x_t).reshape(-1, 1) for f in (self.schedule.alpha, self.schedule.sigma))
        return Estimate((x_t - sigma * eps) / alpha, eps, estimate.t, self.schedule)


def with_perturbed_weights(model: Model, share: float = 0.3, seed: int = 0) -> Model:
    """Every weight with normal noise of 30 % of its tensor's root mean square."""
    denoiser, generator = deepcopy(model.denoiser), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weights in denoiser.parameters():
            noise = torch.randn(weights.shape, generator=generator)
            weights += share * weights.square().mean().sqrt() * noise
    return replace(model, denoiser=denoiser)


def with_wrong_scale(model: Model, factor: float = 2.0) -> Model:
    """The scaler's scale off by a factor."""
    scaler = model.codec.scaler
    return replace(model, codec=replace(model.codec, scaler=replace(scaler, scale=factor * scaler.scale)))


class WrongJacobian(Scaler):
    """A scaler whose log-determinant is off by ln 2."""

    @property
    def log_det(self) -> float:
        return super().log_det + float(np.log(2))


def with_wrong_jacobian(model: Model) -> Model:
    scaler = model.codec.scaler
    wrong = WrongJacobian(scaler.mean, scaler.scale, scaler.rotation, scaler.inverse)
    return replace(model, codec=replace(model.codec, scaler=wrong))


def with_wrong_sign(model: Model) -> Model:
    """The estimated noise negated."""
    return replace(model, denoiser=Placed(model.denoiser, -1.0))


def with_swapped_schedule(model: Model, kind: str = "cosine-chain") -> Model:
    """The network under another chain of as many steps than the one it was trained with."""
    denoiser = deepcopy(model.denoiser)
    denoiser.schedule = SCHEDULES[kind](T=denoiser.schedule.T)
    return replace(model, denoiser=denoiser)


def with_memorised_rows(model: Model, rows: int = 40) -> Model:
    """A network that has learned its few training rows by heart: the exact denoiser of their empirical distribution."""
    train = model.train[:rows]
    z = torch.as_tensor(model.codec.encode(train)).double()
    return replace(model, denoiser=Placed(empirical_denoiser(model.denoiser.schedule, z)), train=train)


def with_exact_score(model: Model) -> Model:
    """The model of a distribution that knows it: the denoiser is exact, everything else is the model's."""
    assert model.distribution is not None
    matrix = model.codec.scaler.rotation / model.codec.scaler.scale[:, None]
    nodes = model.distribution.nodes(0.0).transformed(model.codec.scaler.mean, matrix)
    parts = (torch.as_tensor(part) for part in (nodes.points, nodes.log_weights, nodes.covariance))
    return replace(model, denoiser=Placed(exact_denoiser(model.denoiser.schedule, *parts)))
