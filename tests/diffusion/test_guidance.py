import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import EVERY, by_property, f64, inside, normal, schedule_names, seeds, shares
from torch.distributions import MultivariateNormal

from driftfield.diffusion import GRIDS, SAMPLERS, BaseDenoiser, Estimate, MixtureDenoiser, Schedule, sample
from driftfield.diffusion.further.guidance import GuidedDenoiser
from driftfield.errors import InputError

MEANS = f64([[1.5, 0.0], [-1.0, 1.0], [0.0, -1.2]])
COVARIANCE = f64([[0.09, 0.02], [0.02, 0.16]])


class Classes(BaseDenoiser):
    """The exact denoiser of three Gaussian classes, for each of them and for all together; it counts its calls."""

    def __init__(self, schedule: Schedule) -> None:
        super().__init__(schedule)
        self.all = MixtureDenoiser(schedule, torch.ones(3), MEANS, COVARIANCE.expand(3, 2, 2))
        self.each = torch.nn.ModuleList(
            MixtureDenoiser(schedule, torch.ones(1), mean[None], COVARIANCE[None]) for mean in MEANS
        )
        self.calls: list[torch.Tensor | None] = []

    def forward(self, x_t: torch.Tensor, t: torch.Tensor, cond: torch.Tensor | None = None) -> Estimate:
        self.calls.append(cond)
        if cond is None:
            return self.all(x_t, t)
        estimates = [one(x_t, t) for one in self.each]
        rows = torch.arange(len(x_t))
        x0, eps = (torch.stack([getattr(e, part) for e in estimates])[cond, rows] for part in ("x0", "eps"))
        return replace(estimates[0], x0=x0, eps=eps)


def setting(name: str, share: float, seed: int) -> tuple[Classes, torch.Tensor, torch.Tensor, torch.Tensor]:
    schedule = EVERY[name]
    cond = torch.randint(0, 3, (5,), generator=torch.Generator().manual_seed(seed))
    return Classes(schedule), schedule.prior_std * normal(5, 2, seed=seed), inside(schedule, share), cond


@given(name=schedule_names, share=shares, seed=seeds)
@by_property
def test_zero_is_the_unconditional_model_and_one_the_conditional_to_the_last_bit(
    name: str, share: float, seed: int
) -> None:
    denoiser, x_t, t, cond = setting(name, share, seed)
    for w, with_cond, expected in ((0.0, cond, None), (1.0, cond, cond), (3.0, None, None), (1.0, None, None)):
        denoiser.calls.clear()
        guided = GuidedDenoiser(denoiser, w)(x_t, t, with_cond)
        assert len(denoiser.calls) == 1
        assert denoiser.calls[0] is expected
        plain = denoiser(x_t, t, expected)
        assert torch.equal(guided.x0, plain.x0)
        assert torch.equal(guided.eps, plain.eps)


@given(name=schedule_names, share=shares, seed=seeds, w=st.floats(-2, 8).filter(lambda w: w not in (0, 1)))
@by_property
def test_any_guidance_is_a_line_through_both_and_still_adds_up_to_x_t(
    name: str, share: float, seed: int, w: float
) -> None:
    denoiser, x_t, t, cond = setting(name, share, seed)
    guided = GuidedDenoiser(denoiser, w)(x_t, t, cond)
    assert [c is None for c in denoiser.calls] == [False, True]
    free, conditional = denoiser(x_t, t), denoiser(x_t, t, cond)
    size = 1 + abs(w)
    torch.testing.assert_close(guided.eps, (1 - w) * free.eps + w * conditional.eps, rtol=1e-9, atol=1e-9 * size)
    alpha, sigma = denoiser.schedule.alpha(t), denoiser.schedule.sigma(t)
    # Sums of terms up to |w| times the size of x_t, the prior's; eps itself is good to 1e-16 / sigma.
    scale = size * float(x_t.abs().max() + 3)
    torch.testing.assert_close(alpha * guided.x0 + sigma * guided.eps, x_t, rtol=1e-9, atol=1e-9 * scale)
    torch.testing.assert_close(guided.score, -guided.eps / sigma)


def test_the_guided_score_is_that_of_the_tilted_density() -> None:
    """grad log p(x_t)^(1 - w) p(x_t | c)^w, by automatic differentiation of torch's densities."""
    schedule, t, w = EVERY["vp"], f64(0.3), 2.5
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    distributions = MultivariateNormal(alpha * MEANS, alpha**2 * COVARIANCE + sigma**2 * torch.eye(2).double())
    x_t, cond = normal(6, 2).requires_grad_(), torch.tensor([0, 1, 2, 0, 1, 2])
    log_each = distributions.log_prob(x_t[:, None])  # (6, 3)
    log_all = torch.logsumexp(log_each, 1) - math.log(3)
    tilted = (1 - w) * log_all + w * log_each[torch.arange(6), cond]
    (expected,) = torch.autograd.grad(tilted.sum(), x_t)
    torch.testing.assert_close(GuidedDenoiser(Classes(schedule), w)(x_t.detach(), t, cond).score, expected)


def test_what_else_an_estimate_says_is_the_conditional_ones() -> None:
    class Sharing(Classes):
        learned_variance = True

        def forward(self, x_t: torch.Tensor, t: torch.Tensor, cond: torch.Tensor | None = None) -> Estimate:
            share = torch.full_like(x_t, 0.25 if cond is None else 0.75)
            return replace(super().forward(x_t, t, cond), variance_fraction=share)

    guided = GuidedDenoiser(Sharing(EVERY["vp"]), 2.0)
    assert guided.learned_variance
    estimate = guided(normal(3, 2), f64(0.5), torch.tensor([0, 1, 2]))
    assert estimate.variance_fraction is not None
    assert (estimate.variance_fraction == 0.75).all()


@pytest.mark.parametrize("sampler", ["ancestral", "heun", "dpmpp-2m", "euler-maruyama"])
def test_a_guided_denoiser_is_sampled_as_any_other_and_finds_its_class(sampler: str) -> None:
    schedule = EVERY["vp"]
    cond = torch.arange(300) % 3
    ends = {}
    for w in (0.0, 1.0, 3.0):
        source = torch.Generator().manual_seed(1)
        *_, last = sample(
            GuidedDenoiser(Classes(schedule), w),
            normal(300, 2),
            GRIDS["log-snr"](schedule, 60),
            SAMPLERS[sampler],
            lambda source=source: torch.randn(300, 2, dtype=torch.float64, generator=source),
            cond,
        )
        ends[w] = float((torch.cdist(last.x, MEANS).argmin(1) == cond).double().mean())
    assert ends[0.0] < 0.5  # a third by chance
    assert ends[1.0] > 0.95
    assert ends[3.0] >= ends[1.0] - 0.01


@pytest.mark.parametrize("w", [math.nan, math.inf])
def test_guidance_that_is_no_number_is_refused(w: float) -> None:
    with pytest.raises(InputError, match="finite number"):
        GuidedDenoiser(Classes(EVERY["vp"]), w)
