"""Which rows a step sees: all of them in each pass, and the same ones in a training that was resumed."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from driftfield.recipes.defaults import steps_of_a_pass
from driftfield.training.batches import Batch, drawn, fresh, shuffled

by_property = settings(deadline=None, derandomize=True, max_examples=40, database=None)
sizes = st.tuples(st.integers(1, 60), st.integers(1, 70), st.integers(0, 2**32 - 1), st.integers(0, 5))


def numbered(n: int) -> Batch:
    """Rows (n, 2) that know their number, and labels that follow from it."""
    i = torch.arange(n)
    return torch.stack([i, 1000 - i], 1).float(), 7 * i


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def one_pass(n: int, size: int, seed: int, number: int) -> list[Batch]:
    batch, steps = shuffled(numbered(n), size, seed), steps_of_a_pass(n, size)
    return [batch(number * steps + place, generator()) for place in range(steps)]


@by_property
@given(sizes)
def test_a_shuffled_pass_holds_every_row_exactly_once(drawing: tuple[int, int, int, int]) -> None:
    n, size, seed, number = drawing
    seen = torch.cat([rows[:, 0] for rows, _ in one_pass(n, size, seed, number)])
    assert sorted(seen.int().tolist()) == list(range(n))


@by_property
@given(sizes)
def test_every_batch_of_a_pass_is_full_but_the_last_which_holds_what_is_left(
    drawing: tuple[int, int, int, int],
) -> None:
    n, size, seed, number = drawing
    lengths = [len(rows) for rows, _ in one_pass(n, size, seed, number)]
    assert len(lengths) == math.ceil(n / size) == steps_of_a_pass(n, size)
    assert lengths[:-1] == [size] * (len(lengths) - 1)
    assert lengths[-1] == n - size * (len(lengths) - 1) > 0


@pytest.mark.parametrize("size", [7, 64])
def test_a_shuffled_batch_depends_on_the_seed_and_the_step_alone(size: int) -> None:
    """Not on the generator, nor on which steps came before: a resumed training starts anywhere."""
    forward, backward = (shuffled(numbered(50), size, 3) for _ in range(2))
    steps = range(3 * steps_of_a_pass(50, size))
    first = {step: forward(step, generator(step))[0] for step in steps}
    state = (untouched := generator(9)).get_state()
    second = {step: backward(step, untouched)[0] for step in reversed(steps)}
    for step in steps:
        assert torch.equal(first[step], second[step])
    assert torch.equal(untouched.get_state(), state)


def test_passes_differ_from_one_another_and_from_those_of_another_seed() -> None:
    orders = [
        tuple(torch.cat([rows[:, 0] for rows, _ in one_pass(50, 16, seed, number)]).int().tolist())
        for seed in (0, 1, 2)
        for number in range(4)
    ]
    assert len(set(orders)) == 12  # of 50! orders each
    assert tuple(range(50)) not in orders


def test_the_place_of_a_row_in_its_pass_is_uniform() -> None:
    n, passes = 8, 600
    batch = shuffled(numbered(n), n, 0)
    orders = torch.stack([batch(number, generator())[0][:, 0] for number in range(passes)]).long()  # (passes, n)
    counts = torch.stack([torch.bincount(orders[:, place], minlength=n) for place in range(n)]).double()
    expected = passes / n
    chi_square = float(((counts - expected) ** 2 / expected).sum())
    # Rows and columns both sum to the number of passes, which leaves (n - 1)^2 = 49 degrees of freedom, with a mean of
    # n (n - 1) before the factor below, and a standard deviation of sqrt(98) after it: five of them.
    assert abs(chi_square * (n - 1) / n - 49) < 5 * math.sqrt(98)


@pytest.mark.parametrize("kind", ["shuffled", "drawn"])
def test_labels_go_with_their_rows(kind: str) -> None:
    table = numbered(40)
    batch = shuffled(table, 9, 5) if kind == "shuffled" else drawn(table, 9)
    of = generator()
    for step in range(12):
        rows, labels = batch(step, of)
        assert torch.equal(labels, 7 * rows[:, 0].long())
        assert torch.equal(rows[:, 1], 1000 - rows[:, 0])


def test_a_table_without_labels_gives_batches_without_labels() -> None:
    rows, _ = numbered(10)
    assert len(shuffled((rows,), 4, 0)(0, generator())) == 1
    assert len(drawn((rows,), 4)(0, generator())) == 1


def test_drawn_rows_come_with_replacement_from_the_generator_whatever_the_step() -> None:
    batch, chosen = drawn(numbered(10), 2_000), torch.randint(10, (2_000,), generator=generator(4))
    first, later = (batch(step, generator(4))[0][:, 0] for step in (0, 17))
    assert torch.equal(first, chosen.float())
    assert torch.equal(later, first)
    counts = torch.bincount(first.long(), minlength=10)
    assert (counts - 200).abs().max() < 5 * math.sqrt(2_000 * 0.1 * 0.9)  # five standard deviations of a count


def test_fresh_rows_are_those_that_the_drawing_gives_for_the_step_and_leave_the_generator_alone() -> None:
    def draw(n: int, step: int) -> Batch:
        return (torch.randn(n, 2, generator=generator(step)),)

    batch, of = fresh(draw, 6), generator(1)
    state = of.get_state()
    late, early, again = (batch(step, of)[0] for step in (5, 2, 5))
    assert torch.equal(late, again)
    assert not torch.equal(late, early)
    assert late.shape == (6, 2)
    assert torch.equal(of.get_state(), state)


@pytest.mark.parametrize("kind", ["drawn", "shuffled"])
def test_rows_with_weights_come_as_often_as_they_weigh_to_within_two_in_every_batch(kind: str) -> None:
    weights, generator = torch.tensor([1.0, 2.0, 5.0, 2.0]), torch.Generator().manual_seed(0)
    rows = torch.arange(4.0)[:, None]
    if kind == "shuffled":
        rows, weights = rows.repeat(50, 1), weights.repeat(50)
    batches = drawn((rows,), 200, weights) if kind == "drawn" else shuffled((rows,), 200, 0, weights)
    total = torch.zeros(4)
    for step in range(50):
        counts = torch.bincount(batches(step, generator)[0][:, 0].long(), minlength=4)
        if kind == "drawn":  # a row spans whole parts of [0, 1) and pieces of two others
            assert (counts - 20 * weights).abs().max() <= 2
        total += counts
    # 10,000 draws: independent ones would scatter by 50, and stratified ones scatter less.
    assert (total - 1000 * torch.tensor([1.0, 2.0, 5.0, 2.0])).abs().max() < 100


def test_weighted_rows_are_in_no_order_that_times_could_follow() -> None:
    rows = torch.arange(1000.0)[:, None]
    batches = drawn((rows,), 1000, torch.linspace(1, 2, 1000))
    batch = batches(0, torch.Generator().manual_seed(1))[0][:, 0]
    # Correlation of 1,000 independent pairs: 0.03; four times that.
    assert abs(torch.corrcoef(torch.stack([batch, torch.arange(1000.0)]))[0, 1]) < 0.13
