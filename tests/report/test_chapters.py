"""The chapters of a tutorial's report: what their pictures draw, and what their sections say."""

import re
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.text import Text
from synthetic import film, moons
from test_report import FROM_ROWS, Page, bare

from driftfield.errors import InputError
from driftfield.report import (
    Curve,
    Details,
    Level,
    Link,
    Panel,
    Process,
    Section,
    Table,
    clouds,
    curves,
    dots,
    gif_bytes,
    histograms,
    maps,
    render,
    write_pictures,
    write_report,
)
from driftfield.report.axes import spread
from driftfield.report.figures import sections
from driftfield.report.panels import figure, picture
from driftfield.report.style import BLACKBOARD, DARK, LIGHT, THEMES, Theme
from driftfield.report.view import View

COLUMNS = ("x", "$y$")
STEPS = np.arange(1.0, 9.0)


def weight(panel: Panel) -> int:
    """The characters that a panel adds to a page of two themes."""
    return sum(len(picture(panel, theme).uri) for theme in (LIGHT, DARK))


def drawn(panel: Panel, theme: Theme = LIGHT) -> Axes:
    return figure([panel], theme).axes[0]


def steps(count: int = 11) -> list[tuple[str, np.ndarray]]:
    rows = moons(300, 0.1, 0)
    return [(f"t = {k / 10:.1f}", rows * (1 + k)) for k in range(count)]


def classed() -> list[tuple[str, np.ndarray, np.ndarray]]:
    rows = moons(90, 0.1, 0)
    labels = np.arange(90) % 3
    return [("w = 0", rows, np.full(90, -1)), ("w = 1", rows, labels), ("w = 4", rows, labels)]


def ring() -> tuple[np.ndarray, np.ndarray]:
    """The centres of a grid and a density on it that falls off faster across than up."""
    grid = np.linspace(-2, 2, 41)
    x, y = np.meshgrid(grid, grid)
    return grid, np.exp(-2 * x**2 - y**2 / 2)


def every_panel() -> list[Panel]:
    rows, epochs = moons(300, 0.1, 0), np.arange(1, 41)
    return [
        clouds.cloud("cloud", "A cloud", rows, COLUMNS),
        clouds.strip("strip", "A strip", steps(), COLUMNS),
        clouds.field_of_clouds("field", "Guidance", classed(), COLUMNS),
        curves.lines("lines", "Lines", STEPS, [Curve("one", STEPS), Curve("two", 2 * STEPS)], "step", "nats"),
        curves.training_loss("loss", "Loss", epochs, np.exp(-epochs / 10), {1: 0.9}),
        dots.ladder("ladder", "Bounds", [Level("entropy", 1.0), Level("bound", 1.2, 0.01)]),
        histograms.histogram("histogram", "A column", rows[:, 0], rows[:, 0], 20, "x"),
        maps.histogram_2d("histogram-2d", "A plane", rows, COLUMNS),
        maps.density_over_histogram("density", "Both", *ring(), rows, COLUMNS),
    ]


def test_a_cloud_is_all_there_under_the_names_of_its_columns() -> None:
    rows = moons(200, 0.1, 0)
    axes = drawn(clouds.cloud("cloud", "A cloud", rows, COLUMNS, real=False))
    (line,) = axes.lines
    np.testing.assert_array_equal(line.get_xydata(), rows)
    assert line.get_color() == LIGHT.generated
    assert (axes.get_xlabel(), axes.get_ylabel()) == COLUMNS


def test_a_cloud_beyond_its_view_is_counted() -> None:
    rows = np.concatenate([moons(95, 0.1, 0), np.full((5, 2), 40.0)])
    axes = drawn(clouds.cloud("cloud", "A cloud", rows, COLUMNS, view=View((-2, -2), (3, 3), 1.0)))
    assert (axes.get_xlim(), axes.get_ylim()) == ((-2, 3), (-2, 3))
    assert [text.get_text() for text in axes.texts] == ["5 of 100 outside"]


def test_a_strip_shows_every_cloud_in_one_view_with_ticks_at_the_first_only() -> None:
    panel = clouds.strip("strip", "A strip", steps(), COLUMNS)
    cells = drawn(panel).child_axes
    assert [cell.get_title() for cell in cells] == [label for label, _ in steps()]
    assert len({(*cell.get_xlim(), *cell.get_ylim()) for cell in cells}) == 1
    assert [len(cell.get_xticks()) for cell in cells] == [2] + [0] * 10
    assert (cells[0].get_xlabel(), cells[0].get_ylabel()) == COLUMNS
    assert cells[0].get_xticks() == pytest.approx(cells[0].get_xlim())
    assert panel.wide
    assert panel.size[0] == pytest.approx(13)
    assert 1.2 < panel.size[1] < 2.2


@pytest.mark.filterwarnings("error")
def test_a_cloud_that_has_left_the_view_of_its_strip_is_not_drawn() -> None:
    near, far, lost = moons(100, 0.1, 0), np.full((100, 2), 1e9), np.full((100, 2), np.nan)
    named = [("near", near), ("far", far), ("lost", lost)]
    panel = clouds.strip("strip", "A strip", named, COLUMNS, view=View((-2, -2), (3, 3), 1.0))
    assert [len(cell.lines[0].get_xdata()) for cell in drawn(panel).child_axes] == [100, 0, 0]
    drawn(clouds.strip("strip", "Nothing", [("lost", lost)], COLUMNS))


def test_each_class_has_its_colour_in_every_cloud() -> None:
    cells = drawn(clouds.field_of_clouds("field", "Guidance", classed(), COLUMNS)).child_axes
    colours = [[line.get_color() for line in cell.lines if len(line.get_xdata())] for cell in cells]
    assert colours == [[LIGHT.muted], list(LIGHT.cycle[:3]), list(LIGHT.cycle[:3])]
    np.testing.assert_array_equal(cells[1].lines[2].get_xydata(), moons(90, 0.1, 0)[1::3])  # after those of no class


def test_every_curve_is_drawn_in_a_colour_of_its_own() -> None:
    six = [Curve(f"schedule {k}", k + STEPS, dashed=k == 5) for k in range(6)]
    axes = drawn(curves.lines("lines", "Lines", STEPS, six, "step", "nats", size=(3.0, 2.5)))
    assert len({line.get_color() for line in axes.lines}) == 6
    assert [line.is_dashed() for line in axes.lines] == [False] * 5 + [True]
    for curve, line in zip(six, axes.lines, strict=True):
        np.testing.assert_array_equal(line.get_xydata(), np.column_stack([STEPS, curve.y]))
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [curve.label for curve in six]
    assert axes.get_legend()._ncols < 6  # six names do not fit in three inches
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("step", "nats")


def test_a_role_decides_the_colour_of_a_curve() -> None:
    roles = ("data", "generated", "muted", "ink", 4, None)
    one_each = [Curve(str(role), STEPS, role=role) for role in roles]
    found = [line.get_color() for line in drawn(curves.lines("lines", "Lines", STEPS, one_each, "x", "y"), DARK).lines]
    assert found == [DARK.data, DARK.generated, DARK.muted, DARK.ink, DARK.cycle[4], DARK.cycle[5]]


def test_errors_are_bars_on_a_short_curve_and_a_band_on_a_long_one() -> None:
    error = np.full(8, 0.5)
    axes = drawn(curves.lines("lines", "Lines", STEPS, [Curve("a", STEPS, error)], "x", "y"))
    (bars,) = axes.collections
    np.testing.assert_allclose([np.ptp(segment[:, 1]) for segment in bars.get_segments()], 1.0)
    long = np.arange(1.0, 101.0)
    axes = drawn(curves.lines("lines", "Lines", long, [Curve("a", long, np.full(100, 3.0))], "x", "y", log_y=True))
    (band,) = axes.collections
    ends = band.get_paths()[0].vertices[:, 1]
    assert ends.min() == pytest.approx(0.01)  # where the value less its error would be below zero
    assert ends.max() == pytest.approx(103)


@pytest.mark.filterwarnings("error")
def test_a_logarithmic_axis_leaves_out_what_it_cannot_show() -> None:
    y = np.array([1.0, 0.1, 0.0, -1.0, np.nan, 0.01, 0.001, 1e-4])
    axes = drawn(curves.lines("lines", "Lines", STEPS, [Curve("a", y)], "x", "y", log_x=True, log_y=True))
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert np.isfinite(axes.lines[0].get_ydata()).tolist() == [True, True, False, False, False, True, True, True]


def test_references_are_named_at_their_right_end_without_overlap() -> None:
    levels = [("entropy", 2.0), ("exact", 2.001), ("Gaussian", 8.0)]
    shown = figure([curves.lines("lines", "Lines", STEPS, [Curve("a", STEPS)], "x", "y", references=levels)], LIGHT)
    (axes,) = shown.axes
    assert [line.get_ydata()[0] for line in axes.lines[1:]] == [2.0, 2.001, 8.0]
    boxes = {text.get_text(): Text.get_window_extent(text) for text in axes.texts}
    assert list(boxes) == ["entropy", "exact", "Gaussian"]
    assert not boxes["entropy"].overlaps(boxes["exact"])
    assert boxes["entropy"].y1 < boxes["exact"].y1 < boxes["Gaussian"].y0  # in the order of the levels
    for box in boxes.values():
        assert box.x0 > axes.bbox.x1
        assert box.x1 <= shown.bbox.x1


@pytest.mark.parametrize(
    ("places", "moved"),
    [
        ([0.5, 0.1], [0.5, 0.1]),
        ([0.5, 0.5], [0.45, 0.55]),
        ([0.52, 0.5, 0.9], [0.56, 0.46, 0.9]),
        ([0.0, 0.1, 0.12, 0.3], [-0.03, 0.07, 0.17, 0.3]),
        ([], []),
    ],
)
def test_places_are_spread_around_their_middle(places: list[float], moved: list[float]) -> None:
    assert spread(places, 0.1) == pytest.approx(moved, abs=0.005)


def test_a_training_loss_has_the_printed_numbers_and_says_what_it_leaves_out() -> None:
    epochs, losses = np.arange(5), np.array([1.0, 0.5, -0.1, np.nan, 0.25])
    panel = curves.training_loss("loss", "Loss", epochs, losses, {0: 1.1, 4: 0.2, 3: 0.0}, x_label="step")
    axes = drawn(panel)
    line, printed = axes.lines
    assert line.get_xydata().tolist() == [[0, 1.0], [1, 0.5], [4, 0.25]]
    assert printed.get_xydata().tolist() == [[0, 1.1], [4, 0.2]]
    assert (printed.get_label(), printed.get_markerfacecolor()) == ("printed by the tutorial", LIGHT.paper)
    assert (axes.get_yscale(), axes.get_xlabel()) == ("log", "step")
    assert panel.alt == (
        "Loss: this run ends at 0.250; printed by the tutorial ends at 0.200; "
        "3 values that cannot be shown are left out."
    )


@pytest.mark.filterwarnings("error")
def test_a_loss_that_is_nowhere_positive_spoils_no_picture() -> None:
    panel = curves.training_loss("loss", "Loss", np.arange(3), np.zeros(3))
    picture(panel, LIGHT)
    assert "ends at 0." in panel.alt  # on a linear axis, where zero has its place


def test_a_ladder_names_its_levels_and_the_gaps_between_them() -> None:
    levels = [Level("entropy", 1.98, role="data"), Level("ODE", 2.03, 0.006, "generated"), Level("bound", 2.0, 0.01)]
    axes = drawn(dots.ladder("ladder", "Bounds", levels))
    words = [text.get_text() for text in axes.texts]
    assert words[:6] == ["entropy", "1.98", "ODE", "2.0300 ± 0.0060", "bound", "2.000 ± 0.010"]
    assert words[6:] == ["+0.050", "−0.030"]
    low, high = axes.get_xlim()
    assert low < 1.98
    assert high > 2.036


def test_a_ladder_does_without_a_level_that_is_not_finite() -> None:
    panel = dots.ladder("ladder", "Bounds", [Level("a", 1.0), Level("b", np.inf, 0.1), Level("c", 2.0)])
    assert [text.get_text() for text in drawn(panel).texts] == ["a", "1.00", "b", "–", "c", "2.00"]


def test_a_histogram_of_the_plane_counts_every_point_in_its_view() -> None:
    rows = np.concatenate([moons(500, 0.1, 0), [[np.nan, 0.0], [50.0, 0.0]]])
    window = View((-2, -2), (3, 3), 1.0)
    plain, log = (
        drawn(maps.histogram_2d("plane", "A plane", rows, COLUMNS, window, log)).images[0].get_array()
        for log in (False, True)
    )
    assert plain.sum() == 500
    np.testing.assert_allclose(np.expm1(log), plain)
    low = rows[:500, 1] < 0.25
    assert plain[: int(80 * 2.25 / 5)].sum() == low.sum()  # rows of the image are y, from below


def test_a_histogram_shows_both_sides_and_the_exact_density_in_the_same_unit() -> None:
    generator = np.random.default_rng(0)
    real, generated = generator.uniform(0, 1, (2, 4000))
    edges, flat = np.linspace(0, 1, 11), (np.array([0.0, 1.0]), np.ones(2))
    axes = drawn(histograms.histogram("h", "Flat", real, generated, edges, "x", exact=flat))
    area, outline = axes.patches
    assert (to_hex(area.get_facecolor()), to_hex(outline.get_edgecolor())) == (LIGHT.data, LIGHT.generated)
    for stairs in (area, outline):
        assert stairs.get_data().values.sum() == pytest.approx(100)
    assert axes.lines[0].get_ydata() == pytest.approx([10, 10])  # per cent, in each of ten bins
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["data", "samples", "exact"]
    assert axes.get_xlabel() == "x"


def test_an_exact_peak_stays_in_the_picture() -> None:
    places = np.linspace(0, 1, 101)
    peak = np.exp(-(((places - 0.5) / 0.02) ** 2) / 2) / (0.02 * np.sqrt(2 * np.pi))
    values = np.linspace(0, 1, 500)
    axes = drawn(histograms.histogram("h", "A peak", values, values, 20, "x", exact=(places, peak)))
    assert axes.get_ylim()[1] > axes.lines[0].get_ydata().max()


def test_contours_lie_where_the_density_has_their_height() -> None:
    centres, density = ring()
    rows = moons(300, 0.1, 0)
    axes = drawn(maps.density_over_histogram("d", "Both", centres, density, rows, COLUMNS))
    (contours,) = axes.collections
    for level, path in zip(contours.levels, contours.get_paths(), strict=True):
        x, y = path.vertices.T
        np.testing.assert_allclose(np.exp(-2 * x**2 - y**2 / 2), level, atol=0.01)  # linear between cells of 0.1
    assert axes.images[0].get_array().sum() == (np.abs(rows) < 2).all(axis=1).sum()


@pytest.mark.parametrize("panel", every_panel(), ids=lambda panel: panel.name)
def test_every_panel_is_drawn_differently_in_each_theme(panel: Panel) -> None:
    assert len({picture(panel, theme).uri for theme in THEMES.values()}) == 3
    assert panel.alt.endswith(".")
    assert panel.title in panel.alt


@pytest.mark.parametrize("panel", every_panel(), ids=lambda panel: panel.name)
def test_drawing_a_panel_twice_gives_the_same_picture(panel: Panel) -> None:
    assert picture(panel, LIGHT) == picture(panel, LIGHT)


def chapters() -> tuple[Section, ...]:
    text = "[data]\nname = '</pre><script>alert(1)</script>'"
    rows = (("T", "<i>50</i>", Link("here & there", "recipe-1")), ("beta", "1e-4", "the same"))
    process = Process(COLUMNS, film(moons(30, 0.1, 0), 1, 5), film(moons(30, 0.1, 2), 2, 5, reverse=True))
    return (
        Section(
            "settings",
            "Line by line",
            ("A table.",),
            table=Table(("line", "<b>there</b>", "here"), rows, note="As printed."),
            details=(Details("recipe-1", "one & two.toml", text),),
        ),
        Section("chain", "The chain", ("Strips.",), (every_panel()[1], every_panel()[4])),
        Section("film", "The film", (), gif=gif_bytes(process, "loop", frames=4), gif_alt="It moves."),
    )


def test_chapters_come_first_and_are_listed_under_the_masthead() -> None:
    contents = replace(bare(), chapters=chapters())
    assert [section.anchor for section in sections(contents)] == ["settings", "chain", "film", *FROM_ROWS]
    page = Page(render(contents))
    assert page.sections() == ["settings", "chain", "film", *FROM_ROWS, "command"]
    links = [link["href"] for link in page.named("a")]
    assert links == ["#settings", "#chain", "#film", "#recipe-1"]
    anchors = {attributes.get("id") for _, attributes in page.tags}
    assert {link[1:] for link in links} <= anchors


def test_a_report_without_chapters_lists_none() -> None:
    page = Page(render(bare()))
    assert not page.named("nav")
    assert not page.named("a")


def test_every_cell_of_a_table_names_its_column_for_narrow_screens() -> None:
    page = Page(render(replace(bare(), chapters=chapters()[:1])))
    named = [
        attributes["data-name"] for tag, attributes in page.tags if tag in ("th", "td") and "data-name" in attributes
    ]
    assert named == 2 * ["line", "<b>there</b>", "here"]


def test_tables_and_folded_texts_are_text_and_nothing_else() -> None:
    page = Page(render(replace(bare(), chapters=chapters())))
    assert not page.named("i")
    assert len(page.named("script")) == 1
    words = "".join(page.words)
    for text in (
        "<i>50</i>",
        "<b>there</b>",
        "here & there",
        "As printed.",
        "one & two.toml",
        "</pre><script>alert(1)",
    ):
        assert text in words
    assert [details["id"] for details in page.named("details")] == ["recipe-1"]
    assert [cell["scope"] for cell in page.named("th")] == ["col"] * 3 + ["row"] * 2
    assert len(page.named("td")) == 4


def test_a_gif_is_part_of_the_page_with_its_size_and_its_words() -> None:
    page = Page(render(replace(bare(), chapters=chapters()[2:])))
    (gif,) = [image for image in page.named("img") if image["src"].startswith("data:image/gif;base64,")]
    assert (gif["width"], gif["height"], gif["alt"]) == ("448", "472", "It moves.")


def test_a_wide_picture_is_scrolled_sideways_and_several_have_captions() -> None:
    page = Page(render(replace(bare(), chapters=chapters()[1:2])))
    scrolled = [picture for picture in page.named("picture") if "scroll" in (picture.get("class") or "")]
    assert len(scrolled) == 1
    assert "A strip" in "".join(page.words)
    assert "Loss" in "".join(page.words)
    assert clouds.pairs(rows := moons(50, 0.1, 0), rows, COLUMNS).wide


def test_a_page_of_one_theme_keeps_to_it() -> None:
    contents = replace(bare(), chapters=chapters()[:2])
    text = render(contents, theme="blackboard")
    page = Page(text)
    assert not page.named("source")
    assert len(page.named("img")) == sum(len(section.panels) for section in sections(contents))
    assert "color-scheme: dark;" in text
    assert "--paper: #000000;" in text
    assert "@media (prefers-color-scheme" not in text
    assert picture(every_panel()[1], BLACKBOARD).uri in text
    assert {meta["content"] for meta in page.named("meta") if meta.get("name") == "color-scheme"} == {"dark"}


def test_a_report_of_an_unknown_theme_is_refused(tmp_path) -> None:
    with pytest.raises(InputError, match='did you mean "blackboard"'):
        write_report(bare(), tmp_path / "report.html", theme="blackbord")
    assert not list(tmp_path.iterdir())


def test_a_picture_of_a_chapter_gives_a_strip_a_row_of_its_own(tmp_path) -> None:
    strip, loss = every_panel()[1], every_panel()[4]
    shown = figure([strip, loss, loss, strip], LIGHT, columns=2)
    places = [axes.get_subplotspec() for axes in shown.axes]
    assert [(place.rowspan.start, place.colspan.start, place.colspan.stop) for place in places] == [
        (0, 0, 2),
        (1, 0, 1),
        (1, 1, 2),
        (2, 0, 2),
    ]
    assert [path.name for path in write_pictures(replace(bare(), chapters=chapters()), tmp_path)] == [
        "chain.png",
        *(f"{name}.png" for name in FROM_ROWS),
    ]


def colour_blind() -> dict[str, np.ndarray]:
    """Complete dichromacy in linear RGB, from Machado, Oliveira and Fernandes (2009), and none."""
    return {
        "none": np.eye(3),
        "protanopia": np.array(
            [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
        ),
        "deuteranopia": np.array(
            [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
        ),
        "tritanopia": np.array(
            [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
        ),
    }


def cielab(linear: np.ndarray) -> np.ndarray:
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.cbrt(np.clip(xyz @ np.clip(linear, 0, 1) / [0.9505, 1, 1.089], 0.001, None))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
@pytest.mark.parametrize("matrix", colour_blind().values(), ids=colour_blind())
def test_the_colours_of_the_cycle_keep_apart_for_every_eye(theme: Theme, matrix: np.ndarray) -> None:
    channels = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in theme.cycle]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    seen = [cielab(matrix @ colour) for colour in linear]
    apart = [np.linalg.norm(one - other) for i, one in enumerate(seen) for other in seen[:i]]
    assert min(apart) > 18  # a difference of 2 is just visible side by side; thin lines need several times that


def test_the_script_unfolds_what_a_link_leads_to() -> None:
    assert re.search(r"HTMLDetailsElement\) target\.open = true", render(bare()))


def test_the_page_of_a_tutorial_stays_below_eight_megabytes() -> None:
    rows = moons(1000, 0.1, 0)
    noise = np.random.default_rng(0).standard_normal(rows.shape)
    chain = [(f"t = {t:.1f}", np.sqrt(1 - t) * rows + np.sqrt(t) * noise) for t in np.linspace(0, 1, 11)]
    strip = weight(clouds.strip("strip", "A strip", chain, COLUMNS))
    others = sum(weight(panel) for panel in every_panel())
    assert 14 * strip + 30 / 9 * others < 5.5e6  # leaving room for a GIF of 1.8 megabytes in base64


def test_a_loss_below_zero_is_drawn_on_a_linear_axis() -> None:
    from driftfield.report.curves import training_loss

    axes = figure([training_loss("loss", "The loss", np.arange(5.0), -0.3 - np.arange(5.0))], LIGHT).axes[0]
    assert axes.get_yscale() == "linear"
    assert len(axes.lines[0].get_ydata()) == 5
    axes = figure([training_loss("loss", "The loss", np.arange(5.0), 0.3 + np.arange(5.0))], LIGHT).axes[0]
    assert axes.get_yscale() == "log"
