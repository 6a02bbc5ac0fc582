"""Names that are suggested: those that are like what was written, and no others."""

import pytest

from driftfield.datasets import load
from driftfield.errors import InputError, nearest, unknown_name


@pytest.mark.parametrize(
    ("name", "known", "near"),
    [
        ("heum", ["euler", "heun"], "heun"),
        ("SPECIES", ["sex", "species"], "species"),
        ("x9", ["x1", "y1"], None),
        ("cow", ["cat", "dog"], None),
        ("name", ["age", "mean"], None),
        ("", ["a"], None),
    ],
)
def test_a_name_is_suggested_where_most_letters_are_the_same(name: str, known: list[str], near: str | None) -> None:
    assert nearest(name, known) == near
    assert ("did you mean" in str(unknown_name("level", name, known))) == (near is not None)


def test_a_file_is_suggested_for_its_name_and_not_for_its_ending(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("files")
    monkeypatch.chdir(folder)
    for name in ("ab.csv", "wine.csv.gz"):
        (folder / name).touch()
    with pytest.raises(InputError, match="check the path"):
        load("xy.csv")
    for wrong in ("wne.csv", "wine.cvs", "Wine"):
        with pytest.raises(InputError, match=r'did you mean "wine.csv.gz"|does not end in'):
            load(wrong)


def test_a_column_is_suggested_where_it_is_like_what_was_written() -> None:
    with pytest.raises(InputError, match="choose one of alcalinity_of_ash, alcohol"):
        load("sklearn:wine:flour")
