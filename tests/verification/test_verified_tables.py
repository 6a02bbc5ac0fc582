"""A well-fitted model of a known table passes; one that is broken on purpose fails in the check of what is broken."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor

import driftfield
from driftfield.codecs import EncodedRows, FloatArray, TableCodec
from driftfield.codecs.maps import Map
from driftfield.diffusion import Cells, Estimate, TableDenoiser
from driftfield.model.model import Model
from driftfield.verification import TABLE_QUESTIONS, Check, masses, verify
from driftfield.verification.cause import likely_cause
from driftfield.verification.subject import Subject

N, ROWS = 800, 160


@pytest.fixture(autouse=True)
def small_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masses, "COLUMNS", 3)
    monkeypatch.setattr(masses, "CONDITIONALS", 1)
    monkeypatch.setattr(masses, "QUANTILES", 32)


def frame() -> pl.DataFrame:
    """Two categories; a number, a whole number and an amount that is often 0, which follow them; and missing cells."""
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 2, N)
    colour = np.where(rng.random(N) < 0.8, kind, 2)
    height = rng.normal(np.where(kind == 0, -2.5, 2.5), 1.0)
    count = np.round(rng.normal(np.where(kind == 0, 30, 40), 6.0))
    spent = np.where(rng.random(N) < np.where(colour == 2, 0.8, 0.2), 0.0, np.exp(rng.normal(0, 0.5, N)))
    found = pl.DataFrame(
        {
            "kind": np.array(["cat", "dog"])[kind],
            "colour": np.array(["red", "blue", "green"])[colour],
            "height": height,
            "count": count.astype(int),
            "spent": spent,
        }
    )
    holes = rng.random(found.shape) < 0.05
    return found.with_columns(
        pl.when(~pl.Series(holes[:, i])).then(pl.col(name)).alias(name) for i, name in enumerate(found.columns)
    )


@pytest.fixture(scope="module")
def model() -> Model:
    return fitted(frame())


def fitted(rows: pl.DataFrame, **options: Any) -> Model:
    """A small model, whose densities are solved in few steps."""
    network = {"kind": "table", "width": 32, "components": 2}
    small: dict[str, Any] = {"steps": 200, "network": network, "objective": "table", "likelihood": {"steps": 16}}
    return driftfield.fit(rows, **{**small, **options})


def answered(model: Model, name: str, seed: int = 0) -> Check:
    question = next(question for question in TABLE_QUESTIONS if question.name == name)
    return question.answer(Subject(model, ROWS, seed))


def with_denoiser(model: Model, kind: type[TableDenoiser]) -> Model:
    denoiser = deepcopy(model.denoiser)
    denoiser.__class__ = kind
    return replace(model, denoiser=denoiser)


def with_codec(model: Model, kind: type[TableCodec]) -> Model:
    return replace(model, codec=kind(model.codec.parts))


class WrongSign(TableDenoiser):
    """The estimated noise negated."""

    def forward(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Estimate:
        found = super().forward(x_t, t, cond)
        sigma, alpha = self.schedule.sigma(t).to(x_t), self.schedule.alpha(t).to(x_t)
        return replace(found, eps=-found.eps, x0=(x_t + sigma * found.eps) / alpha)


class TooLittleNoise(TableDenoiser):
    """The estimated noise is half of what it was."""

    def forward(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Estimate:
        found = super().forward(x_t, t, cond)
        eps, sigma, alpha = 0.5 * found.eps, self.schedule.sigma(t).to(x_t), self.schedule.alpha(t).to(x_t)
        return replace(found, eps=eps, x0=(x_t - sigma * eps) / alpha)


class MisledByGivenNumbers(TableDenoiser):
    """Both networks are told given numbers with the wrong sign."""

    def cells(self, x_t: Tensor, cond: Tensor | None) -> Cells:
        cells = super().cells(x_t, cond)
        return replace(cells, values=-cells.values)

    def logits(self, cells: Cells) -> list[Tensor]:
        return super().logits(replace(cells, values=-cells.values))


class SharpenedByWhatIsKnown(TableDenoiser):
    """Logits that grow with the number of known categories."""

    def logits(self, cells: Cells) -> list[Tensor]:
        known = (cells.codes >= 0).sum(1, keepdim=True)
        return [(1 + known) * each for each in super().logits(cells)]


class DependentOnTheBatch(TableDenoiser):
    """Logits that depend on where a row stands."""

    def logits(self, cells: Cells) -> list[Tensor]:
        generator = torch.Generator().manual_seed(0)
        return [each * (0.9 + 0.2 * torch.rand(len(each), 1, generator=generator)) for each in super().logits(cells)]


class TwoLevelsInOne(TableCodec):
    """The first two levels of the first category have the same code."""

    def encoded(self, rows: FloatArray, *more: Any) -> EncodedRows:
        found = super().encoded(rows, *more)
        found.codes[:, 0] = np.where(found.codes[:, 0] == 0, 1, found.codes[:, 0])
        return found


class TwiceTheWidth(TableCodec):
    """The intervals of whole numbers are twice too wide."""

    def encoded(self, rows: FloatArray, *more: Any) -> EncodedRows:
        found = super().encoded(rows, *more)
        return found._replace(width=2 * found.width)


class TwiceTheSlope(TableCodec):
    """The slopes of the maps are off by a factor of 2."""

    def log_slopes(self, rows: FloatArray) -> FloatArray:
        return super().log_slopes(rows) + np.log(2)


def with_another_scale(model: Model) -> Model:
    parts = [
        part if part.map is None else replace(part, map=Map(part.map.x, tuple(2 * z for z in part.map.z)))
        for part in model.codec.parts
    ]
    return replace(model, codec=TableCodec(tuple(parts)))


def test_a_well_fitted_model_passes_every_check_that_applies(model: Model) -> None:
    found = verify(model, ROWS)
    assert [check.name for check in found.checks if check.failed] == []
    assert found.cause == "nothing"
    skipped = {"clock", "score", "round_trip", "latents", "bound", "exact_score"}
    assert {check.name for check in found.checks if check.passed is None} == skipped
    assert found.map is None


@pytest.mark.parametrize(
    ("name", "break_"),
    [
        ("units", with_another_scale),
        ("units", lambda model: with_codec(model, TwoLevelsInOne)),
        ("units", lambda model: with_codec(model, TwiceTheSlope)),
        ("sums", lambda model: with_codec(model, TwoLevelsInOne)),
        ("sums", lambda model: with_denoiser(model, DependentOnTheBatch)),
        ("order", lambda model: with_denoiser(model, SharpenedByWhatIsKnown)),
        ("masses", lambda model: with_codec(model, TwiceTheWidth)),
        ("masses", lambda model: with_codec(model, TwiceTheSlope)),
        ("ratios", lambda model: with_denoiser(model, MisledByGivenNumbers)),
        ("calibration", lambda model: with_denoiser(model, WrongSign)),
        ("calibration", lambda model: with_denoiser(model, TooLittleNoise)),
        ("network", lambda model: with_denoiser(model, TooLittleNoise)),
        ("sampler", lambda model: replace(model, recipe=model.recipe.updated({"sample": {"steps": 2}}, ""))),
        ("memorisation", lambda model: replace(model, train=model.sample(ROWS, 0))),
    ],
)
def test_what_is_broken_fails(model: Model, name: str, break_: Callable[[Model], Model]) -> None:
    found = answered(break_(model), name)
    assert found.failed, found.as_dict()


@pytest.mark.parametrize(
    ("names", "break_", "cause"),
    [
        (("units", "calibration"), with_another_scale, "units"),
        (("sums", "order"), lambda model: with_denoiser(model, DependentOnTheBatch), "codes"),
        (("calibration", "network"), lambda model: with_denoiser(model, WrongSign), "sign"),
        (("order", "network"), lambda model: with_denoiser(model, SharpenedByWhatIsKnown), "network"),
    ],
)
def test_failures_name_their_cause(
    model: Model, names: tuple[str, ...], break_: Callable[[Model], Model], cause: str
) -> None:
    broken = break_(model)
    assert likely_cause([answered(broken, name) for name in names]) == cause


def test_what_lies_beside_atoms_is_counted_and_stated() -> None:
    """Of whole numbers about 30, of which 30 is also an atom, the density has a fifteenth at 30."""
    count = np.round(np.random.default_rng(0).normal(30, 6, 600))
    count[:150] = 30
    model = fitted(
        pl.DataFrame({"count": count}), network="table", objective="table", columns={"count": {"atoms": [30]}}
    )
    found = answered(model, "masses").finding
    assert found is not None
    assert found.passed
    assert 0.03 < found.details["beside"] < 0.08  # 0.75 / (6 sqrt(2 pi)) = 0.05
    assert "count lies beside its atoms" in found.note


def test_modelled_holes_are_counted_among_the_probabilities() -> None:
    model = fitted(frame(), steps=20, columns={"*": {"missing": "model"}})
    for name in ("sums", "masses"):
        assert answered(model, name).passed, answered(model, name).as_dict()
    assert "modelled holes" in answered(model, "ratios").reason


def test_a_table_of_categories_alone_has_no_masses() -> None:
    model = fitted(frame()[:, :2], steps=20)
    found = verify(model, ROWS)
    assert {check.name for check in found.checks if check.passed is None} > {"masses", "calibration", "sampler"}
    assert found["sums"].passed


def test_a_table_of_numbers_with_holes_has_no_order() -> None:
    model = fitted(frame()[:, 2:4], steps=20)
    assert {name for name in ("sums", "order") if answered(model, name).passed is None} == {"sums", "order"}
    assert answered(model, "ratios").finding is not None


def test_angles_have_the_mass_1_on_their_circle() -> None:
    rng = np.random.default_rng(0)
    angle = rng.vonmises(3.0, 1.0, 400) % (2 * np.pi)
    table = pl.DataFrame({"angle": angle, "x": np.cos(angle) + rng.normal(0, 0.3, 400)})
    found = fitted(table, columns={"angle": {"kind": "angle", "period": "2pi"}})
    checks = verify(found, rows=80)
    finding = checks["masses"].finding
    assert finding is not None
    assert finding.value == pytest.approx(1, abs=0.01)
    assert not any(check.status == "fail" for check in checks.checks)


def test_a_table_with_rules_is_verified_as_what_is_modelled() -> None:
    rng = np.random.default_rng(0)
    start = rng.normal(size=400).round(2)
    table = pl.DataFrame({"start": start, "end": (start + rng.exponential(size=400)).round(2)})
    table = table.with_columns(total=(pl.col("start") + pl.col("end")).round(2))
    found = fitted(table, rules={"hold": ["start <= end", "total = start + end"]})
    assert found.codec.shape == (2,)
    checks = verify(found, rows=80)
    assert not any(check.status == "fail" for check in checks.checks)
