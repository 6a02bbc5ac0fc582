import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from oracles import (
    CHAINS,
    CONTINUOUS,
    EVERY,
    ExactGaussian,
    Says,
    by_property,
    f64,
    inside,
    knowing,
    normal,
    ring_distribution,
    schedule_names,
    seeds,
    shares,
    some_times,
)
from scipy import stats
from torch.nn.functional import huber_loss

from driftfield.diffusion import (
    HEADS,
    METRICS,
    SCHEDULES,
    TIMES,
    WEIGHTS,
    Chain,
    Denoiser,
    Gaussian,
    Schedule,
    bridge,
    denoising_loss,
    diffusion_bound,
    trained_gammas,
)
from driftfield.diffusion.basics.denoising import Weight
from driftfield.errors import InputError

LEAST_P = 1e-3  # of a goodness-of-fit test; seeds are fixed, so it either always passes or never


def expected_weight(name: str, denoiser: Denoiser, t: torch.Tensor) -> torch.Tensor:
    """The weight of |x_hat - x|^2 by the formulas of the papers."""
    schedule = denoiser.schedule
    a, b = denoiser.head(schedule, t)
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    if name == "simple":
        return (a * sigma - b * alpha) ** 2 / sigma**2
    snr = alpha**2 / sigma**2
    if name == "snr":
        return snr
    if name == "min-snr":
        return torch.minimum(snr, f64(5.0))
    return (alpha**2 + sigma**2) / sigma**2


def weights_of(schedule: Schedule) -> dict[str, Weight]:
    """Those that are defined on the schedule: "half-snr" needs the steps of a chain."""
    return {name: weight for name, weight in WEIGHTS.items() if schedule.T is not None or name != "half-snr"}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("weight", ["simple", "snr", "min-snr", "edm"])
@pytest.mark.parametrize("head", HEADS)
@given(name=schedule_names, share=shares, seed=seeds)
@settings(by_property, max_examples=20)  # of each of 24 combinations
def test_the_loss_is_the_weight_times_the_error_of_the_data(
    weight: str, head: str, name: str, share: float, seed: int
) -> None:
    schedule = EVERY[name]
    t = inside(schedule, share)
    x, eps = normal(4, 3, seed=seed), normal(4, 3, seed=seed + 1)
    distribution = ExactGaussian(schedule, mean=0.3, variance=0.4)
    denoiser = knowing(distribution, head)
    loss = denoising_loss(denoiser, x, t, eps, WEIGHTS[weight])
    x_hat = distribution(schedule.perturb(x, t, eps), t).x0
    expected = expected_weight(weight, denoiser, t) * (x_hat - x).square().sum(1)
    # x_hat - x cancels: it is of the size of sigma / alpha, down to 1e-6.
    ratio = float(schedule.kappa(t))
    torch.testing.assert_close(loss, expected, rtol=1e-9 + 1e-12 / min(ratio, 1), atol=1e-12)


@pytest.mark.parametrize("head", HEADS)
def test_the_simple_loss_is_the_plain_squared_error_of_the_output(head: str) -> None:
    for name, schedule in EVERY.items():
        t = some_times(schedule)
        x, eps, out = normal(9, 2), normal(9, 2, seed=1), normal(9, 2, seed=2)
        a, b = HEADS[head](schedule, t)
        target = a[:, None] * x + b[:, None] * eps
        loss = denoising_loss(Denoiser(Says(out), schedule, head), x, t, eps)
        torch.testing.assert_close(loss, (out - target).square().sum(1), msg=name)


@pytest.mark.parametrize("head", HEADS)
def test_the_snr_weight_is_the_squared_error_of_the_noise_for_any_head(head: str) -> None:
    for name, schedule in EVERY.items():
        t = f64(0.45).expand(5)
        x, eps = normal(5, 2), normal(5, 2, seed=1)
        denoiser = Denoiser(Says(normal(5, 2, seed=2)), schedule, head)
        eps_hat = denoiser(schedule.perturb(x, t, eps), t).eps
        loss = denoising_loss(denoiser, x, t, eps, WEIGHTS["snr"])
        torch.testing.assert_close(loss, (eps_hat - eps).square().sum(1), rtol=1e-8, atol=1e-9, msg=name)


@pytest.mark.parametrize("name", EVERY)
def test_the_edm_weight_of_the_edm_head_is_simple(name: str) -> None:
    schedule = EVERY[name]
    t, x, eps = some_times(schedule), normal(9, 2), normal(9, 2, seed=1)
    denoiser = Denoiser(Says(normal(9, 2, seed=2)), schedule, "edm")
    torch.testing.assert_close(
        denoising_loss(denoiser, x, t, eps, WEIGHTS["edm"]), denoising_loss(denoiser, x, t, eps), rtol=1e-10, atol=0
    )


@pytest.mark.parametrize("name", EVERY)
def test_no_digits_are_lost_where_there_is_hardly_any_noise(name: str) -> None:
    schedule = EVERY[name]
    t = f64(schedule.t_low)
    x, eps, out = (normal(9, 2, seed=i).float() for i in range(3))
    single = denoising_loss(Denoiser(Says(out), schedule, "edm"), x, t, eps, WEIGHTS["edm"])
    a, b = HEADS["edm"](schedule, t)
    double = (out.double() - a * x.double() - b * eps.double()).square().sum(1)
    torch.testing.assert_close(single.double(), double, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("T", [1, 2, 7, 50])
def test_the_vlb_of_a_chain_sums_the_divergences_of_its_steps_in_nats(T: int, head: str) -> None:
    schedule = SCHEDULES["linear"](T=T, beta_start=0.01, beta_end=0.3)
    denoiser = knowing(ExactGaussian(schedule, mean=0.3, variance=0.4), head)
    x, eps = normal(3, 2), normal(3, 2, seed=1)
    total, divergences = torch.zeros(3).double(), torch.zeros(3).double()
    for i in range(1, T + 1):
        t, s = f64(i / T), f64((i - 1) / T)
        total += denoising_loss(denoiser, x, t, eps, WEIGHTS["vlb"]) / T  # t = i / T has probability 1 / T
        if i > 1:  # L_0, the decoder, is no divergence
            x_t = schedule.perturb(x, t, eps)
            p, q = (bridge(schedule, x_t, to, t, s) for to in (x, denoiser(x_t, t).x0))
            divergences += Gaussian(p.mean, p.log_var.expand(3, 2)).kl(Gaussian(q.mean, q.log_var.expand(3, 2)))
    torch.testing.assert_close(total, divergences, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("name", CHAINS)
def test_the_vlb_leaves_the_first_step_to_the_decoder_and_the_last_step_in(name: str) -> None:
    schedule = SCHEDULES[name](T=7)
    denoiser = Denoiser(Says(normal(3, 2, seed=2)), schedule)
    x, eps = normal(3, 2), normal(3, 2, seed=1)
    assert (denoising_loss(denoiser, x, f64(1 / 7), eps, WEIGHTS["vlb"]) == 0).all()
    assert (denoising_loss(denoiser, x, f64(1.0), eps, WEIGHTS["vlb"]) > 0).all()


@pytest.mark.parametrize("name", CHAINS)
def test_half_snr_is_the_vlb_without_its_number_of_steps_and_trains_the_first_step_too(name: str) -> None:
    schedule = SCHEDULES[name](T=7)
    t = f64(np.arange(1, 8) / 7)
    weight, vlb = (WEIGHTS[key](schedule, t, t) for key in ("half-snr", "vlb"))
    torch.testing.assert_close(weight[1:], vlb[1:] / 7, rtol=1e-8, atol=0)
    assert weight[0] == weight[1]
    a_bar = schedule.alpha(t) ** 2
    snr = a_bar / (1 - a_bar)
    torch.testing.assert_close(weight[1:], 0.5 * (snr[:-1] - snr[1:]), rtol=1e-6, atol=1e-12)


def test_half_snr_of_one_step_is_a_half_and_without_steps_is_refused() -> None:
    one = Chain(f64([0.9]))
    assert float(WEIGHTS["half-snr"](one, f64(1.0), f64(1.0))) == 0.5
    for name in CONTINUOUS:
        with pytest.raises(InputError, match="needs the steps of a chain"):
            WEIGHTS["half-snr"](EVERY[name], f64(0.5), f64(1.0))


def test_huber_sees_the_residual_times_the_root_of_half_snr() -> None:
    """The loss of the tutorial: Huber's, of both data and estimate times sqrt(1/2 (SNR_s - SNR_t))."""
    schedule, t = SCHEDULES["linear"](T=10), f64(0.4)
    a_bar = [float(schedule.alpha(f64(u))) ** 2 for u in (0.3, 0.4)]
    root = math.sqrt(0.5 * (a_bar[0] / (1 - a_bar[0]) - a_bar[1] / (1 - a_bar[1])))
    x, eps, out = normal(4, 3), normal(4, 3, seed=1), normal(4, 3, seed=2)
    loss = denoising_loss(Denoiser(Says(out), schedule, "x0"), x, t, eps, WEIGHTS["half-snr"], METRICS["huber"])
    expected = huber_loss(root * x, root * out, reduction="none").sum(1)
    torch.testing.assert_close(loss, expected, rtol=1e-7, atol=1e-9)


def test_the_vlb_in_continuous_time_is_the_limit_of_many_steps() -> None:
    vp = SCHEDULES["vp"]()
    t = f64([0.1, 0.3, 0.6, 0.9])
    continuous = WEIGHTS["vlb"](vp, t, t)
    errors = []
    for T in (100, 1000, 10_000):
        log_alpha_2 = 2 * vp.log_alpha(torch.arange(T + 1).double() / T)
        chain = Chain(-torch.expm1(log_alpha_2.diff()))
        errors.append(((WEIGHTS["vlb"](chain, t, t) - continuous) / continuous).abs().max())
    # A backward difference errs by h / 2 times the ratio of derivatives: order 1, so a tenth each time.
    assert errors[0] < 0.2
    assert float(errors[0] / errors[1]) == pytest.approx(10, rel=0.2)
    assert float(errors[1] / errors[2]) == pytest.approx(10, rel=0.05)


@pytest.mark.parametrize("name", CONTINUOUS)
@pytest.mark.parametrize("variance", [0.2, 1.0, 5.0])
def test_the_vlb_of_the_exact_denoiser_is_the_information_that_noise_takes_away(name: str, variance: float) -> None:
    """I-MMSE for Gaussian data: the integral of 1/2 SNR gamma' mmse dt is 1/2 ln (1 + v SNR) between the ends."""
    schedule = EVERY[name]
    denoiser = knowing(ExactGaussian(schedule, variance=variance), "v")
    low, high = schedule.t_low, schedule.t_high
    # Gauss-Legendre in logit(t), where every integrand is smooth from end to end.
    nodes, weights = np.polynomial.legendre.leggauss(400)
    ends = np.log(low) - np.log1p(-low), 20.0 if high == 1 else np.log(high) - np.log1p(-high)
    logit = f64(0.5 * (ends[1] - ends[0]) * nodes + 0.5 * (ends[0] + ends[1]))
    t = torch.sigmoid(logit)
    measure = f64(weights) * 0.5 * (ends[1] - ends[0]) * t * (1 - t)
    # The error of a linear denoiser is quadratic, so its mean over x and eps is that over these four pairs of signs.
    total = sum(
        measure
        @ denoising_loss(
            denoiser, f64([[i * variance**0.5]]).expand(400, 1), t, f64([[j]]).expand(400, 1), WEIGHTS["vlb"]
        )
        / 4
        for i in (-1.0, 1.0)
        for j in (-1.0, 1.0)
    )
    snr = torch.exp(-schedule.gamma(f64([low, torch.sigmoid(f64(ends[1])).item()])))
    information = 0.5 * torch.log((1 + variance * snr[0]) / (1 + variance * snr[1]))
    torch.testing.assert_close(total, information, rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("variance", [0.2, 5.0])
def test_the_bound_of_the_exact_denoiser_is_that_information_on_every_schedule(name: str, variance: float) -> None:
    schedule, n = EVERY[name], 20_000
    low, high = (1 + variance * torch.exp(-schedule.gamma(f64(t))) for t in (schedule.t_low, schedule.t_high))
    x = variance**0.5 * normal(n, 2)
    bound = diffusion_bound(knowing(ExactGaussian(schedule, variance=variance), "edm"), x, generator())
    # Two dimensions of 1/2 ln; five standard errors, which the stratified gamma makes an overestimate.
    assert float(bound.mean()) == pytest.approx(float(torch.log(low / high)), abs=5 * float(bound.std()) / math.sqrt(n))


def test_the_bound_is_the_same_for_schedules_between_the_same_ends() -> None:
    ve = SCHEDULES["ve"](sigma_min=0.01, sigma_max=20.0)
    ends = ve.gamma(f64([ve.t_low, 1.0]))
    bounds = []
    for schedule in (ve, SCHEDULES["vp"](), SCHEDULES["rectified-flow"]()):
        schedule.t_low, schedule.t_high = schedule.time(ends).tolist()
        bounds.append(diffusion_bound(knowing(ring_distribution(schedule), "edm"), normal(500, 2), generator()))
    for other in bounds[1:]:
        # The same gamma and noise; times come from gamma to 1e-12 or so, and losses of small noise are steep in it.
        torch.testing.assert_close(other, bounds[0], rtol=1e-6, atol=1e-6)


def test_the_excess_of_the_bound_of_a_wrong_denoiser_is_a_divergence() -> None:
    """For the denoiser of N(0, v) and data N(0, 1) it is KL(N(0, 1) || N(0, v))."""
    schedule, n, v = SCHEDULES["ve"](sigma_min=0.01, sigma_max=100.0), 200_000, 3.0
    right, wrong = (
        diffusion_bound(knowing(ExactGaussian(schedule, variance=variance), "edm"), normal(n, 1), generator())
        for variance in (1.0, v)
    )
    error = float((wrong - right).std()) / math.sqrt(n)
    expected = 0.5 * (1 / v - 1 + math.log(v))
    assert error < 0.03 * expected
    assert float((wrong - right).mean()) == pytest.approx(expected, abs=5 * error)  # the ends cut off only 1e-4


@pytest.mark.parametrize("name", EVERY)
def test_every_loss_is_finite_at_both_ends_of_time(name: str) -> None:
    x, eps, t = normal(3, 2), normal(3, 2, seed=1), f64([0.0, 1.0, 0.5])
    for head in HEADS:
        denoiser = Denoiser(Says(torch.ones(()).double()), EVERY[name], head)
        for weight in weights_of(EVERY[name]).values():
            for metric in METRICS.values():
                loss = denoising_loss(denoiser, x, t, eps, weight, metric)
                assert torch.isfinite(loss).all()
                assert (loss >= 0).all()


def test_huber_is_that_of_torch() -> None:
    r = torch.linspace(-4, 4, 81).double()
    expected = huber_loss(r, torch.zeros_like(r), reduction="none")
    torch.testing.assert_close(METRICS["huber"](r), expected)
    torch.testing.assert_close(METRICS["squared"](r), r * r)


def test_the_metric_is_applied_to_each_weighted_residual() -> None:
    schedule, t = EVERY["vp"], f64(0.3)
    x, eps, out = normal(4, 3), normal(4, 3, seed=1), 5 * normal(4, 3, seed=2)
    denoiser = Denoiser(Says(out), schedule, "x0")
    residual = schedule.kappa(t).reciprocal() * (out - x)  # sqrt(SNR) (x_hat - x)
    expected = huber_loss(residual, torch.zeros_like(residual), reduction="none").sum(1)
    torch.testing.assert_close(denoising_loss(denoiser, x, t, eps, WEIGHTS["snr"], METRICS["huber"]), expected)


@pytest.mark.parametrize("weight", WEIGHTS)
def test_the_loss_of_a_row_does_not_depend_on_the_other_rows(weight: str) -> None:
    schedule = EVERY["cosine" if weight in weights_of(EVERY["cosine"]) else "linear"]
    denoiser = knowing(ring_distribution(schedule), "edm")
    x, eps, t = normal(5, 2), normal(5, 2, seed=1), f64([0.1, 0.3, 0.5, 0.7, 0.9])
    together = denoising_loss(denoiser, x, t, eps, WEIGHTS[weight])
    for i in range(5):
        alone = denoising_loss(denoiser, x[i : i + 1], t[i], eps[i : i + 1], WEIGHTS[weight])
        torch.testing.assert_close(together[i : i + 1], alone)


def test_the_loss_sums_over_every_dimension_of_a_row() -> None:
    schedule, t = EVERY["vp"], f64([0.2, 0.6])
    x, eps = normal(2, 3, 4, 5), normal(2, 3, 4, 5, seed=1)
    loss = denoising_loss(Denoiser(Says(torch.zeros(()).double()), schedule, "eps"), x, t, eps)
    torch.testing.assert_close(loss, eps.square().sum((1, 2, 3)))


@pytest.mark.parametrize("times", ["uniform", "stratified", "antithetic"])
@pytest.mark.parametrize("name", CONTINUOUS)
def test_times_are_uniform_between_the_ends(name: str, times: str) -> None:
    schedule = EVERY[name]
    t = TIMES[times](schedule, 5000, generator())
    assert t.dtype == torch.float64
    assert t.shape == (5000,)
    u = (t - schedule.t_low) / (schedule.t_high - schedule.t_low)
    sample = u[: 2500 if times == "antithetic" else 5000]  # the second half of the pairs is not independent
    assert stats.kstest(sample.numpy(), "uniform").pvalue > LEAST_P
    assert float(u.mean()) == pytest.approx(0.5, abs=4 / math.sqrt(12 * 5000))
    assert float(u.var()) == pytest.approx(1 / 12, abs=4 * math.sqrt(1 / 180 / 2500))


@pytest.mark.parametrize("times", ["uniform", "stratified", "antithetic"])
@pytest.mark.parametrize("T", [1, 7, 50])
def test_each_step_of_a_chain_from_the_first_to_the_last_is_equally_likely(T: int, times: str) -> None:
    schedule = SCHEDULES["linear"](T=T)
    t = TIMES[times](schedule, 10_000, generator(1))
    step = (t * T).round()
    torch.testing.assert_close(step / T, t, rtol=0, atol=0)
    counts = torch.bincount(step.long(), minlength=T + 1)
    assert counts[0] == 0
    assert counts[T] > 0  # a loss that leaves out t = T never sees what sampling starts from
    if T > 1:
        assert stats.chisquare(counts[1:].numpy()).pvalue > LEAST_P


def test_stratified_times_have_one_in_each_stratum() -> None:
    schedule = EVERY["ve"]
    u = (TIMES["stratified"](schedule, 1000, generator()) - schedule.t_low) / (1 - schedule.t_low)
    assert torch.equal(torch.floor(u * 1000).long(), torch.arange(1000))
    counts = torch.bincount((TIMES["stratified"](SCHEDULES["linear"](T=7), 700, generator()) * 7).round().long())
    assert ((counts[1:] - 100).abs() <= 1).all()  # strata meet step boundaries at multiples of 100, to rounding


@pytest.mark.parametrize("n", [1, 2, 999, 1000])
def test_antithetic_times_come_in_mirrored_pairs(n: int) -> None:
    schedule, half = EVERY["rectified-flow"], n // 2
    t = TIMES["antithetic"](schedule, n, generator())
    assert t.shape == (n,)
    middle = schedule.t_low + schedule.t_high
    torch.testing.assert_close(t[:half] + t[(n + 1) // 2 :], torch.full((half,), middle).double())
    step = TIMES["antithetic"](SCHEDULES["linear"](T=7), n, generator()) * 7
    torch.testing.assert_close(step[:half] + step[(n + 1) // 2 :], torch.full((half,), 8.0).double())


@pytest.mark.parametrize("name", ["ve", "vp", "cosine", "rectified-flow"])
def test_log_normal_times_have_a_normal_log_noise_level(name: str) -> None:
    schedule = EVERY[name]
    low, high = (float(schedule.gamma(f64(t)) / 2) for t in (schedule.t_low, schedule.t_high))
    mean, std, n = -1.0, 0.8, 20_000
    level = schedule.gamma(TIMES["log-normal"](schedule, n, generator(), mean=mean, std=std)) / 2
    assert low < mean - 4.5 * std < mean + 4.5 * std < high  # nothing to speak of is cut off
    # Stratified draws: the quantiles err by 1 / n, and so do the moments, up to the tails.
    assert float(level.mean()) == pytest.approx(mean, abs=2e-3)
    assert float(level.std()) == pytest.approx(std, rel=2e-3)
    assert stats.kstest(level.numpy(), "norm", (mean, std)).statistic < 2 / n + 1e-6


def test_log_normal_times_beyond_the_ends_are_put_on_the_ends() -> None:
    schedule = SCHEDULES["ve"](sigma_min=0.1, sigma_max=1.0)
    t = TIMES["log-normal"](schedule, 10_000, generator(), mean=0.0, std=1.0)
    share_above = 0.5
    share_below = stats.norm.cdf(math.log(0.1))
    assert float((t == 1).double().mean()) == pytest.approx(share_above, abs=2e-4)
    assert float((t == schedule.t_low).double().mean()) == pytest.approx(share_below, abs=2e-4)


@pytest.mark.parametrize("name", CHAINS)
def test_log_normal_times_of_a_chain_are_its_steps_nearest_in_time(name: str) -> None:
    schedule = SCHEDULES[name](T=50)
    t = TIMES["log-normal"](schedule, 5000, generator(), mean=-1.0, std=1.0)
    step = t * 50
    torch.testing.assert_close(step, step.round(), rtol=0, atol=1e-12)
    assert step.min() >= 1
    assert step.max() <= 50
    wished = torch.special.ndtri((torch.arange(5000).double() + 0.5) / 5000) - 1.0
    level = schedule.gamma(t) / 2
    ends = schedule.gamma(f64([schedule.t_low, 1.0])) / 2
    cells = (schedule.gamma(f64(np.arange(1, 51) / 50)) / 2).diff().max()
    # The median moves by no more than a cell, wherever it lies within the ends.
    assert float(level.median()) == pytest.approx(float(wished.median().clamp(*ends)), abs=float(cells))


@pytest.mark.parametrize("times", TIMES)
@pytest.mark.parametrize("name", ["ve", "cosine", "linear"])
def test_the_trained_noise_levels_hold_all_but_a_few_of_the_times(name: str, times: str) -> None:
    schedule, n = EVERY[name], 200_000
    low, high = trained_gammas(schedule, TIMES[times])
    gamma = schedule.gamma(TIMES[times](schedule, n, generator()))
    for beyond in (gamma < low - 1e-9, gamma > high + 1e-9):
        # 5 in 16,384 are expected; the fifth of so many uniform draws is above 1 / 1,000 once in 3,000 seeds.
        assert int(beyond.sum()) <= n / 1_000


def test_the_trained_noise_levels_are_three_and_a_half_deviations_wide_or_end_with_the_schedule() -> None:
    times = partial(TIMES["log-normal"], mean=-1.0, std=1.2)
    low, high = trained_gammas(EVERY["cosine"], times)
    quantile = stats.norm.ppf(4.5 / 16_384)  # -3.45; the draw is in the stratum from 4 to 5, 0.03 on either side
    assert low / 2 == pytest.approx(-1.0 + 1.2 * quantile, abs=0.05)
    assert high / 2 == pytest.approx(-1.0 - 1.2 * quantile, abs=0.05)
    narrow = SCHEDULES["ve"](sigma_min=0.05, sigma_max=20.0)
    assert trained_gammas(narrow, times) == tuple(narrow.gamma_ends().tolist())


@pytest.mark.parametrize("times", TIMES)
def test_times_depend_on_the_generator_alone(times: str) -> None:
    before = torch.get_rng_state()
    first, second = (TIMES[times](EVERY["ve"], 100, generator(5)) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, TIMES[times](EVERY["ve"], 100, generator(6)))
    assert torch.equal(torch.get_rng_state(), before)
