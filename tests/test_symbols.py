"""One table of symbols: kappa, gamma, lambda and s mean the same in code, docstrings and pages."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = {path.relative_to(ROOT).as_posix(): path for path in sorted((ROOT / "src").rglob("*.py"))}
PAGES = {path.relative_to(ROOT).as_posix(): path for path in sorted((ROOT / "docs").rglob("*.md"))}
# What may follow "symbol =" in prose. Values and ends, such as gamma = 0, say where, not what.
MEANINGS = {
    "kappa": r"sigma ?/ ?alpha|[\d(]|sigma /$|WIDE|2 m tan|2 tan",
    "gamma": r"2 (ln|log)[ (]|-2 lambda|gamma|ln ?\(?sigma\^2 ?/ ?alpha\^2|-ln mathrm\{SNR|log|ln|\d",
    "lambda": r"(log|ln) ?\(? ?alpha ?/ ?sigma|-gamma / 2|-?\d",
}
DEFINITION = re.compile(r"(?<![\w.])(kappa|gamma|lambda)(?:\(t\)|_t)? ?= ?([^=].{0,24})")
# The offset of the cosine chain has the name of its paper, as a key of recipes.
NAMED_LIKE_THE_PAPER = {"src/driftfield/diffusion/basics/chains.py", "src/driftfield/recipes/schema.py"}


def prose(path: Path) -> str:
    """The docstrings of a module, or a page with the backslashes and spaces of its formulas taken away."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        text = re.sub(r"```(?!math).*?```", "", text, flags=re.DOTALL)
        return re.sub(r"\\[,;!]|\\(?=[a-z])|\$", "", text)
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    return " ".join(
        " ".join((ast.get_docstring(node) or "").split())
        for node in ast.walk(ast.parse(text))
        if isinstance(node, kinds)
    )


@pytest.mark.parametrize("name", [*SOURCES, *PAGES])
def test_symbols_are_defined_as_in_the_table(name: str) -> None:
    for symbol, meaning in DEFINITION.findall(prose((SOURCES | PAGES)[name])):
        assert re.match(MEANINGS[symbol], meaning), f"{symbol} = {meaning}"


def test_other_meanings_are_found() -> None:
    assert not re.match(MEANINGS["lambda"], DEFINITION.findall("a weight lambda(t) = sigma^2")[0][1])
    assert not re.match(MEANINGS["lambda"], DEFINITION.findall("with lambda = sigma / alpha")[0][1])
    assert re.match(MEANINGS["kappa"], DEFINITION.findall("with kappa = sigma / alpha")[0][1])


@pytest.mark.parametrize("name", SOURCES)
def test_s_is_a_time(name: str) -> None:
    """It stands beside t: a function that binds s takes or binds t too, or gets an estimate that holds it."""
    if name in NAMED_LIKE_THE_PAPER:
        return
    for node in ast.walk(ast.parse(SOURCES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.Lambda | ast.GeneratorExp | ast.ListComp | ast.DictComp):
            bound = {inner.arg for inner in ast.walk(node) if isinstance(inner, ast.arg)}
            bound |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
            assert "s" not in bound or bound & {"t", "estimate"}, f"line {node.lineno}"
