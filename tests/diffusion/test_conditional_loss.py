"""Objectives of conditionals: what they hide, what they give, and their value for an untrained network."""

import math

import pytest
import torch

from driftfield.diffusion import HEADS, TableDenoiser, TargetLoss, filling_loss
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
    # Half, and those rows of the others that have all by chance: between the means of u^4 and u^3, less and more four
    # standard errors of a fraction of 4,000 rows.
    assert 0.6 - 0.03 < whole.float().mean() < 0.625 + 0.03


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


def test_an_imputer_hides_every_cell_half_of_the_time_and_asks_for_numbers_last() -> None:
    seen = denoiser()
    z, present, codes = rows()
    filling_loss(seen, z, torch.Generator().manual_seed(1), torch.zeros_like(z), present, codes)
    first, second = seen.cells_of_logits, seen.cells_of_output
    assert not first.free.any()
    assert (second.codes == codes).all()
    assert (second.state[~present] == ABSENT).all()
    assert not (second.state[present] == ABSENT).any()
    # Standard errors of these fractions are below 0.01: the rates of 4,000 rows have a standard deviation of 0.29.
    assert second.free[present].float().mean().item() == pytest.approx(0.5, abs=0.03)
    assert (first.codes == UNKNOWN)[codes != UNKNOWN].float().mean().item() == pytest.approx(0.5, abs=0.03)


def test_an_imputer_pays_for_what_is_hidden_alone() -> None:
    """Categories alone, untrained: the logarithm of the levels of each hidden one, half of them in the mean."""
    network = TableNetwork(0, LEVELS, width=8, depth=1)
    seen = Seen(network, VE(0.01, 20.0), HEADS["edm"], "log-sigma")
    _, _, codes = rows()
    none = torch.zeros(B, 0)
    found = filling_loss(seen, none, torch.Generator().manual_seed(1), none, none > 0, codes)
    hidden = (seen.cells_of_logits.codes == UNKNOWN) & (codes != UNKNOWN)
    expected = (hidden * torch.tensor(LEVELS).log()).sum(1) / 2  # per category
    assert found.tolist() == pytest.approx(expected.tolist(), rel=1e-5)
