"""References: every paper that code or pages cite has one key, listed with a link in docs/references.md."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "references.md"
ROW = re.compile(r"^\| (?P<key>[^|]+) \| (?P<paper>[^|]+) \| \[[^\]]+\]\((?P<link>https://[^)]+)\) \|$", re.MULTILINE)
# "Ho et al. 2020", "Zhang, Chen 2023", "Song et al. 2021 (DDIM)"; a paper's name in brackets where a key needs it.
# A month and its year ("Dec 2023") are no citation.
NAME = r"(?:del )?(?!(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\b)[A-Z][a-zäé]+(?:-[A-Z][a-z]+)*"
CITED = re.compile(rf"({NAME}(?:(?:, | and | & ){NAME})*(?: et al\.)?,? (?:1[89]|20)\d\d\b(?: \([A-Za-z+-]+\))?)")
ROWS = [match.groupdict() for match in ROW.finditer(PAGE.read_text(encoding="utf-8"))]
KEYS = [row["key"] for row in ROWS]
TEXTS = {
    path.relative_to(ROOT).as_posix(): " ".join(path.read_text(encoding="utf-8").split())
    for path in sorted([*ROOT.glob("src/**/*.py"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("tests/**/*.py")])
    if path not in {PAGE, Path(__file__)}
}
CITATIONS = {name: set(CITED.findall(text)) for name, text in TEXTS.items()}


def test_every_line_of_the_list_is_read() -> None:
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    assert len(ROWS) == len(lines) - 1 > 40  # the head of the table is no row


def test_no_two_papers_share_a_key_or_a_link() -> None:
    assert len(set(KEYS)) == len(KEYS)
    assert len({row["link"] for row in ROWS}) == len(ROWS)
    assert sorted(KEYS, key=str.lower) == KEYS


def test_a_name_in_brackets_stands_only_where_two_papers_need_it() -> None:
    bare = [key.split(" (")[0] for key in KEYS]
    for key, short in zip(KEYS, bare, strict=True):
        assert ("(" in key) == (bare.count(short) > 1), key


def test_whatever_is_cited_is_in_the_list() -> None:
    unknown = {(name, key) for name, keys in CITATIONS.items() for key in keys - set(KEYS)}
    assert not unknown


def test_whatever_is_in_the_list_is_cited() -> None:
    assert set(KEYS) == set().union(*CITATIONS.values())


def test_links_to_papers_are_those_of_the_list() -> None:
    links = {row["link"] for row in ROWS}
    for name, text in TEXTS.items():
        assert set(re.findall(r"https://arxiv\.org/abs/[\w./-]+\w", text)) <= links, name


def test_citations_are_found() -> None:
    text = (
        "as in Ho et al. 2020, eq. 3; Zhang, Chen 2023; (Song et al. 2021 (DDIM), eq. 12) and Anderson 1982,"
        " but not Dec 2023"
    )
    assert CITED.findall(text) == ["Ho et al. 2020", "Zhang, Chen 2023", "Song et al. 2021 (DDIM)", "Anderson 1982"]
