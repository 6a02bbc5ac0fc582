"""The report is one safe page: nothing foreign, nothing unescaped, nothing empty."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from synthetic import METRICS, moons, schedule, synthetic, synthetic_table

from driftfield.codecs import TableCodec
from driftfield.errors import DriftfieldError, InputError
from driftfield.evaluation.imputation import Imputation
from driftfield.report import Contents, render, write_pictures, write_report
from driftfield.report.figures import FIGURES, key_numbers, sections
from driftfield.report.player import LEVELS, stage

VERIFIED = {
    "passed": True,
    "conclusion": "All checks pass.",
    "map": None,
    "checks": [
        {
            **{"name": "mass", "label": "Mass of the density", "unit": "", "status": "pass", "reason": ""},
            **{"value": 1.001, "error": 0.002, "low": 0.98, "high": 1.02, "note": "on a grid", "failure": "It leaks."},
            "details": {},
        }
    ],
}
OF_MIXED = ("columns", "associations", "imputation")  # sections of tables with text or missing cells
HOSTILE = ("<img src=x onerror=alert(1)>", "</script><script>alert(2)</script>", "$x^2$ & $\\frac{")


class Page(HTMLParser):
    """What a browser would see of a page: tags with attributes, and the text of scripts and style sheets."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.raw: list[tuple[str, dict[str, str | None], str]] = []
        self.words: list[str] = []
        self.open: tuple[str, dict[str, str | None]] | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.open = (tag, dict(attrs)) if tag in ("script", "style") else None

    def handle_endtag(self, tag: str) -> None:
        self.open = None

    def handle_data(self, data: str) -> None:
        if self.open is not None:
            self.raw.append((*self.open, data))
        else:
            self.words.append(data)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def sections(self) -> list[str | None]:
        return [attributes.get("id") for attributes in self.named("section")]

    def films(self) -> dict:
        (text,) = [data for _, attributes, data in self.raw if attributes.get("id") == "films"]
        return json.loads(text)


@pytest.fixture(scope="module")
def text() -> str:
    return render(synthetic())


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def bare() -> Contents:
    rows = moons(20, 0.1, 0)
    return Contents("Bare", "Nothing to say.", "a.csv", "driftfield fit a.csv", ("x", "y"), rows, rows, rows)


FROM_ROWS = [name for name in FIGURES if FIGURES[name](bare()) is not None]  # figures that need nothing but rows


def fingerprint(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


def test_nothing_on_the_page_asks_for_anything_foreign(page: Page) -> None:
    for tag, attributes in page.tags:
        assert tag not in {"link", "iframe", "object", "embed", "base", "form"}
        for name in ("src", "srcset", "href", "poster", "data"):
            assert (attributes.get(name) or "data:").startswith("data:"), (tag, attributes)
    for _, _, code in page.raw:
        assert not re.search(r"https?:|url\(|@import|fetch\(|XMLHttpRequest|WebSocket|import\(", code)


def test_the_policy_names_exactly_the_style_and_the_script_of_the_page(page: Page) -> None:
    (policy,) = [a["content"] for a in page.named("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    (style,) = [data for tag, _, data in page.raw if tag == "style"]
    (script,) = [data for tag, attributes, data in page.raw if tag == "script" and not attributes]
    assert rules == {
        "default-src": "'none'",
        "img-src": "data:",
        "style-src": fingerprint(style),
        "script-src": fingerprint(script),
        "base-uri": "'none'",
        "form-action": "'none'",
    }


def test_no_tag_carries_a_handler_or_a_style(page: Page) -> None:
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on") or name == "style"], (tag, attributes)


def test_the_page_is_small(text: str) -> None:
    assert len(text.encode()) < 1.7e6


def test_every_image_has_words_a_size_and_a_dark_twin(page: Page) -> None:
    images, sources = page.named("img"), page.named("source")
    shown = [panel for section in sections(synthetic()) for panel in section.panels]
    assert len(images) == len(sources) == len(shown)
    for image, source in zip(images, sources, strict=True):
        assert image["alt"]
        assert int(image["width"]) > 0 < int(image["height"])
        assert source["media"] == "(prefers-color-scheme: dark)"
        assert source["srcset"] != image["src"]


def test_the_page_shows_every_figure_of_the_table_in_its_order(page: Page) -> None:
    """`marginals` belongs to tables of more than two columns, and `verification` to a model that was verified."""
    others = [name for name in FIGURES if name not in ("marginals", "verification", *OF_MIXED)]
    assert page.sections() == [*others, "command", "next"]


@pytest.mark.parametrize("name", FIGURES)
def test_every_row_of_the_table_is_a_section_of_its_name_or_nothing(name: str) -> None:
    contents = synthetic_table(("a", "b", "c"), rows=60)
    full = synthetic(rows=300, points=20, frames=4)
    contents = replace(contents, scores=full.scores, density=full.density, verification=VERIFIED)
    section = FIGURES[name](mixed() if name in OF_MIXED else contents)
    assert section is not None
    assert section.anchor == name
    assert section.title
    assert all(section.prose)
    assert section.panels or section.player or section.table


def test_figures_of_what_was_not_measured_show_nothing() -> None:
    others = {"marginals", "process", "field", "metrics", "verification"}
    others |= {"baselines", "memorisation", "loss", "schedule"}
    assert {"samples", *others} <= set(FIGURES)
    assert not others & set(FROM_ROWS)


def test_the_sections_of_a_report_are_those_of_the_table() -> None:
    contents = replace(synthetic(rows=300, points=20, frames=4), verification=VERIFIED)
    others = [name for name in FIGURES if name not in ("marginals", *OF_MIXED)]
    assert [section.anchor for section in sections(contents)] == others


def mixed() -> Contents:
    """A table with text, an atom and missing cells, and how its hidden cells were filled."""
    rng = np.random.default_rng(0)
    rows = np.stack([rng.integers(0, 3, 300), rng.normal(size=300), rng.exponential(size=300)], 1)
    rows[rng.random(300) < 0.5, 2] = 0.0
    rows[rng.random((300, 3)) < 0.1] = np.nan
    names = ("city", "height", "gain")
    codec = TableCodec.fit(rows, names, (("Bern", "Köln", "a name that is far too long for its place"), (), ()))
    own = Imputation("this model", 0.8, 0.4, 0.5, 0.9, 0.6, 1.0, 100, 50)
    return Contents(
        "t.csv", "Fine.", "t.csv", "driftfield fit t.csv", names, rows, rows, rows, parts=codec.parts, imputation=(own,)
    )


def test_a_mixed_table_is_shown_by_kind() -> None:
    found = {section.anchor: section for section in sections(mixed())}
    assert list(found) == ["columns", "samples", "marginals", "associations", "imputation"]
    assert [panel.name for panel in found["marginals"].panels] == ["levels-1", "marginal-2", "levels-3", "marginal-3"]
    table = found["columns"].table
    assert table is not None
    kinds = {str(row[0]): (row[1], row[2]) for row in table.rows}
    assert kinds["city"][0] == "category"
    assert "exactly 0 in" in str(kinds["gain"][1])
    assert all(row[3] for row in table.rows)  # each column has missing cells
    page = render(mixed())
    assert "90 %" in page
    assert "Köln" in page


def test_what_is_not_there_leaves_no_empty_section() -> None:
    page = Page(render(bare()))
    assert page.sections() == [*FROM_ROWS, "command"]
    assert not page.named("canvas")
    assert not page.named("table")
    assert not page.named("details")


@pytest.mark.parametrize(
    ("change", "gone"),
    [
        ({"scores": (), "density": None}, "field"),
        ({"neighbours": None}, "memorisation"),
        ({"schedule": None}, "schedule"),
        ({"process": None}, "process"),
    ],
)
def test_each_section_can_be_left_out(change: dict, gone: str) -> None:
    contents = synthetic(rows=200, points=20, frames=4)
    there = [section.anchor for section in sections(contents)]
    left = [section.anchor for section in sections(replace(contents, **change))]
    assert left == [anchor for anchor in there if anchor != gone]
    assert len(left) == len(there) - 1


@pytest.mark.filterwarnings("error")
def test_names_from_files_are_text_and_nothing_else() -> None:
    contents = synthetic_table((*HOSTILE, "two\nlines\u202e", "列"), rows=30, scale=1e30)
    title = "</title><script>alert(3)</script>"
    page = Page(
        render(replace(contents, title=title, source="a\"b'<c>.csv", recipe="'</pre><script>alert(4)</script>"))
    )
    assert len(page.named("script")) == 2
    assert not any(image.get("onerror") for image in page.named("img"))
    assert "".join(page.words).count(title) == 2  # in the window's title and in the heading
    assert "a\"b'<c>.csv" in "".join(page.words)
    assert page.films()["columns"] == ["<img src=x onerror=alert(1)>", "</script><script>alert(2)</script>"]
    assert page.sections()[:2] == ["samples", "marginals"]


def test_quantised_frames_decode_to_the_states_within_half_a_quantum() -> None:
    contents = replace(bare(), process=synthetic(rows=500, points=200, frames=9).process)
    shown = stage(contents.process)
    for film, drawn in zip(Page(render(contents)).films()["films"], shown.films.values(), strict=True):
        levels = np.frombuffer(base64.b64decode(film["states"]), "<u2").reshape(9, 200, 2)
        low, high = np.array(film["low"]), np.array(film["high"])
        states = low + levels / LEVELS * (high - low)
        assert np.abs(states - drawn.states).max(axis=(0, 1)) == pytest.approx((high - low) / LEVELS / 2, rel=0.05)
        assert film["times"] == pytest.approx(drawn.times, abs=1e-6)


def test_numbers_that_do_not_exist_are_dashes() -> None:
    metrics = (replace(METRICS[0], value=float("nan")), replace(METRICS[1], floor=None, floor_error=float("nan")))
    contents = replace(bare(), metrics=metrics, baselines=synthetic(200, 20, 3).baselines)
    words = " ".join("".join(Page(render(contents)).words).split())
    assert not re.search(r"\b(nan|inf|None)\b", words)
    assert words.count("–") >= 3


def test_the_time_and_the_steps_at_the_top_are_those_of_the_training() -> None:
    history = [{"step": 3950, "loss": 1.0, "seconds": 11.1}]  # the last record, before the last step
    shown = key_numbers(replace(synthetic(200, 20, 3), history=history))
    assert ("8,000", "training rows", "2 columns") in shown
    assert ("11.9 s", "of training", "4,000 steps") in shown


def test_the_report_says_plainly_when_another_model_is_better() -> None:
    _, *others = synthetic(200, 20, 3).baselines
    words = "".join(Page(render(replace(bare(), baselines=(("this model", -2.5, 0.006), *others)))).words)
    assert "This model is not the best of them: kernel density is better, by 1.41 nats." in words


def test_the_prior_mismatch_and_its_warning_are_stated() -> None:
    contents = replace(bare(), **schedule(signal=0.5))
    words = "".join(Page(render(contents)).words)
    assert "0.50 nats per dimension" in words
    assert "The forward process does not reach its prior" in words
    words = "".join(Page(render(replace(bare(), **schedule()))).words)
    assert "7.8·10⁻⁵ nats per dimension" in words
    assert "does not reach its prior" not in words


def test_one_column_and_a_huge_scale_are_drawn() -> None:
    one = Page(render(synthetic_table(("a column with a rather long name, in metres",), rows=60, scale=1e30)))
    assert one.sections()[:2] == ["samples", "process"]
    assert one.films()["columns"] == ["a column with a rather long name, i…", ""]


def test_the_report_replaces_a_file_only_when_it_is_whole(tmp_path, monkeypatch) -> None:
    path = tmp_path / "report.html"
    path.write_text("the old one")
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(DriftfieldError, match="disk full"):
        write_report(bare(), path)
    assert path.read_text() == "the old one"
    assert list(tmp_path.iterdir()) == [path]
    monkeypatch.undo()
    write_report(bare(), path)
    assert path.read_text("utf-8").startswith("<!doctype html>")
    assert list(tmp_path.iterdir()) == [path]


def test_pictures_are_written_one_for_each_section(tmp_path) -> None:
    written = write_pictures(replace(bare(), **schedule()), tmp_path, theme="dark")
    assert [path.stem for path in written] == [name for name in FIGURES if name in (*FROM_ROWS, "schedule")]
    assert {path.suffix for path in written} == {".png"}
    assert sorted(tmp_path.iterdir()) == sorted(written)
    with pytest.raises(InputError, match='did you mean "dark"'):
        write_pictures(bare(), tmp_path, theme="drak")
