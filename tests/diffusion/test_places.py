"""Places on the line of numbers that stand for more than a point."""

import math

import pytest
import torch

from driftfield.diffusion.further.places import count_turns, placed, turns

L = 5.0


def test_a_whole_number_is_anywhere_in_its_interval_and_a_number_stays() -> None:
    z, width = torch.tensor([[1.0, 2.0]]).repeat(1_001, 1), torch.tensor([[0.4, 0.0]])
    found = placed(z, width, torch.linspace(0, 1, 1_001)[:, None].repeat(1, 2))
    assert found[:, 0].min() == pytest.approx(0.8)
    assert found[:, 0].max() == pytest.approx(1.2)
    assert found[:, 0].mean() == pytest.approx(1.0)
    assert (found[:, 1] == 2).all()


@pytest.mark.parametrize("z", [-2.5, -1.0, 0.0, 0.3, 2.4])
def test_an_angle_is_at_z_or_a_turn_away_with_chances_that_sum_to_1(z: float) -> None:
    u = torch.linspace(0, 1, 10_001)[:-1, None]
    found = placed(torch.full_like(u, z), torch.full_like(u, -L), u)
    other = z - math.copysign(L, z)
    near = (found - z).abs() < 1e-6
    assert (near | ((found - other).abs() < 1e-6)).all()
    share = float(near.double().mean())
    assert share == pytest.approx(math.cos(math.pi * z / (2 * L)) ** 2, abs=1e-3)  # the distance of two u
    if z:
        assert 1 - share == pytest.approx(math.cos(math.pi * other / (2 * L)) ** 2, abs=1e-3)


def test_uniform_angles_have_a_raised_cosine_on_the_line() -> None:
    generator = torch.Generator().manual_seed(0)
    u, v = torch.rand((2, 200_000, 1), generator=generator)
    found = placed(L * (u - 0.5), torch.full_like(u, -L), v).flatten()
    counts = torch.histc(found, 20, -L, L) / len(found)
    middles = (torch.arange(20) + 0.5) * L / 10 - L
    # The area under cos^2 over a bin, relative to the whole L; errors of counts are at most 0.0007.
    expected = (torch.cos(math.pi * middles / (2 * L)) ** 2) / 10
    assert (counts - expected).abs().max() < 0.003


def test_the_turns_of_an_angle_are_all_places_and_only_of_those_asked_for() -> None:
    z, width = torch.tensor([[1.0, 0.5, -2.0], [-1.0, 0.5, 1.0]]), torch.tensor([[-L, 0.0, -L]]).repeat(2, 1)
    asked = torch.tensor([[True, True, True], [True, True, False]])
    found = list(turns(z, width, asked, [0, 2]))
    assert len(found) == count_turns(2) == 9
    places = {tuple((z + shift)[0].tolist()) for shift, counts in found if counts[0]}
    assert places == {(a, 0.5, b) for a in (1.0, -4.0, 6.0) for b in (-2.0, 3.0, -7.0)}
    assert sum(bool(counts[1]) for _, counts in found) == 3
    assert {float((z + shift)[1, 2]) for shift, counts in found if counts[1]} == {1.0}


def test_many_angles_have_two_places_each() -> None:
    z, width = torch.ones(1, 4), torch.full((1, 4), -L)
    found = [z + shift for shift, _ in turns(z, width, torch.ones(1, 4, dtype=torch.bool), range(4))]
    assert len(found) == count_turns(4) == 16
    assert max(float(place.abs().max()) for place in found) <= L


def test_without_angles_there_is_one_way() -> None:
    ((shift, counts),) = turns(torch.ones(3, 2), torch.zeros(3, 2), torch.ones(3, 2, dtype=torch.bool), [])
    assert count_turns(0) == 1
    assert not shift.any()
    assert counts.all()
