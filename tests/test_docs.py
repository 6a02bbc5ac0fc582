"""The guide: its links, commands, settings, formulas and pictures are checked, and its Python prints what it says."""

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest
import typer.main
from benchmarks import pictures

from driftfield.cli.app import app
from driftfield.cli.tutorials import DEFAULT_TIME
from driftfield.datasets import DISTRIBUTIONS
from driftfield.recipes.building import check_recipe
from driftfield.recipes.schema import Recipe, load_recipe, recipe_names, section_keys
from driftfield.recipes.settings import parse_settings
from driftfield.tutorials import TUTORIALS

ROOT = Path(__file__).parent.parent
PICTURES = ROOT / "docs" / "images" / "tutorials"
MEASURED = ("samplers.png", "densities.png")  # by benchmarks.truth
PAGES = {path.relative_to(ROOT).as_posix(): path for path in sorted((ROOT / "docs").rglob("*.md"))}
TEXTS = {name: path.read_text(encoding="utf-8") for name, path in PAGES.items()}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
EXAMPLES = [
    (name, code, printed)
    for name, text in TEXTS.items()
    for code, printed in re.findall(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
]
LONG = [example for example in EXAMPLES if example[0] != "docs/book.md"]  # those of the book run in test_book.py
COMMANDS = [
    (name, line)
    for name, text in TEXTS.items()
    for language, block in FENCE.findall(text)
    if language == "console"
    for line in re.findall(r"^\$ (.*)$", block, re.MULTILINE)
]
# Not every macro of TeX is known to the renderer of GitHub.
KNOWN_MACROS = re.compile(
    "alpha|bar|beta|gamma|kappa|phi|varphi|sigma|varepsilon|lambda|mu|tau|tan|sinh|hat|tilde|dot|mathcal|mathbb|mathrm|mathsf|text|frac|tfrac|sqrt|"
    "sum|prod|int|left|right|Big|lVert|rVert|Vert|mid|ln|log|exp|min|max|nabla|cdot|partial|Delta|infty|underbrace|qquad|"
    "quad|dots|sim|le|ge|lt|gt|pm"
)


def prose(text: str) -> str:
    """A page without its fenced blocks and code spans."""
    return re.sub(r"`[^`\n]*`", "", FENCE.sub("", text))


def formulas(text: str) -> list[str]:
    """Display and inline formulas of a page."""
    display = [block for language, block in FENCE.findall(text) if language == "math"]
    return display + re.findall(r"\$([^$\n]+)\$", prose(text))


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_there_is_a_page_for_each_tutorial() -> None:
    shown = " ".join(line for _, line in COMMANDS)
    for name in TUTORIALS:
        assert f"driftfield tutorial {name}" in shown, name


def test_the_default_length_of_a_training_is_the_one_that_is_said() -> None:
    assert f"trains for {DEFAULT_TIME.removesuffix('s')} s" in TEXTS["docs/tutorials/README.md"]


@pytest.mark.parametrize("page", PAGES)
def test_every_link_within_the_repository_leads_somewhere(page: str) -> None:
    text, path = TEXTS[page], PAGES[page]
    for target in re.findall(r"(?<!!)\[[^\]]*\]\(([^)]+)\)", FENCE.sub("", text)):
        if target.startswith("http"):
            continue
        file, _, anchor = target.partition("#")
        linked = (path.parent / file).resolve() if file else path
        assert linked.exists(), target
        if anchor and linked.suffix == ".md":
            assert anchor in anchors(linked.read_text(encoding="utf-8")), target


def test_the_pictures_shown_are_those_that_are_declared() -> None:
    declared = {PICTURES / name for name in pictures.names()} | {PICTURES.parent / name for name in MEASURED}
    shown = {
        (PAGES[page].parent / target).resolve()
        for page, text in TEXTS.items()
        for target in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text)
    }
    assert shown == declared
    assert set(pictures.PICTURES) <= set(TUTORIALS)


@pytest.mark.skipif(not PICTURES.exists(), reason="the pictures have not been drawn")
def test_the_pictures_are_there_and_small() -> None:
    sizes = [(PICTURES / name).stat().st_size for name in pictures.names()]
    assert max(sizes) < pictures.LARGEST
    assert sum(sizes) < pictures.ALL_TOGETHER


def test_a_picture_is_scaled_down_until_it_is_small(tmp_path: Path) -> None:
    from PIL import Image

    noisy = Image.effect_noise((2_000, 1_000), 100.0)
    data = pictures.small(noisy)
    assert len(data) < pictures.LARGEST
    with Image.open(io.BytesIO(data)) as made:
        assert made.width <= pictures.WIDEST
        assert made.width / made.height == pytest.approx(2, rel=0.01)


@pytest.mark.parametrize(("page", "line"), COMMANDS)
def test_every_command_is_one(page: str, line: str) -> None:
    program, *words = shlex.split(line, comments=True)
    if program == "make":
        assert re.search(rf"^{words[0]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), line
        return
    assert program == "driftfield", line
    command = typer.main.get_command(app).commands[words[0]]  # type: ignore[attr-defined]
    given = command.make_context(words[0], words[1:]).params  # raises on an option that does not exist
    name = None
    if words[0] == "tutorial":
        name = given["name"]
        assert name is None or name in TUTORIALS, line
    elif words[0] == "fit":
        name = given["recipe"]
    elif words[0] == "recipes":
        assert given["name"] is None or given["name"] in recipe_names(), line
    if name is not None:
        check_recipe(load_recipe(name).updated(parse_settings(given["settings"] or [])))
    else:
        assert not given.get("settings"), line
    if given.get("label") is not None:  # the class of a run whose folder has the name of its recipe
        distribution = DISTRIBUTIONS[str(load_recipe(given["run"].name).data.name)]
        assert given["label"] in [part.name for part in distribution.classes], line


def test_every_setting_named_in_prose_is_a_key() -> None:
    for text in TEXTS.values():
        for section, key in re.findall(r"`([a-z]+)\.([a-z_A-Z]+)(?: = [^`]+)?`", text):
            if section in Recipe.model_fields:
                assert key in section_keys(section), f"{section}.{key}"


@pytest.mark.parametrize("page", PAGES)
def test_formulas_are_balanced_and_known_to_github(page: str) -> None:
    text = TEXTS[page]
    assert text.count("```") % 2 == 0
    assert len(FENCE.findall(text)) == text.count("```") // 2
    for line in prose(text).split("\n"):
        assert line.count("$") % 2 == 0, line
    for formula in formulas(text):
        bare = formula.replace(r"\{", "").replace(r"\}", "")
        assert bare.count("{") == bare.count("}"), formula
        assert formula.count(r"\left") == formula.count(r"\right"), formula
        for macro in re.findall(r"\\([A-Za-z]+)", formula):
            assert KNOWN_MACROS.fullmatch(macro), f"{macro} in {formula}"
        assert all(re.fullmatch(r"[A-Za-z ]*", words) for words in re.findall(r"\\text\{([^}]*)\}", formula)), formula


@pytest.mark.parametrize("page", PAGES)
def test_inline_formulas_survive_markdown(page: str) -> None:
    """Markdown eats a backslash before punctuation; GitHub wants no space inside and no letter beside the dollars."""
    for line in prose(TEXTS[page]).split("\n"):
        for match in re.finditer(r"\$([^$]+)\$", line):
            assert match[1] == match[1].strip(), line
            assert not re.search(r"\\[^A-Za-z]", match[1]), line
            assert "*" not in match[1], line
            assert "<" not in match[1], line
            before, after = line[: match.start()][-1:], line[match.end() :][:1]
            assert not before.isalnum(), line
            assert not after.isalnum(), line


@pytest.mark.slow
@pytest.mark.parametrize(("page", "code", "printed"), LONG, ids=[name for name, *_ in LONG])
def test_examples_print_what_the_page_says(page: str, code: str, printed: str) -> None:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, page, "exec"), {"__name__": "example"})
    assert out.getvalue() == printed


def test_every_python_block_shows_its_output() -> None:
    for page, text in TEXTS.items():
        shown = [1 for name, *_ in EXAMPLES if name == page]
        assert len(shown) == len([1 for language, _ in FENCE.findall(text) if language == "python"]), page
