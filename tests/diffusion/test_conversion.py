"""A change of schedule or of head after training changes no sample, no estimate and no density."""

import pytest
import torch
from hypothesis import given
from mixtures import mixture, rows_of
from oracles import EVERY, ExactGaussian, by_property, close, f64, inside, knowing, normal, schedule_names, shares

from driftfield.diffusion import (
    HEADS,
    SAMPLERS,
    SCHEDULES,
    BaseDenoiser,
    Denoiser,
    LearnedVarianceDenoiser,
    ReparametrisedDenoiser,
    RescheduledDenoiser,
    Schedule,
    log_prob,
    matched_prior,
    output,
    sample,
)
from driftfield.errors import InputError
from driftfield.networks import MLP
from driftfield.networks.mlp import torch_init


def network(head: str = "edm", learned_variance: bool = False, schedule: Schedule = EVERY["ve"]) -> Denoiser:
    """A denoiser with random weights in float64."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = MLP(2, width=16, depth=2, outputs=4 if learned_variance else None).double()
        torch_init(made.hidden, made.out)
        torch.nn.init.normal_(made.out.weight, std=0.3)
    return (LearnedVarianceDenoiser if learned_variance else Denoiser)(made, schedule, head)


def size(schedule: Schedule, t: torch.Tensor) -> torch.Tensor:
    return torch.hypot(schedule.alpha(t), schedule.sigma(t))


def common(one: Schedule, other: Schedule, share: float) -> torch.Tensor:
    """A gamma that both schedules reach, at a share of the way."""
    low = max(float(s.gamma(f64(s.t_low))) for s in (one, other))
    high = min(float(s.gamma(f64(s.t_high))) for s in (one, other))
    return f64(low + share * (high - low))


@given(first=schedule_names, second=schedule_names, share=shares)
@by_property
def test_the_estimate_is_that_of_the_distribution_under_the_new_schedule(first: str, second: str, share: float) -> None:
    """An exact denoiser of any schedule, converted, is the exact denoiser of the other schedule."""
    converted = RescheduledDenoiser(ExactGaussian(EVERY[first], mean=0.4, variance=0.5), EVERY[second])
    truth = ExactGaussian(EVERY[second], mean=0.4, variance=0.5)
    t = EVERY[second].time(common(EVERY[first], EVERY[second], 0.01 + 0.98 * share))
    x_t = size(EVERY[second], t) * normal(5, 2)
    found, expected = converted(x_t, t), truth(x_t, t)
    # Both times come from a gamma by bisection or a formula: 1e-9 where time is steep in gamma.
    torch.testing.assert_close(found.x0, expected.x0, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(found.eps, expected.eps, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(found.score, expected.score, rtol=1e-6, atol=1e-6)


def along(denoiser: BaseDenoiser, gammas: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    """DDIM along these decreasing gammas from x_t = size z, to the data."""
    schedule = denoiser.schedule
    times = torch.cat([schedule.time(gammas), torch.zeros(1).double()])
    *_, last = sample(denoiser, size(schedule, times[0]) * z, times, SAMPLERS["ddim"], lambda: torch.zeros(1))
    return last.x


@pytest.mark.parametrize("first", EVERY)
def test_samples_along_the_same_noise_levels_are_the_same(first: str) -> None:
    denoiser, z = network(schedule=EVERY[first]), normal(20, 2)
    for second, schedule in EVERY.items():
        low, high = common(EVERY[first], schedule, 0.02), common(EVERY[first], schedule, 0.98)
        gammas = high + (low - high) * torch.linspace(0, 1, 12).double()
        found = along(RescheduledDenoiser(denoiser, schedule), gammas, z)
        close(found, along(denoiser, gammas, z), second, rtol=1e-5, atol=1e-6)


def ends(schedule: Schedule) -> tuple[float, float]:
    low, high = schedule.gamma(f64([schedule.t_low, schedule.t_high])).tolist()
    return low, high


def is_wider(schedule: Schedule, than: Schedule) -> bool:
    """Whether it covers all noise levels of the other: if not, it would smooth the density by another noise."""
    (low, high), (other_low, other_high) = ends(schedule), ends(than)
    return low <= other_low and other_high <= high


@pytest.mark.parametrize("first", EVERY)
def test_densities_are_the_same(first: str) -> None:
    denoiser, x = network(schedule=EVERY[first]), normal(30, 2)

    def density(each: BaseDenoiser) -> torch.Tensor:
        return log_prob(each, x, matched_prior(each.schedule, f64([0.0, 0.0]), f64([1.0, 1.0])), 4).value

    own, wider = density(denoiser), {name: one for name, one in EVERY.items() if is_wider(one, EVERY[first])}
    assert first in wider
    for second, schedule in wider.items():
        # The same ODE between the same ends. The prior of a schedule that ends in pure noise stands for x_1 at the old
        # end, with alpha^2 (v - 1) missing; the variance here is 1.
        close(density(RescheduledDenoiser(denoiser, schedule)), own, second, rtol=0, atol=1e-5)


def test_a_wider_schedule_is_narrowed_to_the_noise_levels_that_the_denoiser_knows() -> None:
    own, wide = EVERY["vp"], SCHEDULES["ve"](sigma_min=1e-5, sigma_max=1e4)
    converted = RescheduledDenoiser(ExactGaussian(own), wide)
    for end in ("t_low", "t_high"):
        found = converted.schedule.gamma(f64(getattr(converted.schedule, end)))
        torch.testing.assert_close(found, own.gamma(f64(getattr(own, end))), rtol=1e-9, atol=1e-9)
    assert (wide.t_low, wide.t_high) == (1e-6, 1.0)  # the schedule that was given stays as it was
    t = f64([0.0, 0.05, 0.99, 1.0])
    estimate = converted(normal(4, 1), t)
    assert estimate.x0.isfinite().all()


def test_conversions_can_be_chained_and_undone() -> None:
    denoiser = network(schedule=EVERY["vp"])
    there = RescheduledDenoiser(denoiser, EVERY["rectified-flow"])
    back = RescheduledDenoiser(there, EVERY["vp"])
    t, x_t = inside(EVERY["vp"], 0.4), normal(6, 2)
    torch.testing.assert_close(back(x_t, t).eps, denoiser(x_t, t).eps, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("head", HEADS)
def test_through_another_head_the_estimate_is_the_same(name: str, head: str) -> None:
    distribution = mixture(EVERY[name], 2)
    for share in (0.1, 0.7):
        t = inside(distribution.schedule, share)
        x_t = distribution.schedule.perturb(rows_of(distribution, 5), t, normal(5, 2))
        found, expected = ReparametrisedDenoiser(distribution, head)(x_t, t), distribution(x_t, t)
        # x_hat from eps_hat is a difference divided by alpha, which is 1e-3 and more, and rounding is 1e-13 then.
        torch.testing.assert_close(found.x0, expected.x0, rtol=1e-8, atol=1e-8)
        torch.testing.assert_close(found.eps, expected.eps, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("first", HEADS)
@pytest.mark.parametrize("second", HEADS)
def test_the_output_is_what_a_network_with_that_head_returns(first: str, second: str) -> None:
    distribution, t = mixture(EVERY["vp"], 2), inside(EVERY["vp"], 0.3)
    x_t = distribution.schedule.perturb(rows_of(distribution, 5), t, normal(5, 2))
    said = knowing(distribution, second).output(x_t, t)
    torch.testing.assert_close(output(knowing(distribution, first)(x_t, t), HEADS[second]), said, rtol=1e-9, atol=1e-9)
    through = ReparametrisedDenoiser(knowing(distribution, first), second)
    torch.testing.assert_close(through.output(x_t, t), said, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("head", HEADS)
def test_densities_and_samples_through_another_head_are_the_same(head: str) -> None:
    denoiser = network("v", schedule=EVERY["vp"])
    through = ReparametrisedDenoiser(denoiser, head)
    gammas = torch.linspace(8, -8, 10).double()
    z = normal(20, 2)
    torch.testing.assert_close(along(through, gammas, z), along(denoiser, gammas, z), rtol=1e-7, atol=1e-8)
    prior = matched_prior(denoiser.schedule, f64([0.0, 0.0]), f64([1.0, 1.0]))
    one, other = (log_prob(each, z, prior, 8).value for each in (denoiser, through))
    torch.testing.assert_close(other, one, rtol=0, atol=1e-7)


def test_a_learned_variance_survives_both_conversions() -> None:
    denoiser = network(learned_variance=True, schedule=EVERY["vp"])
    t, x_t = inside(EVERY["vp"], 0.4), normal(6, 2)
    share = denoiser(x_t, t).variance_fraction
    through = ReparametrisedDenoiser(denoiser, "eps")
    assert through.learned_variance
    torch.testing.assert_close(through(x_t, t).variance_fraction, share)
    flow = EVERY["rectified-flow"]
    s = flow.time(EVERY["vp"].gamma(t))
    moved = RescheduledDenoiser(denoiser, flow)(x_t * size(flow, s) / size(EVERY["vp"], t), s)
    torch.testing.assert_close(moved.variance_fraction, share, rtol=1e-8, atol=1e-8)


def test_an_unknown_head_is_refused() -> None:
    with pytest.raises(InputError, match="head"):
        ReparametrisedDenoiser(ExactGaussian(EVERY["vp"]), "velocity")
