"""What would take more memory than there is, is refused before it is taken, with its size."""

from pathlib import Path

import pytest

import driftfield
from driftfield import memory
from driftfield.errors import InputError
from driftfield.memory import require
from driftfield.recipes.building import build_denoiser, weights
from driftfield.recipes.schema import Recipe

HUGE = 10**12
TINY = {"network": {"width": 8}, "train": {"steps": 2, "batch": 16}, "data": {"rows": 200}}


@pytest.fixture
def _four_gigabytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available", lambda: 4 * 10**9)


@pytest.mark.usefixtures("_four_gigabytes")
def test_the_message_states_both_sizes() -> None:
    require(3.9e9, "These", "take fewer")
    for needed, shown in (
        (16e12, "16 TB"),
        (4.3e9, "4.3 GB"),
        (9.98e9, "10 GB"),
        (999.6e9, "1.0 TB"),
        (5e18, "5,000 PB"),
    ):
        with pytest.raises(InputError) as raised:
            require(needed, "These", "take fewer")
        assert str(raised.value) == f"These need at least {shown} of memory, but 4.0 GB are free: take fewer."


def test_the_memory_that_is_free_is_that_of_this_machine() -> None:
    assert memory.available() > 10**8
    require(10**6, "These", "take fewer")


@pytest.mark.usefixtures("_four_gigabytes")
@pytest.mark.parametrize(
    ("sections", "what"),
    [
        ({"network": {"width": HUGE}}, "weights of the network"),
        ({"network": {"depth": HUGE}}, "weights of the network"),
        ({"network": {"widths": [10**6, 10**6]}}, "weights of the network"),
        ({"network": {"width": 6_000}}, "weights"),  # fits, but not with all that training keeps of it
        ({"network": {"width": 500}, "train": {"snapshots": list(range(1, 2_000)), "steps": 2_000}}, "1,999 snapshots"),
        ({"train": {"batch": HUGE}}, "rows of a step"),
        ({"data": {"rows": HUGE}}, "1,000,000,000,000 rows"),
        ({"data": {"rows": HUGE, "name": "moons", "label": "class"}}, "1,000,000,000,000 rows"),
        ({"data": {"fresh": True}, "train": {"batch": HUGE}}, "rows"),
        ({"schedule": {"kind": "linear", "T": HUGE}}, "tables of schedule.T = 1,000,000,000,000"),
        ({"schedule": {"kind": "learned", "hidden": HUGE}, "objective": {"kind": "bound"}}, "schedule.hidden"),
        (
            {"schedule": {"kind": "linear", "T": 10**7}, "network": {"kind": "conditional-mlp"}},
            "weights of the network",
        ),
    ],
)
def test_a_recipe_that_needs_too_much_is_refused_before_anything_is_written(
    sections: dict[str, dict[str, object]], what: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=rf"{what}.* need at least .+B of memory, but 4\.0 GB are free: "):
        driftfield.fit("moons", {"data": {"rows": 200}, **sections}, out=tmp_path / "run", device="cpu")
    assert list(tmp_path.iterdir()) == []


def test_requests_of_a_model_that_need_too_much_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = driftfield.fit("moons", TINY, device="cpu")
    rows = model.held_out[:3]
    monkeypatch.setattr(memory, "available", lambda: 4 * 10**9)
    for ask in (
        lambda: model.sample(HUGE),
        lambda: model.sample(3, steps=HUGE),
        lambda: model.evaluate(HUGE),
        lambda: model.trajectory(HUGE),
        lambda: model.trajectory(10, frames=HUGE),
        lambda: model.log_prob(rows, divergence="hutchinson", probes=HUGE),
        lambda: model.importance_bound(rows, paths=HUGE),
    ):
        with pytest.raises(InputError, match=r"need at least .+B of memory, but 4\.0 GB are free: "):
            ask()


@pytest.mark.parametrize(
    "sections",
    [
        {"network": {"width": 300, "depth": 4}},
        {"network": {"widths": [200, 400, 100]}},
        {"network": {"kind": "conditional-mlp", "width": 300, "depth": 3}, "schedule": {"kind": "linear", "T": 40}},
    ],
)
def test_weights_are_counted_from_the_options_alone(sections: dict[str, dict[str, object]]) -> None:
    """To a fifth: biases, and the features of time and place, are left out."""
    from driftfield.recipes.building import Parts

    recipe = Recipe.parse(sections)
    denoiser = build_denoiser(recipe, 5, Parts(), 0)
    T = recipe.schedule.get("T")
    counted = sum(weight.numel() for name, weight in denoiser.named_parameters() if "network" in name)
    assert weights(recipe.network, 5, T) == pytest.approx(counted, rel=0.2)
