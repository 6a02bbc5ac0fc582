"""Each tutorial's report has the figures of the tutorial, the numbers beside them, and the three closing sections."""

import re
from importlib import import_module

import numpy as np
import pytest
from matplotlib.figure import Figure

import driftfield
from driftfield.datasets import DISTRIBUTIONS
from driftfield.evaluation import metrics
from driftfield.evaluation.metric import Metric
from driftfield.recipes.schema import load_recipe
from driftfield.report import Contents, Link, Section
from driftfield.report import gather as gathering
from driftfield.report.panels import figure
from driftfield.report.style import LIGHT
from driftfield.tutorials import TUTORIALS, chapters, classes, measure, results, ring, vlb, x0
from driftfield.tutorials.report import CHAPTERS, contents_of
from driftfield.tutorials.results import Results

SMALL = {  # constants of the modules, as small as their pictures allow
    measure: {"ROWS": 100},
    results: {"ROWS": 100, "DEFAULT_SECONDS": 0.15, "FIRST_SECONDS": 0.1},
    chapters: {"POINTS": 60},
    classes: {"ROWS": 100, "PER_CLASS": 50, "STRIDES": (20, 5)},
    ring: {
        "ROWS": 100,
        "ROWS_OF_HISTOGRAMS": 500,
        "ROWS_OF_DENSITIES": 100,
        "PARTICLES": 400,
        "CELLS": 48,
        "STEPS": 12,
    },
    vlb: {"ROWS": 60, "PATHS": 500, "IMPORTANCE_PATHS": 2},
    gathering: {"GRID_CELLS": 12, "ARROWS": 4, "FILM_ROWS": 100, "FILM_FRAMES": 5, "SHOWN_ROWS": 100},
    x0: {"BOUND_ROWS": 60, "SCHEDULE_ROWS": 500},
}
SCORE_ERRORS = ring.score_errors  # the tests of reports do without
T = 20
SHORT = {
    "data": {"rows": 300},
    "train": {"batch": 100, "epochs": 3, "steps": None, "lr": 1e-3},
    "likelihood": {"steps": 2},
}
FIRST = {  # chapters that the tutorials' figures ask for, by the recipe
    "swiss-roll-elbo": ["tutorial-data", "tutorial-forward", "tutorial-reverse", "tutorial-loss", "tutorial-result"],
    "ddpm-vlb": ["tutorial-data", "closed-forms", "tutorial-loss", "tutorial-result", "terms", "ladder"],
    "ring-score-sde": ["tutorial-data", "ring-histograms", "tutorial-loss", "ring-sliced", "smoluchowski"],
}
FIRST["ring-sliced-score"] = FIRST["ring-score-sde"]
PROCESS = ["tutorial-data", "tutorial-schedules", "tutorial-forward", "tutorial-reverse", "tutorial-loss"]
for _name in ("moons-ddpm", "s-curve-ddpm", "swiss-roll-ddpm"):
    FIRST[_name] = [*PROCESS, "tutorial-result", "tutorial-film"]
FIRST["moons-circles-x0"] = [*PROCESS, "tutorial-result", "tutorial-film", "learned-variance"]
FIRST["parabola-x0"] = [*FIRST["moons-circles-x0"], "learned-schedule"]
FIRST["moons-classes"] = [
    name for name in [*PROCESS, "tutorial-result", "tutorial-film", "guidance", "striding"] if "schedules" not in name
]


GIF = b"GIF89a" + bytes(10)


def same_accuracy(samples: np.ndarray, real: np.ndarray, seed: int) -> list[Metric]:
    """In place of two classifiers, which have tests of their own."""
    return [Metric("c2st", "C2ST", 0.625, 0.5, 0.01, 0.01, "accuracy", 0.5, len(samples), "")] * 2


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that a tutorial measures, made small; what takes long in any case is tested elsewhere."""
    for module, values in SMALL.items():
        for name, value in values.items():
            monkeypatch.setattr(module, name, value)
    for distribution in DISTRIBUTIONS.values():
        if "entropy" not in vars(distribution):  # its quadrature takes seconds for some
            monkeypatch.setitem(vars(distribution), "entropy", 1.0)
    monkeypatch.setattr(measure, "c2st", same_accuracy)
    monkeypatch.setattr(metrics, "c2st", same_accuracy)
    monkeypatch.setattr(ring, "score_errors", lambda model, x, levels: np.ones_like(levels))


def taught(name: str) -> tuple[Results, Contents]:
    """A tutorial after three epochs on 300 rows, studied."""
    recipe = load_recipe(name)
    if recipe.train.epochs:
        recipe = recipe.updated({"train": {"snapshots": [epoch for epoch in recipe.train.snapshots if epoch < 3][:1]}})
    recipe = recipe.updated(SHORT).updated(
        {"schedule": {"T": T}} if recipe.schedule.get("T") else {"sample": {"steps": T}}
    )
    model = driftfield.fit(None, recipe, device="cpu")
    model.facts["command"] = f"driftfield tutorial {name}"
    found = results.study(TUTORIALS[name], model, 0, lambda text: None)
    return found, contents_of(found, "runs/x")


def draw(sections: tuple[Section, ...]) -> dict[str, Figure]:
    """The pictures of the sections that have some, laid out."""
    drawn = {each.anchor: figure(each.panels, LIGHT, each.across) for each in sections if each.panels}
    for anchor, picture in drawn.items():
        assert all(axes.has_data() or axes.child_axes for axes in picture.axes), anchor
    return drawn


def strip_lengths(drawn: Figure) -> list[int]:
    """How many clouds each strip of a section shows, in the drawing."""
    return [len(axes.child_axes) for axes in drawn.axes]


@pytest.mark.slow
@pytest.mark.parametrize("name", TUTORIALS)
def test_a_tutorials_report_has_all_its_chapters_and_their_figures(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name != "moons-ddpm":
        monkeypatch.setattr(chapters, "gif_bytes", lambda *arguments, **options: GIF)
    found, contents = taught(name)
    sections = {section.anchor: section for section in contents.chapters}
    assert list(sections) == [*FIRST[name], "diagnosis", "repair", "bridge"]
    drawn = draw(contents.chapters)
    assert set(drawn) == set(sections) - {"tutorial-film", "diagnosis", "bridge"}
    panels = [panel.name for section in contents.chapters for panel in section.panels]
    assert len(set(panels)) == len(panels)  # a name is a place on the page

    if "tutorial-forward" in sections:
        expected = 10 if name.endswith("-ddpm") else 11
        assert strip_lengths(drawn["tutorial-forward"]) == [expected]
        strips = len(found.model.snapshots) + 1
        assert strip_lengths(drawn["tutorial-reverse"]) == [expected] * strips
    if "guidance" in sections:
        assert strip_lengths(drawn["guidance"]) == [4]
    _closing(found, sections)
    CHECKS.get(name, lambda found, sections: None)(found, sections)
    assert found.summary()["accuracy"] == 0.625
    assert f"driftfield tutorial {name}" in contents.next_steps[0][0]


def _closing(found: Results, sections: dict[str, Section]) -> None:
    """The diagnosis names every fault, the repair compares, and the bridge leads to modules that explain themselves."""
    diagnosis = sections["diagnosis"]
    assert diagnosis.table is not None
    assert [row[0] for row in diagnosis.table.rows] == [fault.what for fault in found.tutorial.faults]
    for row, fault in zip(diagnosis.table.rows, found.tutorial.faults, strict=True):
        assert ("→" in str(row[2])) == bool(fault.sampling)
    assert "signal variance" in diagnosis.prose[0] or "reaches its prior" in diagnosis.prose[0]
    repair = sections["repair"]
    assert len(repair.panels) == 2
    assert repair.table is not None
    assert len(repair.table.rows) >= 4
    bridge = sections["bridge"]
    anchors = {details.anchor for details in bridge.details}
    links = [cell for row in bridge.table.rows for cell in row if isinstance(cell, Link)]
    assert len(links) == len(found.tutorial.ideas)
    assert {link.anchor for link in links} == anchors
    for details in bridge.details:
        assert len(details.text) > 40
        assert details.text.split()[0] in (import_module(details.summary).__doc__ or "")


def _elbo(found: Results, sections: dict[str, Section]) -> None:
    table = sections["tutorial-loss"].table
    assert table is not None
    assert table.rows[0][:2] == ("1", "0.805")  # what the tutorial prints after its first epoch


def _film(found: Results, sections: dict[str, Section]) -> None:
    import io

    from PIL import Image

    assert Image.open(io.BytesIO(sections["tutorial-film"].gif)).n_frames == 200
    table = sections["tutorial-loss"].table
    assert table is not None
    assert table.rows[0][0] == "1"
    assert [len(sections[key].panels) for key in ("tutorial-data", "tutorial-schedules")] == [3, 2]
    assert [row[0] for row in sections["tutorial-schedules"].table.rows] == ["linear", "quadratic", "sigmoid"]


POWERS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")


def numbers_of(cell: object) -> list[float]:
    """The numbers of a cell, "(9.87 ± 0.06)·10⁻⁴" too."""
    text, dot, power = str(cell).replace("−", "-").partition("·10")
    factor = 10.0 ** int(power.translate(POWERS)) if dot else 1.0
    return [factor * float(part) for part in text.strip("()").split(" ± ")]


def _bound(found: Results, sections: dict[str, Section]) -> None:
    assert [row[0] for row in sections["terms"].table.rows] == ["learned", "small", "large"]
    for row in sections["closed-forms"].table.rows:
        closed, (simulated, error) = numbers_of(row[2])[0], numbers_of(row[3])
        # Of some thirty numbers none is off by five standard errors; a hundredth of the number is lost in its digits.
        assert abs(closed - simulated) < 5 * error + 1e-2 * abs(closed), row


def _ring(found: Results, sections: dict[str, Section]) -> None:
    assert [panel.name for panel in sections["ring-histograms"].panels] == [
        "ring-data", "ring-samples", "ring-radius", "ring-angle",
    ]  # fmt: skip
    objectives = [row[0] for row in sections["ring-sliced"].table.rows]
    assert objectives == ["denoising", "sliced", "denoising, network of sliced", "the distribution"]
    table = sections["smoluchowski"].table
    assert len(sections["smoluchowski"].panels) == len(table.rows) == 4
    for row in table.rows:
        assert float(str(row[1])) == pytest.approx(1, abs=0.05)  # mass, on a grid of 48 cells


def _parabola(found: Results, sections: dict[str, Section]) -> None:
    assert [row[0] for row in sections["learned-variance"].table.rows] == ["learned", "small", "large"]
    if "learned-schedule" in sections:
        assert [row[0] for row in sections["learned-schedule"].table.rows] == ["straight line", "learned"]


def _classes(found: Results, sections: dict[str, Section]) -> None:
    assert [row[0] for row in sections["guidance"].table.rows] == ["the distribution", "0", "1", "2", "4"]
    assert sections["striding"].table.header == ("sampler", "20 steps", "5 steps")
    assert [row[0] for row in sections["striding"].table.rows] == ["ancestral", "ddim", "dpmpp-2m"]


CHECKS = {
    "swiss-roll-elbo": _elbo,
    "ddpm-vlb": _bound,
    "moons-ddpm": _film,
    "ring-score-sde": _ring,
    "ring-sliced-score": _ring,
    "parabola-x0": _parabola,
    "moons-circles-x0": _parabola,
    "moons-classes": _classes,
}


def test_every_chapter_is_in_the_table_and_the_table_holds_no_other() -> None:
    assert {chapter for tutorial in TUTORIALS.values() for chapter in tutorial.chapters} == set(CHAPTERS)


def test_the_module_of_an_idea_defines_the_names_of_its_part() -> None:
    for idea in (idea for tutorial in TUTORIALS.values() for idea in tutorial.ideas):
        for name in re.findall(r"\b[A-Za-z]*[A-Z_]\w*", idea.part):
            assert hasattr(import_module(idea.module), name), idea


def test_every_tutorial_has_a_recipe_of_its_name_on_a_distribution_and_faults_whose_settings_are_keys() -> None:
    for name, tutorial in TUTORIALS.items():
        assert tutorial.name == name
        recipe = load_recipe(name)
        assert recipe.data.name is not None
        for fault in tutorial.faults:
            if " " not in fault.setting and fault.setting:
                section, key = fault.setting.split(".")
                assert key in type(getattr(recipe, section)).model_fields
        for companion in tutorial.companions.values():
            load_recipe(companion.recipe or name).updated(companion.changes)


def test_the_error_of_a_score_is_relative_to_the_exact_one() -> None:
    ring_of_data = DISTRIBUTIONS["ring"]

    class TooLarge:
        distribution = ring_of_data

        def score(self, x: np.ndarray, noise: float) -> np.ndarray:
            return 1.1 * ring_of_data.score(x, noise)

    errors = SCORE_ERRORS(TooLarge(), ring_of_data.sample(50, 0), np.array([0.1, 1.0]))
    assert errors == pytest.approx([0.1, 0.1], rel=1e-9)  # in float64, at any rows and levels


def test_rows_that_start_from_noised_data_are_closer_than_those_from_a_prior_that_is_missed() -> None:
    """A nearly untrained model of whitened rows is their Gaussian; a chain that stops early keeps their mean."""
    schedule = {"kind": "linear", "T": 20, "beta_start": 1e-3, "beta_end": 0.05}
    recipe = {
        "schedule": schedule,
        "train": {"prior": "standard", "validation": 0.0},
        "sample": {"sampler": "ancestral", "grid": "uniform"},
    }
    model = driftfield.fit("gaussian", recipe, rows=2000, steps=1, lr=1e-12, scaling="none", network={"width": 8})
    assert model.prior_mismatch.signal > 0.5
    rows, distribution = measure.from_noised_data(model, 2_000), DISTRIBUTIONS["gaussian"].sample(2_000, 5)
    own = model.sample(2_000)
    # The distribution's mean is (1, -1); a chain whose end keeps more than half of the variance keeps most of it.
    assert np.abs(rows.mean(0) - distribution.mean(0)).max() < np.abs(own.mean(0) - distribution.mean(0)).max()
