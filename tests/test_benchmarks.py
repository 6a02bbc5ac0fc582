"""The benchmark of schedules and heads, on trainings of two steps; damaged files, some of them."""

import numpy as np
import pytest
import torch
from benchmarks import damage, mutations, schedules, trials
from benchmarks.onehot import OneHotNetwork


@pytest.mark.slow
def test_every_schedule_and_head_is_compared_with_ve_on_the_same_rows() -> None:
    header, reference, *others = schedules.schedules(("parabola",), ("cosine", "ve"), ("edm", "eps"), 0, 2)
    assert reference[:5] == ["parabola", "ve", "edm", "2", "2"]
    assert [tuple(row[1:3]) for row in others] == [("cosine", "edm"), ("cosine", "eps"), ("ve", "eps")]
    nll = header.index("NLL")
    for row in others:
        difference = float(row[nll + 1].split(" ± ")[0])
        # Both are rounded to four decimals.
        assert difference == pytest.approx(float(row[nll]) - float(reference[nll]), abs=2e-4)
        assert row[-1] == ("missed" if difference > schedules.BOUND else "")


@pytest.mark.parametrize(("offset", "verdict"), [(-0.2, ""), (0.029, ""), (0.031, "missed")])
def test_a_difference_above_the_bound_is_missed(offset: float, verdict: str) -> None:
    noise = np.array([-1.0, 1.0] * 50)
    assert schedules.compare(noise + offset) == [f"{offset:+.4f} ± 0.1000", "0.03", verdict]


@pytest.mark.slow
def test_damaged_files_are_read_or_refused_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutations, "WORKERS", 1)  # its imports take as long as the cases
    found = dict(mutations.outcomes(7, range(99, 124)))
    assert {index: outcome.problem for index, outcome in found.items() if outcome.problem} == {}
    assert {outcome.end for outcome in found.values()} == {"read", "refused"}


def test_the_file_of_a_case_follows_from_its_seed_and_number() -> None:
    for name, kind in damage.KINDS.items():
        for mutation in damage.MUTATIONS:
            first, second, other = (np.random.default_rng(seed) for seed in ([0, 5], [0, 5], [0, 6]))
            file = damage.damaged(kind.write(first), kind, mutation, first)
            assert file == damage.damaged(kind.write(second), kind, mutation, second), (name, mutation)
            assert name == "recipe" or file != damage.damaged(kind.write(other), kind, mutation, other)
    assert {trials.names_of(index)[0] for index in range(60)} == {*damage.KINDS, *trials.RUNS}


def test_an_untrained_one_hot_network_returns_the_posterior_of_equally_likely_levels() -> None:
    sigma, x_t = 0.7, torch.tensor([[0.4, 0.9, -0.3, 0.2]])  # a number, and a block of three levels
    network = OneHotNetwork(1, (3,))
    found = network(x_t / (1 + sigma**2) ** 0.5, torch.tensor(sigma).log())
    log_p = torch.stack([-((x_t[0, 1:] - level) ** 2).sum() / (2 * sigma**2) for level in torch.eye(3)])
    assert torch.allclose(found[0, 1:], log_p.softmax(0), atol=1e-6)
    assert float(found[0, 0].detach()) == pytest.approx(0.4 / (1 + sigma**2))  # of N(0, 1)
