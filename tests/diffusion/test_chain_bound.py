import math

import pytest
import torch
from oracles import CHAINS, EVERY, ExactGaussian, Says, f64, normal, ring_distribution
from scipy.integrate import quad
from torch import Tensor, nn

from driftfield.diffusion import SCHEDULES, DenoiserKernel, MixtureDenoiser, Schedule, bridge, standard_prior
from driftfield.diffusion.basics.forward import chain_times
from driftfield.diffusion.basics.gaussian import Gaussian
from driftfield.diffusion.further.chain_bound import bound_terms, importance_bound, log_weight, standard_error
from driftfield.diffusion.further.chain_loss import TERMS, chain_loss
from driftfield.diffusion.further.learned_kernel import LearnedKernel
from driftfield.errors import InputError

MEAN, VARIANCE = 0.6, 0.5


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Posterior:
    """The true reverse step q(x_s | x_t) of Gaussian data N(mean, variance), the decoder q(x | x_t) with it."""

    def __init__(self, schedule: Schedule, mean: float = MEAN, variance: float = VARIANCE) -> None:
        self.schedule, self.mean, self.variance = schedule, mean, variance

    def marginal(self, t: Tensor) -> tuple[Tensor, Tensor]:
        alpha = self.schedule.alpha(t)
        return alpha * self.mean, alpha**2 * self.variance + self.schedule.sigma(t) ** 2

    def step(self, x_t: Tensor, t: Tensor, s: Tensor, cond: Tensor | None = None) -> Gaussian:
        (m_t, v_t), (m_s, v_s) = self.marginal(t), self.marginal(s)
        gain = v_s * self.schedule.alpha(t) / self.schedule.alpha(s) / v_t  # the regression of x_s on x_t
        column = (...,) if t.ndim == 0 else (slice(None), None)
        mean = m_s[column] + gain[column] * (x_t - m_t[column])
        return Gaussian(mean, (v_s - gain**2 * v_t).log()[column].expand_as(mean))

    @property
    def prior(self) -> Gaussian:
        m, v = self.marginal(f64(1.0))
        return Gaussian(m.expand(1), v.log().expand(1))

    def log_prob(self, x: Tensor) -> Tensor:
        return Gaussian(f64([[self.mean]]), f64([[self.variance]]).log()).log_prob(x)


def data(n: int, seed: int = 3) -> Tensor:
    return MEAN + VARIANCE**0.5 * normal(n, 1, seed=seed)


@pytest.mark.parametrize("name", CHAINS)
def test_the_true_reverse_chain_has_weights_that_are_the_density_itself(name: str) -> None:
    kernel, x = Posterior(EVERY[name]), data(200)
    log_w = log_weight(kernel, x, kernel.prior, lambda: normal(200, 1, seed=9))
    # p(x_0 .. x_T) = q(x_0 .. x_T), so every path has the same weight; 20 steps in float64, 1e-16 over var >= 1e-4.
    torch.testing.assert_close(log_w, kernel.log_prob(x), rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", CHAINS)
def test_the_bound_of_the_true_reverse_chain_is_the_density_in_the_mean_over_noise(name: str) -> None:
    kernel, x = Posterior(EVERY[name]), f64([[1.1]]).expand(20_000, 1)
    terms = bound_terms(kernel, x, kernel.prior, seeded())
    mean, error = terms.mean_total()
    assert mean == pytest.approx(-float(kernel.log_prob(x[:1])), abs=5 * error)  # five standard errors
    assert error < 0.02


def test_the_bound_of_the_true_reverse_chain_is_the_entropy_in_the_mean_over_data() -> None:
    kernel, x = Posterior(EVERY["linear"]), data(50_000)
    mean, error = bound_terms(kernel, x, kernel.prior, seeded()).mean_total()
    assert mean == pytest.approx(0.5 * math.log(2 * math.pi * math.e * VARIANCE), abs=5 * error)


@pytest.mark.parametrize("variance", ["small", "large", "marginal"])
@pytest.mark.parametrize("name", CHAINS)
def test_no_kernel_has_a_bound_below_the_entropy(name: str, variance: str) -> None:
    schedule, x = EVERY[name], data(4_000)
    kernel = DenoiserKernel(ExactGaussian(schedule, MEAN, VARIANCE), variance)
    mean, error = bound_terms(kernel, x, standard_prior(schedule, x[0]), seeded()).mean_total()
    assert mean > 0.5 * math.log(2 * math.pi * math.e * VARIANCE) - 5 * error


@pytest.mark.parametrize("name", CHAINS)
def test_each_term_is_the_integral_of_its_definition(name: str) -> None:
    # One row x = 1.1 and the kernel of a denoiser: each term is a one-dimensional integral over eps, done by scipy with
    # the densities written out, apart from Gaussian.kl and bridge.
    schedule, x = EVERY[name], 1.1
    distribution = ExactGaussian(schedule, MEAN, VARIANCE)
    terms = bound_terms(
        DenoiserKernel(distribution, "large"),
        f64([[x]]).expand(20_000, 1),
        standard_prior(schedule, f64([0.0])),
        seeded(),
    )
    means, errors = terms.means(), terms.errors()
    a_bar = (schedule.alpha(terms.times) ** 2).tolist()
    for i in (1, 2, 7, 20):
        beta = 1 - a_bar[i] / a_bar[i - 1]
        alpha, var = math.sqrt(a_bar[i]), 1 - a_bar[i]
        small = (1 - a_bar[i - 1]) / var * beta

        def term(
            eps: float, i: int = i, alpha: float = alpha, var: float = var, b: float = beta, v: float = small
        ) -> float:
            x_t = alpha * x + math.sqrt(var) * eps
            x_hat = MEAN + alpha * VARIANCE / (alpha**2 * VARIANCE + var) * (x_t - alpha * MEAN)
            if i == 1:
                decoder = var / alpha**2
                value = 0.5 * ((x - x_hat) ** 2 / decoder + math.log(2 * math.pi * decoder))
            else:
                shift = math.sqrt(a_bar[i - 1]) * b / var * (x - x_hat)  # Ho et al. 2020, eq. 7
                value = 0.5 * (math.log(b / v) - 1 + v / b + shift**2 / b)
            return value * math.exp(-(eps**2) / 2) / math.sqrt(2 * math.pi)

        expected = quad(term, -10, 10)[0]
        # Five standard errors; the integral is good to 1e-8, and a KL of about 1e-8 is left where nothing is learned.
        assert float(means[i - 1]) == pytest.approx(expected, abs=5 * float(errors[i - 1]) + 1e-8)


@pytest.mark.parametrize("name", CHAINS)
def test_the_prior_term_is_the_schedules_own_number(name: str) -> None:
    schedule, x = EVERY[name], normal(500, 3)
    terms = bound_terms(
        DenoiserKernel(ring_distribution(schedule)), x[:, :2], standard_prior(schedule, x[0, :2]), seeded()
    )
    expected = 2 * schedule.prior_kl(m2=float((x[:, :2] ** 2).mean())).bound  # two dimensions
    assert float(terms.prior.mean()) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_the_terms_are_columns_in_the_order_of_time_and_add_up() -> None:
    schedule, x = EVERY["linear"], normal(50, 2)
    terms = bound_terms(DenoiserKernel(ring_distribution(schedule)), x, standard_prior(schedule, x[0]), seeded())
    assert terms.transitions.shape == (50, 19)
    assert terms.columns.dtype == torch.float64
    torch.testing.assert_close(terms.columns[:, 0], terms.decoder)
    torch.testing.assert_close(terms.columns[:, -1], terms.prior)
    torch.testing.assert_close(terms.total, terms.decoder + terms.transitions.sum(1) + terms.prior)
    assert terms.mean_total()[0] == pytest.approx(float(terms.means().sum()), rel=1e-12)
    torch.testing.assert_close(terms.errors(), terms.columns.std(0) / 50**0.5)


def test_more_draws_have_the_same_mean_and_a_smaller_error() -> None:
    schedule, x = EVERY["linear"], f64([[1.1]]).expand(3_000, 1)
    kernel, prior = (
        DenoiserKernel(ExactGaussian(schedule, MEAN, VARIANCE)),
        standard_prior(schedule, f64([0.0])),
    )
    one, error_of_one = bound_terms(kernel, x, prior, seeded()).mean_total()
    many, error_of_many = bound_terms(kernel, x, prior, seeded(1), draws=16).mean_total()
    assert many == pytest.approx(one, abs=5 * math.hypot(error_of_one, error_of_many))
    assert error_of_many == pytest.approx(error_of_one / 4, rel=0.1)  # a std over 3,000 rows, good to a few percent


def test_any_grid_gives_a_bound_in_continuous_time_too() -> None:
    schedule = EVERY["vp"]
    kernel, x = Posterior(schedule), f64([[1.1]]).expand(20_000, 1)
    for times in (f64([0.0, 1.0]), f64([0.0, 0.02, 0.3, 1.0])):
        mean, error = bound_terms(kernel, x, kernel.prior, seeded(), times=times).mean_total()
        assert mean == pytest.approx(-float(kernel.log_prob(x[:1])), abs=5 * error + 1e-9)
    with pytest.raises(InputError, match="needs a discrete chain"):
        bound_terms(kernel, x, kernel.prior, seeded())
    for bad in (f64([0.1, 1.0]), f64([0.0, 0.9]), f64([0.0, 0.5, 0.5, 1.0])):
        with pytest.raises(InputError, match="must increase from 0 to 1"):
            bound_terms(kernel, x, kernel.prior, seeded(), times=bad)


def test_a_decoder_of_given_variance_moves_the_decoder_alone() -> None:
    schedule, x = EVERY["linear"], normal(100, 2)
    kernel, prior = DenoiserKernel(ring_distribution(schedule)), standard_prior(schedule, x[0])
    own = float(schedule.gamma(f64(1 / 20)))
    default, same, wide = (
        bound_terms(kernel, x, prior, seeded(), decoder_log_var=given) for given in (None, own, own + 1.0)
    )
    torch.testing.assert_close(same.columns, default.columns)
    torch.testing.assert_close(wide.columns[:, 1:], default.columns[:, 1:])
    squares = 2 * default.decoder - 2 * (own + math.log(2 * math.pi))
    torch.testing.assert_close(wide.decoder, 0.5 * squares / math.e + own + 1.0 + math.log(2 * math.pi))


def test_the_bound_and_the_mean_of_log_weights_agree() -> None:
    schedule, x = EVERY["linear"], f64([[0.9, 0.1]]).expand(20_000, 2)
    kernel, prior = DenoiserKernel(ring_distribution(schedule), "large"), standard_prior(schedule, x[0])
    mean, error = bound_terms(kernel, x, prior, seeded()).mean_total()
    generator = seeded(5)
    log_w = log_weight(kernel, x, prior, lambda: torch.randn(x.shape, generator=generator))
    both = math.hypot(error, float(standard_error(log_w)))
    assert float(-log_w.mean()) == pytest.approx(mean, abs=5 * both)


def test_the_importance_bound_rises_with_its_paths_to_the_density() -> None:
    # A kernel with the exact mean and a variance that is not the posterior's: the weights vary, and their mean is p(x)
    # under the kernel, which for a linear kernel is Gaussian and known in closed form.
    schedule = SCHEDULES["constant"](T=10, beta=0.3)
    kernel, prior = (
        DenoiserKernel(ExactGaussian(schedule, MEAN, VARIANCE), "large"),
        standard_prior(schedule, f64([0.0])),
    )
    mean, variance, times = 0.0, 1.0, chain_times(schedule)
    for i in range(10, 0, -1):
        at_zero, at_one = (kernel.step(f64([[v]]), times[i], times[i - 1]) for v in (0.0, 1.0))
        slope = float(at_one.mean - at_zero.mean)
        added = float(at_zero.log_var.exp()) if i > 1 else float(schedule.gamma(times[1]).exp())
        mean, variance = float(at_zero.mean) + slope * mean, slope**2 * variance + added
    x = f64([[1.1]]).expand(20_000, 1)
    truth = -0.5 * ((1.1 - mean) ** 2 / variance + math.log(2 * math.pi * variance))
    elbo, _ = bound_terms(kernel, x, prior, seeded()).mean_total()
    values = [importance_bound(kernel, x, prior, seeded(k), paths=k).value for k in (2, 8)]
    means = [-elbo, *(float(value.mean()) for value in values)]
    # The spread of one log-weight is about 0.35, so the errors of these means are 0.0025 at most.
    assert means[0] + 0.02 < means[1] < means[2] - 0.01
    assert means[2] < truth + 0.005
    many = importance_bound(kernel, x[:1], prior, seeded(7), paths=100_000)
    assert float(many.value) == pytest.approx(truth, abs=5 * float(many.error))
    assert float(many.error) < 0.02


def test_the_error_of_the_importance_bound_is_the_spread_of_its_repetitions() -> None:
    schedule = SCHEDULES["constant"](T=10, beta=0.3)
    kernel = DenoiserKernel(ExactGaussian(schedule, MEAN, VARIANCE), "large")
    x = f64([[1.1]]).expand(300, 1)
    bound = importance_bound(kernel, x, standard_prior(schedule, f64([0.0])), seeded(), paths=1_000)
    # A std over 300 repetitions is good to 4 %, and the error of one repetition hangs on the tail of its weights.
    assert float(bound.error.square().mean().sqrt()) == pytest.approx(float(bound.value.std()), rel=0.2)


def test_the_importance_bound_needs_two_paths() -> None:
    kernel = Posterior(EVERY["linear"])
    with pytest.raises(InputError, match="at least 2 paths"):
        importance_bound(kernel, data(3), kernel.prior, seeded(), paths=1)


class Affine(nn.Module):
    """A network a x + b t + c that takes conditions into account."""

    def __init__(self, *numbers: float) -> None:
        super().__init__()
        self.numbers = nn.Parameter(f64(numbers))

    def forward(self, x: Tensor, label: Tensor, cond: Tensor | None = None) -> Tensor:
        a, b, c = self.numbers
        return a * x + b * label.reshape(-1, 1) + c + (0.0 if cond is None else 0.1 * cond[:, None])


def learned(T: int = 12) -> LearnedKernel:
    return LearnedKernel(SCHEDULES["linear"](T=T), Affine(0.97, 0.01, 0.02), Affine(0.05, 0.3, -1.5))


KERNELS = {
    "learned": lambda: learned(),
    "small": lambda: DenoiserKernel(ring_distribution(SCHEDULES["linear"](T=12)), "small"),
    "large": lambda: DenoiserKernel(ring_distribution(SCHEDULES["cosine-chain"](T=12)), "large"),
}


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("kind", KERNELS)
def test_all_steps_at_once_are_the_walk_from_the_same_noise(kind: str, last: bool, conditional: bool) -> None:
    # 900 rows make chunks of two steps, with one of twelve left over; the path by sums differs from the walk by
    # rounding, which weights of up to 1 / var = 1e4 enlarge.
    kernel, x = KERNELS[kind](), normal(900, 2)
    cond = f64(range(900)) / 900 if conditional else None
    walked, at_once = (chain_loss(kernel, x, seeded(4), terms, last, cond=cond) for terms in ("stepwise", "all"))
    torch.testing.assert_close(at_once, walked, rtol=1e-9, atol=1e-9)


def test_all_steps_at_once_have_the_gradient_of_the_walk() -> None:
    gradients = []
    for terms in ("stepwise", "all"):
        kernel = learned()
        chain_loss(kernel, normal(50, 2), seeded(4), terms).mean().backward()
        gradients.append(torch.cat([p.grad for p in kernel.parameters() if p.grad is not None]))
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-9, atol=1e-12)


def test_in_float32_the_walk_and_all_steps_agree_to_its_precision() -> None:
    kernel, x = learned().float(), normal(300, 2).float()
    walked, at_once = (chain_loss(kernel, x, seeded(4), terms) for terms in ("stepwise", "all"))
    assert at_once.dtype == torch.float32
    torch.testing.assert_close(at_once, walked, rtol=1e-4, atol=1e-4)  # residuals of 1e-7 over a std of 0.1, 12 steps


@pytest.mark.parametrize("terms", ["stepwise", "all"])
def test_the_loss_is_the_tutorials(terms: str) -> None:
    # Both steps of a chain of two, by torch.distributions and the noise that the loss itself draws first.
    kernel, x = learned(2), normal(5, 2)
    a, b = (1 - kernel.schedule.alpha(f64([0.5, 1.0])) ** 2).tolist()
    beta = [a, 1 - (1 - b) / (1 - a)]
    z = torch.randn(2, 5, 2, generator=seeded(4), dtype=torch.float64)
    path = [x]
    for i in range(2):
        path.append(math.sqrt(1 - beta[i]) * path[-1] + math.sqrt(beta[i]) * z[i])
    expected = -torch.distributions.Normal(0.0, 1.0).log_prob(path[-1])
    for i in (1, 2):
        q = torch.distributions.Normal(math.sqrt(1 - beta[i - 1]) * path[i - 1], math.sqrt(beta[i - 1]))
        label = f64([i / 2])
        std = nn.functional.softplus(kernel.std_network(path[i], label))
        p = torch.distributions.Normal(kernel.mean_network(path[i], label), std)
        expected = expected + q.log_prob(path[i]) - p.log_prob(path[i - 1])
        if i == 1:
            first = expected.sum(1) / 2
    torch.testing.assert_close(chain_loss(kernel, x, seeded(4), terms), expected.sum(1) / 2, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(chain_loss(kernel, x, seeded(4), terms, last=False), first, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("kind", KERNELS)
def test_one_random_step_has_the_mean_of_all_steps(kind: str, last: bool) -> None:
    kernel, x = KERNELS[kind](), f64([[0.9, 0.1]]).expand(20_000, 2)
    every, one = (chain_loss(kernel, x, seeded(4), terms, last).detach() for terms in ("all", "random"))
    # Five standard errors; stratified steps make the true error of "random" smaller than this.
    error = math.hypot(float(standard_error(every)), float(standard_error(one)))
    assert float(one.mean()) == pytest.approx(float(every.mean()), abs=5 * error)


def test_one_random_step_has_the_mean_gradient_of_all_steps() -> None:
    x, gradients = f64([[0.9, 0.1]]).expand(5_000, 2), {}
    for terms in ("all", "random"):
        rows = []
        for seed in range(20):
            kernel = learned()
            chain_loss(kernel, x, seeded(seed), terms).mean().backward()
            rows.append(torch.cat([p.grad for p in kernel.parameters() if p.grad is not None]))
        gradients[terms] = torch.stack(rows)  # (20, parameters)
    difference = gradients["random"].mean(0) - gradients["all"].mean(0)
    error = torch.hypot(standard_error(gradients["random"]), standard_error(gradients["all"]))
    assert (difference.abs() < 5 * error).all()  # with 20 repetitions, a Student's t of 5 has 1e-4


def test_the_loss_with_its_last_step_is_the_bound_over_its_steps() -> None:
    kernel, x = learned(), f64([[0.9, 0.1]]).expand(20_000, 2)
    mean, error = bound_terms(kernel, x, standard_prior(kernel.schedule, x[0]), seeded()).mean_total()
    loss = 12 * chain_loss(kernel, x, seeded(4), "all").detach()
    assert float(loss.mean()) == pytest.approx(mean, abs=5 * math.hypot(error, float(standard_error(loss))))


def test_the_last_transition_of_a_learned_kernel_is_its_decoder() -> None:
    kernel, x = LearnedKernel(SCHEDULES["linear"](T=12), Says(f64(0.2)), Says(f64(0.5))), normal(6, 1)
    terms = bound_terms(kernel, x, standard_prior(kernel.schedule, x[0]), seeded(), decoder_log_var=3.0)
    std = float(nn.functional.softplus(f64(0.5)))
    expected = -torch.distributions.Normal(0.2, std).log_prob(x).sum(1)
    torch.testing.assert_close(terms.decoder, expected)


def test_an_image_has_a_bound_summed_over_all_its_numbers() -> None:
    schedule, x = SCHEDULES["linear"](T=6), normal(4, 3, 5)

    class Wide(nn.Module):
        def forward(self, x: Tensor, label: Tensor, cond: Tensor | None = None) -> Tensor:
            return 0.9 * x

    kernel, flat = LearnedKernel(schedule, Wide(), Wide()), x.flatten(1)
    for terms in TERMS:
        image, row = (chain_loss(kernel, rows, seeded(1), terms) for rows in (x, flat))
        torch.testing.assert_close(image, row)
    image_terms = bound_terms(kernel, x, standard_prior(schedule, x[0]), seeded())
    torch.testing.assert_close(
        image_terms.columns, bound_terms(kernel, flat, standard_prior(schedule, flat[0]), seeded()).columns
    )


def test_a_prior_of_ones_own_enters_the_loss() -> None:
    kernel, x = learned(), normal(5, 2)
    wide = Gaussian(f64([1.0, 0.0]), f64([0.3, 0.5]))
    standard, own = (chain_loss(kernel, x, seeded(), "all", prior=prior) for prior in (None, wide))
    generator = seeded()
    z = torch.randn(12, 5, 2, generator=generator, dtype=torch.float64)
    times = chain_times(kernel.schedule)
    x_t = x
    for i in range(12):
        ratio = kernel.schedule.alpha(times[i + 1]) / kernel.schedule.alpha(times[i])
        x_t = ratio * x_t + (1 - ratio**2).sqrt() * z[i]
    expected = standard_prior(kernel.schedule, x[0]).log_prob(x_t) - wide.log_prob(x_t)
    torch.testing.assert_close(12 * (own - standard), expected)


def test_the_loss_refuses_what_it_cannot_do() -> None:
    x = normal(3, 2)
    with pytest.raises(InputError, match='Unknown terms "al": did you mean "all"'):
        chain_loss(learned(), x, seeded(), "al")
    with pytest.raises(InputError, match="needs a discrete chain"):
        chain_loss(DenoiserKernel(ring_distribution(EVERY["vp"])), x, seeded())
    with pytest.raises(InputError, match="nothing to train without its last"):
        chain_loss(learned(1), x, seeded(), last=False)


def test_a_mixture_has_a_bound_above_its_entropy_that_more_steps_tighten() -> None:
    generator, gaps = seeded(2), []
    for T in (20, 200):
        schedule = SCHEDULES["cosine-chain"](T=T)
        distribution: MixtureDenoiser = ring_distribution(schedule)
        x = distribution.sample(2_000, generator)
        terms = bound_terms(DenoiserKernel(distribution, "large"), x, standard_prior(schedule, x[0]), seeded())
        gap = terms.total + distribution.log_prob(x, f64(0.0))
        assert float(gap.mean()) > -5 * float(standard_error(gap))
        gaps.append(float(gap.mean()))
    assert gaps[1] < gaps[0]


def test_a_bridge_towards_the_data_itself_costs_nothing() -> None:
    schedule, x = EVERY["linear"], normal(30, 2)

    class Knows:
        def __init__(self) -> None:
            self.schedule = schedule

        def step(self, x_t: Tensor, t: Tensor, s: Tensor, cond: Tensor | None = None) -> Gaussian:
            gaussian = bridge(schedule, x_t, x, t, s)
            return Gaussian(gaussian.mean, gaussian.log_var.expand_as(x))

    terms = bound_terms(Knows(), x, standard_prior(schedule, x[0]), seeded())
    torch.testing.assert_close(terms.transitions, torch.zeros_like(terms.transitions), rtol=0, atol=1e-12)
