"""The guide through Part I: a chapter for each module, links to the lines of definitions, answers that are printed.

``python tests/test_book.py`` writes the line of every linked definition into the page.
"""

import ast
import contextlib
import io
import re
from functools import cache
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "book.md"
TEXT = PAGE.read_text(encoding="utf-8")
CONTENTS = ROOT / "src" / "driftfield" / "diffusion" / "__init__.py"
LINK = re.compile(r"\[`(?P<name>[\w.]+)`\]\((?P<file>\.\./src/[\w/]+\.py)#L(?P<line>\d+)\)")
ANSWER = re.compile(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SECTIONS = re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]
CHAPTERS = [section for section in SECTIONS if section[0].isdigit()]
ANSWERS = [(section.splitlines()[0], *answer) for section in SECTIONS for answer in ANSWER.findall(section)]


@cache
def definitions(file: str) -> dict[str, int]:
    """The line of each function, class, method and assignment at the top level of a module or a class."""
    tree = ast.parse((PAGE.parent / file).read_text(encoding="utf-8"))
    lines: dict[str, int] = {}
    for prefix, body in [("", tree.body)] + [(f"{n.name}.", n.body) for n in tree.body if isinstance(n, ast.ClassDef)]:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                lines[prefix + node.name] = node.lineno
            elif isinstance(node, ast.AnnAssign):
                lines[prefix + ast.unparse(node.target)] = node.lineno
            elif isinstance(node, ast.Assign):
                lines |= {prefix + ast.unparse(target): node.lineno for target in node.targets}
    return lines


def test_chapters_are_the_modules_of_part_one_in_reading_order() -> None:
    docstring = ast.get_docstring(ast.parse(CONTENTS.read_text(encoding="utf-8")))
    assert docstring is not None
    part_one = docstring[: docstring.index("PART II,")]
    modules = [line.split()[0] for line in part_one.splitlines() if line.startswith("    ")]
    linked = [[Path(link["file"]).stem for link in LINK.finditer(chapter)] for chapter in CHAPTERS]
    assert len(linked) == len(modules)
    for number, (module, names) in enumerate(zip(modules, linked, strict=True), 1):
        assert names.count(module) >= 1, module
        assert CHAPTERS[number - 1].startswith(f"{number}. ")
        assert set(names) <= set(modules[:number]), module  # nothing is linked before its chapter


def test_every_chapter_has_one_exercise_with_a_hidden_answer() -> None:
    for chapter in CHAPTERS:
        assert chapter.count("**Exercise.**") == 1
        assert chapter.count("<details><summary>Answer</summary>") == chapter.count("</details>") == 1
        answer = chapter.split("<summary>Answer</summary>")[1]
        assert len(ANSWER.findall(answer)) == len(ANSWER.findall(chapter)) == 1


@pytest.mark.parametrize("link", [match.groupdict() for match in LINK.finditer(TEXT)], ids=lambda link: link["name"])
def test_linked_lines_are_the_definitions_they_name(link: dict[str, str]) -> None:
    assert int(link["line"]) == definitions(link["file"])[link["name"]], "run `make docs`"


def test_every_link_to_a_line_is_checked() -> None:
    assert len(re.findall(r"#L\d", TEXT)) == len(LINK.findall(TEXT)) > len(CHAPTERS)


@pytest.mark.parametrize(("title", "code", "printed"), ANSWERS, ids=[title for title, *_ in ANSWERS])
def test_answers_are_what_their_code_prints(title: str, code: str, printed: str) -> None:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), torch.random.fork_rng():
        exec(compile(code, title, "exec"), {"__name__": "answer"})
    assert out.getvalue() == printed


if __name__ == "__main__":
    numbered = LINK.sub(lambda m: f"[`{m['name']}`]({m['file']}#L{definitions(m['file'])[m['name']]})", TEXT)
    PAGE.write_text(numbered, encoding="utf-8")
