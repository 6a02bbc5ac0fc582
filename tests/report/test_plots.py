"""Pictures show what they say: names as they are, the same axes for both sides, numbers in their place."""

from dataclasses import replace

import matplotlib
import numpy as np
import pytest
from synthetic import METRICS, FakeMetric, history, synthetic, synthetic_table

from driftfield.report import Contents, Panel, ScoreField, clouds, curves, dots, histograms, maps
from driftfield.report.panels import figure
from driftfield.report.style import DARK, LIGHT, THEMES, Theme
from driftfield.report.view import common_interval, fitted_view, interval


def beside(contents: Contents) -> list[Panel]:
    return clouds.data_beside_samples(contents.train, contents.samples, contents.columns)


def marginals(contents: Contents) -> list[Panel]:
    return histograms.marginals(contents.train, contents.samples, contents.columns)


def test_data_and_samples_have_identical_axes() -> None:
    drawn = figure(beside(synthetic(500, 20, 3)), LIGHT)
    left, right = drawn.axes
    assert left.get_xlim() == right.get_xlim()
    assert left.get_ylim() == right.get_ylim()
    assert [axis.get_title(loc="left") for axis in drawn.axes] == ["The data", "Samples from the model"]
    assert len(left.lines[0].get_xdata()) == len(right.lines[0].get_xdata())


def test_names_are_never_read_as_mathematics() -> None:
    contents = synthetic_table(("$x^2$", "$\\frac{"), rows=30)
    drawn = figure(beside(contents), DARK)
    for axes in drawn.axes:
        assert axes.get_xlabel() == "$x^2$"
        assert axes.get_ylabel() == "$\\frac{"
        assert not axes.xaxis.label.get_parse_math()


def test_drawing_leaves_matplotlibs_settings_alone() -> None:
    before = dict(matplotlib.rcParams)
    figure(marginals(synthetic_table(("a", "b", "c"), rows=30)), DARK)
    assert dict(matplotlib.rcParams) == before


def test_points_outside_the_frame_are_counted_in_the_picture() -> None:
    contents = synthetic(500, 20, 3)
    contents.samples[:7] = 1e6
    _, right = figure(beside(contents), LIGHT).axes
    assert [text.get_text() for text in right.texts] == ["7 of 500 outside"]


@pytest.mark.filterwarnings("error")
def test_numbers_that_are_not_finite_spoil_no_picture() -> None:
    nothing = np.full(4, np.nan)
    figure([histograms.nearest_neighbours(nothing, nothing)], LIGHT)
    figure([curves.loss([{"step": 1, "loss": float("nan")}])], LIGHT)
    contents = synthetic(300, 20, 3)
    figure([maps.density(replace(contents.density, log_density=np.full((90, 90), -np.inf)), ("x", "y"), 1.0)], LIGHT)
    contents.samples[:2] = np.nan
    figure(
        [clouds.pairs(contents.train, contents.samples, contents.columns), *marginals(contents), *beside(contents)],
        LIGHT,
    )


def test_every_axis_has_a_name() -> None:
    contents = synthetic(300, 20, 3)
    panels = [
        *beside(contents),
        clouds.score_field("score", contents.scores[0], contents.train, contents.columns, 1.0),
        maps.density(contents.density, contents.columns, 1.0),
        histograms.nearest_neighbours(*contents.neighbours),
        curves.loss(history()),
        *curves.schedule("linear", *np.linspace(0.1, 1, 80).reshape(4, 20)),
    ]
    for panel in panels:
        axes = figure([panel], LIGHT).axes[0]
        assert axes.get_xlabel(), panel.name
        assert axes.get_ylabel(), panel.name


def test_the_colour_bar_of_the_density_is_in_nats() -> None:
    contents = synthetic(300, 20, 3)
    axes = figure([maps.density(contents.density, contents.columns, 1.0)], LIGHT).axes[0]
    (bar,) = axes.child_axes
    assert bar.get_ylabel() == "log-density (nats)"


def test_arrows_follow_the_gradient_of_the_picture_at_any_scale() -> None:
    contents = synthetic_table(("a", "b"), rows=30)
    positions = np.array([[0.0, 0.0], [1e30, 0.0], [0.0, 1.0], [1e30, 1.0]])
    field = ScoreField(1.0, positions, np.tile([1e-30, 1.0], (4, 1)))  # both axes gain as much across the frame
    panel = clouds.score_field("score", field, contents.train, contents.columns, 0.8)
    quiver = figure([panel], LIGHT).axes[0].collections[-1]
    box = figure([panel], LIGHT).axes[0].get_box_aspect()
    np.testing.assert_allclose(quiver.V / quiver.U, 1 / box)


@pytest.mark.parametrize(
    ("metric", "holds"),
    [
        (METRICS[0], (0.45, 0.75)),  # an accuracy near one half looks near one half
        (FakeMetric("w2", "W2", 0.11, 0.10), (0.0, 0.2)),  # a distance starts at zero, twice the floor is in sight
        (FakeMetric("nll", "NLL", 1.02, 1.01, unit="nats"), (0.8, 1.2)),
        (FakeMetric("mmd", "MMD", -0.01, 0.02, 0.02, 0.02), (-0.03, 0.04)),
        (FakeMetric("x", "X", float("nan"), None), (0.0, 1.0)),
        (FakeMetric("copies", "Copies", 0.0, 0.0), (0.0, 0.5)),
    ],
)
def test_the_scale_of_a_metric_keeps_small_gaps_small(metric: FakeMetric, holds: tuple[float, float]) -> None:
    low, high = dots.metric_range(metric)
    assert low <= holds[0]
    assert high >= holds[1]


def luminance(colour: str) -> float:
    channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_text_and_marks_stand_out_from_the_paper(theme: Theme) -> None:
    for ground in (theme.paper, theme.raised):  # WCAG 2.2: 4.5 for text, 3 for marks
        assert contrast(theme.ink, ground) > 7
        assert contrast(theme.muted, ground) > 4.5
    assert contrast(theme.data, theme.paper) > 4.5
    assert contrast(theme.generated, theme.paper) > 4
    assert contrast(theme.warning, theme.paper) > 3


def test_ranges_survive_what_data_can_do() -> None:
    assert interval(np.array([np.nan, 1.0, 3.0, np.inf])) == (1.0, 3.0)
    assert interval(np.array([5.0, 5.0])) == (2.5, 7.5)
    assert interval(np.array([])) == (-0.5, 0.5)
    assert common_interval(np.array([0.0, 1.0]), np.array([0.5, 100.0]), pad=0.0) == (0.0, 1.25)
    view = fitted_view((0.0, 2.0), (0.0, 1.0))
    assert (view.high[1] - view.low[1]) / (view.high[0] - view.low[0]) == pytest.approx(view.aspect)
    assert fitted_view((0.0, 1e30), (0.0, 1.0)).high == (1e30, 1.0)
