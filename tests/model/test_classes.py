"""A model that knows classes draws from each of them, with any guidance scale."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

import driftfield
from driftfield.errors import InputError
from driftfield.model.labels import class_names
from driftfield.model.model import Model
from driftfield.recipes.building import Parts, build_denoiser, build_loss
from driftfield.recipes.schema import Recipe, load_recipe

KINDS = ("cat", "dog")
CENTRES = {"cat": -3.0, "dog": 3.0}
COUNT = 400


def frame() -> pd.DataFrame:
    """Two kinds, apart along x alone."""
    rng = np.random.default_rng(0)
    kinds = rng.choice(KINDS, COUNT)
    x = np.array([CENTRES[kind] for kind in kinds]) + 0.5 * rng.normal(size=COUNT)
    return pd.DataFrame({"x": x, "kind": kinds, "y": 10 + rng.normal(size=COUNT)})


@pytest.fixture(scope="module")
def model() -> Model:
    recipe = {
        "data": {"label": "kind"},
        "network": {"width": 32, "depth": 2},
        "objective": {"label_dropout": 0.4},  # so that the model without a class learns as fast
        "train": {"batch": 128},
    }
    return driftfield.fit(frame(), recipe, steps=300, lr=1e-2, scaling="standard", device="cpu")


def test_the_label_is_no_column_and_its_values_are_the_classes(model: Model) -> None:
    assert model.columns == ("x", "y")
    assert model.classes == KINDS
    assert model.recipe.data.label == "kind"


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_a_class_are_rows_of_that_class(model: Model, kind: str) -> None:
    x = model.sample(400, 1, label=kind)[:, 0]
    # A class lies six of its standard deviations from the middle, so that a row beyond it is an error of the network;
    # a short training is allowed one in fifty.
    assert np.mean(np.sign(x) == np.sign(CENTRES[kind])) > 0.98
    both = model.sample(400, 1)[:, 0]
    assert 0.35 < np.mean(both > 0) < 0.65  # six standard errors of a share of 400 rows


def test_guidance_zero_draws_the_rows_of_no_class_and_one_those_of_the_class(model: Model) -> None:
    assert_array_equal(model.sample(50, 2, label="cat", guidance=0.0), model.sample(50, 2))
    assert_array_equal(model.sample(50, 2, label="cat", guidance=1.0), model.sample(50, 2, label="cat"))
    other = model.sample(50, 2, label="cat", guidance=2.0)
    assert not np.allclose(other, model.sample(50, 2, label="cat"), atol=1e-3)


def test_the_guidance_of_the_recipe_is_taken_where_none_is_given(model: Model) -> None:
    from dataclasses import replace

    changed = replace(model, recipe=model.recipe.updated({"sample": {"guidance": 3.0}}))
    assert_array_equal(changed.sample(20, label="dog"), model.sample(20, label="dog", guidance=3.0))
    assert_array_equal(changed.sample(20, label="dog", guidance=1.0), model.sample(20, label="dog"))
    assert_array_equal(changed.sample(20), model.sample(20))


def test_a_row_depends_on_its_own_label_alone(model: Model) -> None:
    mixed = ["cat", "dog", "dog", "cat", "dog"] * 4
    rows = model.sample(20, 3, label=mixed)
    each = {kind: model.sample(20, 3, label=kind) for kind in KINDS}
    # float32: sums of a network differ in their last digits with the rows beside it
    assert_allclose(rows, np.array([each[kind][i] for i, kind in enumerate(mixed)]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("sampler", ["dpmpp-2m", "ancestral"])
def test_labelled_rows_do_not_depend_on_how_they_are_drawn_in_parts(model: Model, sampler: str) -> None:
    labels = [KINDS[i % 3 == 0] for i in range(5_000)]  # more than are drawn at once
    options: dict[str, Any] = {"seed": 1, "sampler": sampler, "steps": 5, "guidance": 1.5}
    whole = model.sample(5_000, label=labels, **options)
    for first, last in ((0, 7), (4_090, 4_110), (4_900, 5_000)):
        part = model.sample(last - first, label=labels[first:last], start=first, **options)
        assert_allclose(part, whole[first:last], rtol=1e-4, atol=1e-4)


def test_densities_given_a_class_favour_its_rows_and_hold_the_whole(model: Model) -> None:
    rows = model.held_out[:60]
    given = {kind: model.log_prob(rows, label=kind)[0] for kind in KINDS}
    own = np.where(rows[:, 0] > 0, given["dog"], given["cat"])
    other = np.where(rows[:, 0] > 0, given["cat"], given["dog"])
    assert np.mean(own > other + 2) > 0.95
    mixed = [KINDS[int(row[0] > 0)] for row in rows]
    assert_allclose(model.log_prob(rows, label=mixed)[0], own, atol=1e-3)  # float32 over 24 steps
    # Every row is of one class, so that p(x) = p(x | class) / 2 there; two densities of a short training may differ by
    # some tenths of a nat beside.
    gap = own - model.log_prob(rows)[0]
    assert np.mean(gap) == pytest.approx(np.log(2), abs=0.3)


def test_the_score_takes_a_class(model: Model) -> None:
    middle = np.array([[0.0, 10.0]])
    left, right = (model.score(middle, noise=0.5, label=kind)[0, 0] for kind in KINDS)
    assert left < 0 < right  # each class pulls to its own side


def test_labels_that_do_not_fit_are_refused(model: Model) -> None:
    for call, words in [
        (lambda: model.sample(3, label="cta"), 'class "cta": did you mean "cat"?'),
        (lambda: model.sample(3, label=["cat", "dog"]), "2 labels for 3 rows"),
        (lambda: model.log_prob(model.train[:3], label=["cat"]), "1 labels for 3 rows"),
        (lambda: model.sample(3, guidance=2.0), "name one with label"),
        (lambda: model.sample(3, label="cat", guidance=float("nan")), "finite"),
        (lambda: driftfield.fit("moons", rows=50, steps=1).sample(3, label="upper"), "has no classes"),
    ]:
        with pytest.raises(InputError) as raised:
            call()
        assert words in str(raised.value)


def test_classes_survive_being_saved(model: Model, tmp_path: Path) -> None:
    back = driftfield.load(model.save(tmp_path / "run"))
    assert back.classes == KINDS
    assert_array_equal(back.sample(9, label="dog", guidance=2.0), model.sample(9, label="dog", guidance=2.0))


class Seeing(torch.nn.Module):
    """A network that remembers the classes it was given."""

    label = "t"

    def __init__(self) -> None:
        super().__init__()
        self.given: list[torch.Tensor | None] = []

    def forward(self, x: torch.Tensor, label: torch.Tensor, cond: torch.Tensor | None = None) -> torch.Tensor:
        self.given.append(cond)
        return torch.zeros_like(x)


@pytest.mark.parametrize("kind", ["denoising", "sliced-score"])
@pytest.mark.parametrize(("dropout", "share"), [(None, 0.1), (0.0, 0.0), (0.4, 0.4)])
def test_the_share_of_hidden_labels_is_what_the_recipe_says(kind: str, dropout: float | None, share: float) -> None:
    network, n = Seeing(), 20_000
    sections = {"objective": {"kind": kind, "times": "uniform", "label_dropout": dropout}, "data": {"label": "class"}}
    recipe = Recipe.parse({**sections, "schedule": {"kind": "vp"}})
    denoiser = build_denoiser(recipe, 2, Parts(network), 0, classes=3)
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(n) % 3
    build_loss(recipe, denoiser, Parts(network))(torch.randn(n, 2, generator=generator), generator, labels)
    given = network.given[0]
    hidden = given == -1
    # Four standard errors of a share; none at all where none are hidden.
    assert float(hidden.double().mean()) == pytest.approx(share, abs=4 * (share * (1 - share) / n) ** 0.5)
    assert torch.equal(given[~hidden], labels[~hidden])
    counts = torch.bincount(labels[hidden], minlength=3).double()  # classes are hidden alike
    assert (counts - n * share / 3).abs().max() <= 4 * (n * share / 3) ** 0.5


@pytest.mark.parametrize("recipe", ["moons-classes", "ring-sliced-score", "parabola-learned-schedule", "ddpm-vlb"])
def test_every_objective_of_a_denoiser_can_be_told_classes_and_stop_early(recipe: str) -> None:
    changed = load_recipe(recipe).updated(
        {
            "data": {"name": "moons", "label": "class", "rows": 100},
            "schedule": {"T": 10 if load_recipe(recipe).schedule.get("T") else None},
            "train": {"steps": 10, "epochs": None, "batch": 32, "validation": 0.1},
            "sample": {"steps": None},
        }
    )
    model = driftfield.fit(None, changed, device="cpu")
    assert model.classes == ("upper", "lower")
    assert np.isfinite(model.history[-1]["validation"])
    assert not np.allclose(model.sample(5, label="upper"), model.sample(5, label="lower"))


@pytest.fixture(scope="module")
def numbered() -> Model:
    """Classes 1, 2 and 10, given by the keyword of fit."""
    rng = np.random.default_rng(3)
    kinds = rng.choice([1, 2, 10], 300, p=[0.5, 0.3, 0.2])
    rows = pd.DataFrame({"x": rng.normal(size=300) + kinds, "kind": kinds})
    return driftfield.fit(rows, label="kind", steps=5, network={"width": 8}, batch=32)


@pytest.mark.parametrize(
    "label", [[1, 10, 2], np.array([1, 10, 2]), torch.tensor([1, 10, 2]), ("1", "10", "2"), [1.0, 10.0, "2"]]
)
def test_whole_numbers_arrays_and_tensors_name_classes(numbered: Model, label: Any) -> None:
    assert set(numbered.classes) == {"1", "2", "10"}
    assert_array_equal(numbered.sample(3, label=label), numbered.sample(3, label=["1", "10", "2"]))
    assert_array_equal(numbered.sample(3, label=2), numbered.sample(3, label="2"))
    assert_array_equal(numbered.sample(3, label=torch.tensor(2)), numbered.sample(3, label="2"))
    with pytest.raises(InputError, match='Unknown class "3"'):
        numbered.sample(3, label=3)


def test_numbers_and_truth_values_find_the_class_whose_text_they_are(numbered: Model) -> None:
    for classes, label, name in (
        (("001", "002"), 2, "002"),
        (("False", "True"), True, "True"),
        (("0", "1"), True, "1"),
    ):
        named = replace(numbered, classes=classes)
        assert class_names(named, label, 2) == [name, name]
    with pytest.raises(InputError, match="Unknown class"):
        class_names(replace(numbered, classes=("1", "01")), 1.0, 1)  # two classes have this number


def test_drawn_classes_are_as_frequent_as_in_the_data_and_belong_to_their_rows(model: Model, tmp_path: Path) -> None:
    rows, names = model.sample_labelled(800, 4)
    share = model.class_counts[0] / sum(model.class_counts)
    assert abs(names.count("cat") / 800 - share) < 4 * 0.5 / 800**0.5  # four standard errors
    assert np.mean(np.sign(rows[:, 0]) == np.sign([CENTRES[name] for name in names])) > 0.98
    later, later_names = model.sample_labelled(10, 4, start=790)
    assert later_names == names[790:]
    assert_allclose(later, rows[790:], rtol=1e-4)
    assert driftfield.load(model.save(tmp_path / "run")).sample_labelled(5, 4)[1] == names[:5]
    assert model.sample_labelled(2, label="dog")[1] == ["dog", "dog"]
    with pytest.raises(InputError, match="how often"):
        replace(model, class_counts=()).sample_labelled(2)
