import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driftfield.codecs.scaling import Scaler
from driftfield.diffusion import HEADS
from driftfield.errors import InputError
from driftfield.recipes.building import Parts, build_denoiser
from driftfield.recipes.defaults import FINEST, SAMPLING_STEPS, as_table, resolution, resolve
from driftfield.recipes.schema import Recipe, load_recipe


def gaussian(n: int, D: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, D)).astype(np.float32)


def line(n: int, width: float, D: int = 2, seed: int = 0) -> np.ndarray:
    """A segment of unit variance, and noise of the given width across it."""
    rng = np.random.default_rng(seed)
    rows = width * rng.standard_normal((n, D))
    rows[:, 0] = rng.uniform(-math.sqrt(3), math.sqrt(3), n)
    return rows.astype(np.float32)


def neighbours_apart(rows: np.ndarray, k: int = 30) -> float:
    """Root mean square distance to the nearest k rows, per dimension, of the typical row."""
    squares = np.sort(((rows[:200, None].astype(float) - rows[None]) ** 2).sum(-1), axis=1)[:, 1 : k + 1]
    return float(np.median(np.sqrt(squares.mean(1) / rows.shape[1])))


@pytest.mark.parametrize("width", [0.003, 0.01, 0.02])
def test_the_resolution_of_a_line_is_about_its_width(width: float) -> None:
    # 30 of 1,000 rows reach over 0.1 of the line, many widths, so the thin axis shows; a quantile below the median of
    # standard deviations of 30 rows lies some tenths below.
    assert 0.6 * width < resolution(line(1000, width)) < 1.2 * width


def test_the_resolution_of_a_thin_sheet_in_many_dimensions_is_its_width() -> None:
    rows = gaussian(2000, 4)
    rows[:, 3] = 0.01 * rows[:, 3]
    assert 0.5 * 0.01 < resolution(rows) < 1.2 * 0.01


@pytest.mark.parametrize(("n", "D"), [(300, 1), (300, 2), (3000, 2), (2000, 4), (1000, 8)])
def test_the_resolution_of_a_round_cloud_is_the_spacing_of_its_rows(n: int, D: int) -> None:
    rows = gaussian(n, D)
    # The smallest axis of 30 or 40 neighbours is shorter than the typical one, the more so the more axes there are.
    assert 0.3 < resolution(rows) / neighbours_apart(rows) < 1.1


def test_more_rows_resolve_finer_structure() -> None:
    coarse, fine = resolution(gaussian(1000, 2)), resolution(gaussian(16_000, 2))
    assert coarse / fine == pytest.approx(4, rel=0.2)  # the spacing of n rows in the plane is n^(-1/2)


@pytest.mark.parametrize("D", [10, 30, 31, 40, 64, 100])
def test_many_columns_are_not_taken_for_thin_structure(D: int) -> None:
    """30 neighbours span at most 30 axes: with more columns the smallest one would be 0, whatever the data."""
    for n in (40, 120, 500):
        assert resolution(gaussian(n, D)) > 0.15


@settings(deadline=None, derandomize=True, max_examples=40, database=None)
@given(n=st.integers(1, 60), D=st.integers(1, 12), copies=st.booleans())
def test_the_resolution_of_any_rows_is_between_its_bounds(n: int, D: int, copies: bool) -> None:
    rows = gaussian(n, D)
    assert FINEST <= resolution(np.concatenate([rows] * 40) if copies else rows) <= 1


def test_the_resolution_does_not_depend_on_the_order_of_the_rows() -> None:
    rows = line(800, 0.01)
    assert resolution(rows[::-1].copy()) == pytest.approx(resolution(rows), rel=1e-5)  # sums in another order


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1e30])
def test_what_is_chosen_does_not_depend_on_the_units(scale: float) -> None:
    rows = line(2500, 0.05, D=3).astype(float) @ np.array([[1.0, 0.2, 0.0], [0.0, 1.0, 0.5], [0.3, 0.0, 1.0]])
    chosen = [
        resolve(Recipe(), Scaler.fit(factor * rows, "standard").forward(factor * rows), 2500) for factor in (1.0, scale)
    ]
    assert chosen[0] == chosen[1]


def option(recipe: Recipe, section: str, key: str) -> object:
    """A key of a section; mean and std are options of the times."""
    place = recipe.objective.times if key in ("mean", "std") else getattr(recipe, section)
    return getattr(place, key)


@pytest.mark.parametrize(("n", "D"), [(100, 1), (100, 100), (3000, 2), (30_000, 10), (20_000, 40)])
def test_every_open_choice_is_made(n: int, D: int) -> None:
    recipe = resolve(Recipe(), gaussian(min(n, 3000), D), n)
    for section, keys in {
        "schedule": ("sigma_min", "sigma_max"),
        "network": ("width", "depth", "frequencies"),
        "objective": ("mean", "std"),
        "train": ("steps", "batch", "lr", "validation"),
    }.items():
        for key in keys:
            assert option(recipe, section, key) is not None, key
    assert recipe.schedule.sigma_min < 0.05 < 10 < recipe.schedule.sigma_max
    assert resolve(recipe, gaussian(500, D), n) == recipe  # nothing is open any more


def test_only_tables_that_are_not_wide_start_from_a_mixture() -> None:
    for D, components in ((3, None), (32, None), (33, 0)):
        assert resolve(as_table(Recipe()), gaussian(300, D), 300).network.components == components
    asked = as_table(Recipe().updated({"network": {"components": 2}}))
    assert resolve(asked, gaussian(300, 33), 300).network.components == 2


def test_a_choice_that_was_made_is_kept() -> None:
    asked = {
        "schedule": {"sigma_min": 0.05, "sigma_max": 50.0},
        "network": {"width": 17, "depth": 2, "frequencies": [3.0]},
        "objective": {"mean": 0.0, "std": 0.7},
        "train": {"steps": 11, "batch": 7, "lr": 0.123, "validation": 0.0},
    }
    recipe = resolve(Recipe.parse(asked), gaussian(500, 2), 500)
    for section, values in asked.items():
        for key, value in values.items():
            kept = option(recipe, section, key)
            assert (list(kept) if isinstance(value, list) else kept) == value, key


@pytest.mark.parametrize("width", [0.003, 0.03])
def test_noise_levels_and_features_reach_down_to_the_structure_and_not_far_below(width: float) -> None:
    rows = line(1500, width)
    recipe, delta = resolve(Recipe(), rows, 1500), resolution(rows)
    assert delta / 30 < recipe.schedule.sigma_min < delta / 2
    assert recipe.network.frequencies is not None
    assert 0.05 < max(recipe.network.frequencies) * delta <= 1
    # The noise levels that are trained on centre between the structure and the data's size.
    assert math.log(delta) < recipe.objective.times.mean < 0


def test_features_are_left_out_where_the_network_cannot_use_them() -> None:
    rows = line(1500, 0.01)
    for sections in ({"network": {"embedding": "concat"}}, {"denoiser": {"scale_input": False}}):
        assert resolve(Recipe.parse(sections), rows, 1500).network.frequencies == ()


def test_another_schedule_is_given_no_noise_levels_of_ve() -> None:
    recipe = resolve(Recipe.parse({"schedule": {"kind": "vp"}}), gaussian(500, 2), 500)
    assert recipe.schedule == load_recipe("ring-score-sde").schedule  # its own defaults, written out there


def test_an_open_weight_gives_every_head_the_loss_of_the_edm_head() -> None:
    rows = gaussian(200, 2)
    for head in HEADS:
        recipe = resolve(Recipe.parse({"denoiser": {"head": head}}), rows, 200)
        assert recipe.objective.weight.kind == ("simple" if head == "edm" else "edm")  # equal for that head
        given = Recipe.parse({"denoiser": {"head": head}, "objective": {"weight": "simple"}})
        assert resolve(given, rows, 200).objective.weight.kind == "simple"
    bound = Recipe.parse({"denoiser": {"head": "x0"}, "objective": {"kind": "bound"}})
    assert "weight" not in type(resolve(bound, rows, 200).objective).model_fields


def test_the_output_is_scaled_only_where_the_target_has_no_fixed_size() -> None:
    scaled = [
        h
        for h in HEADS
        if resolve(Recipe.parse({"denoiser": {"head": h}}), gaussian(200, 2), 200).denoiser.scale_output
    ]
    assert scaled == ["score", "flow"]
    assert not build_denoiser(Recipe.parse({"denoiser": {"head": "score"}}), 2, Parts(), 0).scale_output  # as was saved


def length(**train: object) -> tuple[int | None, int | None, tuple[int, ...]]:
    """Steps, epochs and snapshots of a training on 200 rows."""
    recipe = resolve(Recipe.parse({"train": train}), gaussian(200, 2), 200)
    return recipe.train.steps, recipe.train.epochs, recipe.train.snapshots


def test_epochs_and_the_snapshots_that_they_count_become_steps() -> None:
    # 200 rows make four batches of 64, the last of 8.
    assert length(epochs=3, batch=64, snapshots=[1, 3]) == (12, None, (4, 12))
    assert length(epochs=1, batch=1000) == (1, None, ())
    assert length(steps=3, batch=64, snapshots=[1, 3]) == (3, None, (1, 3))


def test_an_epoch_of_fresh_rows_is_one_step() -> None:
    asked = Recipe.parse({"data": {"fresh": True}, "train": {"epochs": 7, "batch": 64, "snapshots": [2]}})
    train = resolve(asked, gaussian(200, 2), 200).train
    assert (train.steps, train.snapshots) == (7, (2,))


def test_epochs_and_steps_together_are_refused() -> None:
    with pytest.raises(InputError, match=r"train\.steps and train\.epochs"):
        length(epochs=3, steps=12, batch=64)


@pytest.mark.parametrize("sampler", ["ancestral", "ancestral-large", "kernel"])
def test_samplers_that_walk_a_chain_take_all_its_steps(sampler: str) -> None:
    for T in (20, 77):
        asked = Recipe.parse({"schedule": {"kind": "linear", "T": T}, "sample": {"sampler": sampler}})
        assert resolve(asked, gaussian(200, 2), 200).sample.steps == T
    asked = Recipe.parse({"schedule": {"kind": "linear", "T": 77}})
    assert resolve(asked, gaussian(200, 2), 200).sample.steps == SAMPLING_STEPS
