"""The objective of one column of a table: what it hides, what it gives, and its value for an untrained network."""

import math

import pytest
import torch

from driftfield.diffusion import HEADS, TableDenoiser, TargetLoss
from driftfield.diffusion.basics.schedules import VE
from driftfield.diffusion.further.cells import ABSENT, GIVEN, UNKNOWN, Cells
from driftfield.networks.table import TableNetwork

B, LEVELS = 4_000, (3, 5)


class Seen(TableDenoiser):
    """A denoiser that remembers the cells it was asked about."""

    def logits(self, cells: Cells) -> list[torch.Tensor]:
        self.cells_of_logits = cells
        return super().logits(cells)

    def output(self, x_t: torch.Tensor, t: torch.Tensor, cond: torch.Tensor | None = None) -> torch.Tensor:
        self.cells_of_output = self.cells(x_t, cond)
        return super().output(x_t, t, cond)


def denoiser() -> Seen:
    return Seen(TableNetwork(3, LEVELS, width=8, depth=1), VE(0.01, 20.0), HEADS["edm"], "log-sigma")


def rows() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """z, whether each is there, and codes; a tenth of both is missing."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(B, 3, generator=generator)
    codes = torch.stack([torch.randint(0, n, (B,), generator=generator) for n in LEVELS], 1)
    present = torch.rand(B, 3, generator=generator) > 0.1
    codes[torch.rand(B, 2, generator=generator) < 0.1] = UNKNOWN
    return z, present, codes


def losses(target: TargetLoss, seen: Seen) -> torch.Tensor:
    z, present, codes = rows()
    return target(seen, z, torch.Generator().manual_seed(1), torch.zeros_like(z), present, codes)


def test_an_untrained_network_pays_the_logarithm_of_the_levels_where_there_is_a_category() -> None:
    found, known = losses(TargetLoss(None, 1), denoiser()), rows()[2][:, 1] != UNKNOWN
    assert found[known].tolist() == pytest.approx([math.log(5)] * int(known.sum()), rel=1e-6)  # float32
    assert (found[~known] == 0).all()


def test_the_category_that_is_asked_for_is_never_given_and_half_of_the_rows_have_all_others() -> None:
    seen = denoiser()
    losses(TargetLoss(None, 1), seen)
    z, present, codes = rows()
    cells = seen.cells_of_logits
    assert (cells.codes[:, 1] == UNKNOWN).all()
    assert (cells.state[~present] == ABSENT).all()
    assert (cells.values == z).all()
    whole = (cells.given == present).all(1) & (cells.codes[:, 0] == codes[:, 0])
    # Half, and those rows of the others that have all by chance: the mean of u^4 is 1/5, more where cells are missing.
    assert 0.5 + 0.5 / 5 <= whole.float().mean() < 0.75


def test_only_the_number_that_is_asked_for_is_generated() -> None:
    seen = denoiser()
    found = losses(TargetLoss(2, None), seen)
    _, present, _ = rows()
    cells = seen.cells_of_output
    assert (cells.free[:, 2] == present[:, 2]).all()
    assert not cells.free[:, :2].any()
    assert set(cells.state[:, :2].unique().tolist()) == {GIVEN, ABSENT}
    assert (found[~present[:, 2]] == 0).all()


def test_a_number_beside_atoms_knows_that_it_is_none() -> None:
    seen = denoiser()
    losses(TargetLoss(2, 0), seen)
    assert (seen.cells_of_logits.codes[:, 0] == UNKNOWN).all()
    assert not seen.cells_of_logits.given[:, 2].any()
    assert (seen.cells_of_output.codes[:, 0] == rows()[2][:, 0]).all()
