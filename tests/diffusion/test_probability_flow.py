"""The ODE there and back, and the variable that it is solved in."""

import pytest
import torch
from mixtures import mixture, rows_of, unit_prior
from oracles import EVERY, ExactGaussian, f64, normal

from driftfield.diffusion import SCHEDULES, Denoiser, decode, encode, log_prob
from driftfield.diffusion.further import probability_flow
from driftfield.diffusion.further.probability_flow import ProbabilityFlow
from driftfield.networks import MLP


@pytest.mark.parametrize("name", EVERY)
def test_the_variable_runs_from_the_smallest_noise_to_the_largest(name: str) -> None:
    schedule = EVERY[name]
    flow = ProbabilityFlow(ExactGaussian(schedule))
    ends = [flow.point(w) for w in (flow.begin, flow.end)]
    for point, t in zip(ends, (schedule.t_low, schedule.t_high), strict=True):
        torch.testing.assert_close(point.t, f64(t), rtol=0, atol=1e-9)
        torch.testing.assert_close(point.kappa, schedule.kappa(f64(t)), rtol=1e-9, atol=0)
    w = flow.begin + (flow.end - flow.begin) * torch.linspace(0, 1, 50).double()
    w.requires_grad_()
    point = flow.point(w)
    assert (point.kappa.diff() > 0).all()
    (slope,) = torch.autograd.grad(point.kappa.sum(), w)
    torch.testing.assert_close(point.rate, slope, rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *((name, {"steps": 80}) for name in ("ve", "vp", "sub-vp", "cosine", "rectified-flow", "linear")),
        *((name, {"tolerance": 1e-7}) for name in ("ve", "cosine", "linear")),
    ],
)
def test_a_row_comes_back_from_its_latent(name: str, options: dict[str, float]) -> None:
    distribution = mixture(EVERY[name], 2)
    x = rows_of(distribution, 30)
    latent = encode(distribution, x, **options)
    back = decode(distribution, latent, **options)
    # Fixed steps: fourth order, where steps of 0.1 in w leave 1e-5 on a row between components.
    torch.testing.assert_close(back, x, rtol=0, atol=1e-4 if "steps" in options else 1e-5)
    density = log_prob(distribution, x, unit_prior(distribution), **options)
    torch.testing.assert_close(density.latent, latent, rtol=1e-4, atol=1e-4)  # adaptive: each with steps of its own


def test_a_noisy_row_comes_back_too() -> None:
    distribution, t = mixture(EVERY["vp"], 2), f64(0.4)
    x_t = distribution.schedule.perturb(rows_of(distribution, 30), t, normal(30, 2))
    latent = encode(distribution, x_t, start=t, steps=80)
    torch.testing.assert_close(decode(distribution, latent, start=t, steps=80), x_t, rtol=0, atol=1e-6)


def test_the_latents_of_exact_rows_are_normal() -> None:
    distribution = mixture(EVERY["vp"], 2)
    latent = encode(distribution, rows_of(distribution, 2_000), steps=20)
    # Four standard errors of means, and of second moments, over 2,000 rows.
    assert float(latent.mean(0).abs().max()) < 4 / 2_000**0.5
    assert float((latent.T @ latent / 2_000 - torch.eye(2)).abs().max()) < 4 * (2 / 2_000) ** 0.5


@pytest.mark.parametrize("name", ["vp", "rectified-flow"])
def test_the_path_of_a_gaussian_is_known(name: str) -> None:
    """z of N(0, v) is multiplied by the ratio of its standard deviations (Karras et al. 2022, appendix B.2)."""
    schedule, variance = EVERY[name], 0.09
    distribution, t = ExactGaussian(schedule, variance=variance), f64(0.3)

    def std(t: torch.Tensor) -> torch.Tensor:
        return (schedule.alpha(t) ** 2 * variance + schedule.sigma(t) ** 2).sqrt()

    x_t = normal(10, 1) * std(t)
    high = f64(schedule.t_high)
    size = [torch.hypot(schedule.alpha(at), schedule.sigma(at)) for at in (high, f64(1.0))]
    expected = x_t / std(t) * std(high) / size[0] * size[1]  # beyond t_high z stays
    torch.testing.assert_close(encode(distribution, x_t, start=t, steps=80), expected, rtol=1e-6, atol=0)


def test_solving_leaves_no_graph_and_keeps_the_type_and_the_shape() -> None:
    with torch.random.fork_rng(devices=[]):
        denoiser = Denoiser(MLP(4), SCHEDULES["ve"]())
    for options in ({"steps": 4}, {"tolerance": 1e-2}):
        latent = encode(denoiser, torch.zeros(3, 4), **options)
        assert latent.dtype == torch.float32
        assert latent.shape == (3, 4)
        assert not latent.requires_grad
    distribution = mixture(EVERY["vp"], 2)
    assert encode(distribution, torch.zeros(0, 2).double()).shape == (0, 2)


def test_rows_in_parts_are_the_same_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    distribution = mixture(EVERY["vp"], 2)
    x = rows_of(distribution, 11)
    whole = encode(distribution, x, steps=8)
    monkeypatch.setattr(probability_flow, "MOST_NUMBERS", 6)
    torch.testing.assert_close(encode(distribution, x, steps=8), whole, rtol=0, atol=1e-10)
    torch.testing.assert_close(decode(distribution, whole, steps=40), x, rtol=0, atol=5e-3)  # 8 steps there
