import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import CHAINS, EVERY, by_property, f64, normal, ring_distribution, some_times
from torch import Tensor, nn

from driftfield.diffusion import HEADS, Denoiser, LearnedVarianceDenoiser, bridge, denoising_loss, reverse_kernel
from driftfield.diffusion.basics.denoising import METRICS, WEIGHTS
from driftfield.diffusion.basics.gaussian import Gaussian
from driftfield.diffusion.further.learned_variance import hybrid_loss
from driftfield.errors import InputError


class TwoHalves(nn.Module):
    """A linear first half and a constant second half; counts how often it was evaluated."""

    def __init__(self, second: float = 0.0, columns: int = 2) -> None:
        super().__init__()
        self.slope = nn.Parameter(f64(0.4))
        self.second = nn.Parameter(torch.full((columns,), second, dtype=torch.float64))
        self.calls = 0

    def forward(self, x: Tensor, label: Tensor, cond: Tensor | None = None) -> Tensor:
        self.calls += 1
        return torch.cat([self.slope * x, self.second.expand_as(x)], 1)


def halves(name: str, share: float = 0.5, head: str = "eps") -> LearnedVarianceDenoiser:
    return LearnedVarianceDenoiser(TwoHalves(2 * share - 1), EVERY[name], head)


@pytest.mark.parametrize(("share", "bound"), [(0.0, "small"), (1.0, "large")])
@pytest.mark.parametrize("name", EVERY)
def test_a_share_of_zero_or_one_is_the_small_or_the_large_variance(name: str, share: float, bound: str) -> None:
    denoiser, x_t = halves(name, share), normal(4, 2)
    for t, s in ((1.0, 0.95), (0.5, 0.2), (0.051, 0.05), (0.05, 0.0)):
        learned = reverse_kernel(denoiser, "learned").step(x_t, f64(t), f64(s))
        fixed = reverse_kernel(denoiser, bound).step(x_t, f64(t), f64(s))
        assert torch.equal(learned.log_var, fixed.log_var.expand_as(x_t))
        assert torch.equal(learned.mean, fixed.mean)


@given(name=st.sampled_from(sorted(EVERY)), share=st.floats(-3, 4), place=st.floats(0.01, 1), cut=st.floats(0, 0.99))
@by_property
def test_a_learned_variance_is_a_number_at_all_times(name: str, share: float, place: float, cut: float) -> None:
    t, s = f64(place), f64(place * cut)
    log_var = reverse_kernel(halves(name, share), "learned").step(normal(3, 2), t, s).log_var
    assert not torch.isnan(log_var).any()
    if s > 1e-6:
        assert torch.isfinite(log_var).all()


def test_halfway_the_variance_is_the_geometric_mean_of_its_bounds() -> None:
    t, s = f64(0.5), f64(0.2)
    learned = reverse_kernel(halves("linear", 0.5), "learned").step(normal(3, 2), t, s).log_var.exp()
    small, large = (
        reverse_kernel(halves("linear"), name).step(normal(3, 2), t, s).log_var.exp() for name in ("small", "large")
    )
    torch.testing.assert_close(learned, (small * large).sqrt().expand(3, 2))


def test_rows_may_end_at_zero_while_others_do_not_and_the_gradient_is_a_number() -> None:
    denoiser = halves("linear", 0.3)
    log_var = reverse_kernel(denoiser, "learned").step(normal(2, 2), f64([0.05, 0.5]), f64([0.0, 0.45])).log_var
    assert (log_var[0] == -torch.inf).all()
    (gradient,) = torch.autograd.grad(log_var.exp().sum(), denoiser.network.second)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("head", HEADS)
def test_the_second_half_leaves_estimate_and_loss_as_they_were(head: str) -> None:
    class First(TwoHalves):
        def forward(self, x: Tensor, label: Tensor, cond: Tensor | None = None) -> Tensor:
            return self.slope * x

    schedule = EVERY["linear"]
    t, x, eps = some_times(schedule), normal(9, 2), normal(9, 2, seed=1)
    fraction = halves("linear", head=head)(x, t).variance_fraction
    for scaled in (False, True):
        both, one = halves("linear", head=head), Denoiser(First(), schedule, head, scale_output=scaled)
        both.scale_output = scaled
        assert torch.equal(both(x, t).x0, one(x, t).x0)
        assert torch.equal(both(x, t).eps, one(x, t).eps)
        assert torch.equal(both(x, t).variance_fraction, fraction)
        assert torch.equal(denoising_loss(both, x, t, eps), denoising_loss(one, x, t, eps))
        assert one(x, t).variance_fraction is None


def test_one_estimate_asks_the_network_once() -> None:
    denoiser = halves("linear")
    reverse_kernel(denoiser, "learned").step(normal(2, 2), f64(0.5), f64(0.4))
    assert denoiser.network.calls == 1


def test_a_denoiser_without_a_learned_variance_has_none_to_give() -> None:
    kernel = reverse_kernel(ring_distribution(EVERY["linear"]), "learned")
    with pytest.raises(InputError, match='"learned" needs a denoiser that estimates one'):
        kernel.step(normal(2, 2), f64(0.5), f64(0.4))


def test_a_network_with_one_half_only_is_refused() -> None:
    denoiser = LearnedVarianceDenoiser(nn.Linear(2, 2), EVERY["linear"])
    denoiser.network.forward = lambda x, label, cond: x  # type: ignore[method-assign]
    with pytest.raises(InputError, match="twice the columns of its data, 4, but it returns 2"):
        denoiser(normal(2, 2), f64(0.5))


@given(first=st.floats(-40, 10), second=st.floats(-40, 10), distance=st.floats(-10, 10))
@by_property
def test_the_divergence_of_any_two_log_variances_is_finite_and_not_negative(
    first: float, second: float, distance: float
) -> None:
    kl = Gaussian(f64([[0.0]]), f64([[first]])).kl(Gaussian(f64([[distance]]), f64([[second]])))
    assert torch.isfinite(kl).all()
    assert float(kl) >= -1e-15  # expm1(d) - d is a difference of numbers below 1 where it nearly vanishes


@pytest.mark.parametrize("name", CHAINS)
def test_the_hybrid_loss_is_the_denoising_loss_and_a_part_of_the_bound(name: str) -> None:
    schedule, denoiser = EVERY[name], halves(name, 0.3)
    t, x, eps = f64([1 / 20, 2 / 20, 0.5, 1.0]), normal(4, 2), normal(4, 2, seed=1)
    s = t - 1 / 20
    x_t = schedule.perturb(x, t, eps)
    kl = bridge(schedule, x_t, x, t, s).kl(reverse_kernel(denoiser, "learned").step(x_t, t, s))
    kl = torch.where(t > 0.06, kl, 0.0)  # the decoder's term is left out
    for weight in (WEIGHTS["simple"], WEIGHTS["snr"]):
        loss = hybrid_loss(denoiser, x, t, eps, weight, METRICS["huber"], bound_factor=0.01)
        expected = denoising_loss(denoiser, x, t, eps, weight, METRICS["huber"]) + 0.01 * 20 * kl
        torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)


def test_the_bound_in_the_hybrid_loss_moves_the_variance_and_not_the_mean() -> None:
    denoiser = halves("linear", 0.3)
    network = denoiser.network
    t, x, eps = f64([1 / 20, 0.1, 0.5, 1.0]), normal(4, 2), normal(4, 2, seed=1)
    both = torch.autograd.grad(
        hybrid_loss(denoiser, x, t, eps, bound_factor=10.0).sum(), [network.slope, network.second]
    )
    (alone,) = torch.autograd.grad(denoising_loss(denoiser, x, t, eps).sum(), [network.slope])
    torch.testing.assert_close(both[0], alone, rtol=1e-13, atol=0)
    assert torch.isfinite(both[1]).all()
    assert (both[1].abs() > 1e-6).all()


def test_the_hybrid_loss_asks_the_network_once() -> None:
    denoiser = halves("linear")
    hybrid_loss(denoiser, normal(2, 2), f64([0.5, 1.0]), normal(2, 2))
    assert denoiser.network.calls == 1


def test_descent_on_the_hybrid_loss_finds_the_variance_that_the_distribution_has() -> None:
    # For N(0, 1) and its exact mean, the best variance is the large one, at a share of 1.
    class Exact(TwoHalves):
        def forward(self, x: Tensor, label: Tensor, cond: Tensor | None = None) -> Tensor:
            return torch.cat([schedule.sigma(label.double())[:, None] * x, self.second.expand_as(x)], 1)

    schedule = EVERY["linear"]
    network = Exact(columns=1)
    denoiser = LearnedVarianceDenoiser(network, schedule, "eps", label="t")
    optimizer = torch.optim.Adam([network.second], lr=0.05)
    generator = torch.Generator().manual_seed(0)
    for _ in range(150):
        x, eps = torch.randn(2, 4096, 1, dtype=torch.float64, generator=generator)
        t = f64(torch.randint(2, 6, (4096,), generator=generator)) / 20  # where small and large differ most
        optimizer.zero_grad()
        hybrid_loss(denoiser, x, t, eps).mean().backward()
        optimizer.step()
    # Noise of the gradient over 4,096 rows and the last steps of Adam at 0.05 leave a few hundredths.
    assert float((network.second.detach() + 1) / 2) == pytest.approx(1, abs=0.06)


def test_the_hybrid_loss_needs_a_chain_and_a_learned_variance() -> None:
    x, t = normal(2, 2), f64([0.5, 1.0])
    with pytest.raises(InputError, match="hybrid loss needs a discrete chain"):
        hybrid_loss(halves("vp"), x, t, x)
    with pytest.raises(InputError, match="hybrid loss trains a learned variance"):
        hybrid_loss(Denoiser(TwoHalves(), EVERY["linear"]), x, t, x)


@pytest.mark.parametrize(("share", "bound"), [(-2.0, "small"), (3.0, "large")])
def test_a_step_holds_a_learned_variance_between_its_bounds(share: float, bound: str) -> None:
    name = next(name for name, schedule in EVERY.items() if schedule.T is not None)
    denoiser, x_t = halves(name, share), normal(4, 2)
    t, s = torch.tensor(0.8, dtype=torch.float64), torch.tensor(0.3, dtype=torch.float64)
    held = reverse_kernel(denoiser, "learned").step(x_t, t, s).log_var
    assert torch.equal(held, reverse_kernel(denoiser, bound).step(x_t, t, s).log_var.expand_as(held))
