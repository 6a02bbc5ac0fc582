"""Valid files of every kind that the program reads, and what can happen to them; all from the generator that is given.

A kind is how a file is written, with the texts that stand for a damaged field of it. A mutation is a function of
(content, kind, generator) that returns the damaged content.
"""

import csv
import gzip
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources

import numpy as np
import polars as pl

from driftfield.recipes.schema import recipe_names

Rng = np.random.Generator
Mutation = Callable[[bytes, "Kind", Rng], bytes]

# What people and programs write in the place of a number, and what nobody should.
CELLS = (
    *(
        "",
        " ",
        "NA",
        "nan",
        "None",
        "-",
        "?",
        "#N/A",
        "inf",
        "-inf",
        "1e999",
        "-1e308",
        "1e-400",
        "-0",
        "0x10",
        "1_000",
    ),
    *("1,5", "1.234,5", "1'000", "12%", "99999", "-999", "1e5", "true", "2024-01-01", "12:30", "=1+1", "total", "x^2"),
    *("9" * 5_001, "9007199254740993", "0." + "1" * 400, "x" * 100_000, "é", "🦊", "\x1b[31m", "\x00", "\u2028", "\r"),
    *('"', '""', '"a', 'a"b', "'", "#", ";", ",", "\t", "|", '"1\n2"', "\ufeff"),
)
VALUES = (  # of TOML
    *("0", "-1", "1", "2", "3.5", "1e-300", "1e300", "1e308", "inf", "-inf", "nan", "true", "false", '""', '"x"', "[]"),
    *(
        "9" * 5_001,
        "9223372036854775807",
        "1000000000",
        "0x10",
        "1979-05-27",
        "07:32:00",
        "{}",
        '{kind = "x"}',
        "[[[1]]]",
    ),
    *(
        "[1, 2, 3]",
        '["a"]',
        "[" * 2_000,
        '"moons"',
        '"sklearn:wine"',
        '"../none.csv"',
        '"/dev/zero"',
        '"🦊"',
        '"\\u0000"',
    ),
    *('"random"', '"all"', '"heun"', '"cosine"', '"none"', '"' + "x" * 100_000 + '"', "{a.b.c = 1}", "", "=", '"'),
)
ITEMS = (  # of JSON
    *(
        "null",
        "true",
        "0",
        "-1",
        "1e999",
        "NaN",
        "Infinity",
        "9" * 5_001,
        '""',
        '"x"',
        "[]",
        "{}",
        "[[1]]",
        "[" * 100_000,
    ),
    *(
        '{"a": 1}',
        '"\\ud800"',
        '"\\u0000"',
        '"\\u001b[31m"',
        '"🦊"',
        '"' + "x" * 100_000 + '"',
        '["x", "x"]',
        "1.5",
        "",
    ),
)


@dataclass(frozen=True)
class Kind:
    """How a valid file is written, under which ending, and what may replace a field of it (None: some bytes)."""

    write: Callable[[Rng], bytes]
    ending: str
    fields: re.Pattern[bytes] | None = None
    others: Sequence[str] = ()
    compressed: bool = False  # after it was damaged


def rows(rng: Rng) -> tuple[list[str], np.ndarray]:
    """The names and the rows of a small table: counts, prices and two correlated measurements."""
    n = int(rng.integers(25, 60))
    x = rng.normal(size=n)
    values = np.stack([rng.poisson(3, n), rng.integers(100, 90_000, n) / 100, x, 0.5 * x + rng.normal(size=n)], 1)
    return ["count", "price", "x", "y"], np.round(values, 4)


def text(separator: str, decimal: str = ".") -> Callable[[Rng], bytes]:
    """A writer of text files: with and without a header, quotes, holes, CR LF, and a class of text."""

    def write(rng: Rng) -> bytes:
        names, values = rows(rng)
        header, quoted, ends, holes, classes = (bool(each) for each in rng.random(5) < (0.9, 0.3, 0.3, 0.1, 0.15))
        cells = [[f"{value:g}".replace(".", decimal) for value in row] for row in values]
        if holes:
            cells[int(rng.integers(len(cells)))][int(rng.integers(4))] = ""
        if classes:
            names = [*names, "species"]
            cells = [[*row, str(rng.choice(["setosa", "iris, blue"]))] for row in cells]
        file = io.StringIO()
        style = csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL
        end = "\r\n" if ends else "\n"
        csv.writer(file, delimiter=separator, quoting=style, lineterminator=end).writerows([names] * header + cells)
        return file.getvalue().encode()

    return write


def npy(rng: Rng) -> bytes:
    """An array of one of the usual types, or a structured one."""
    names, values = rows(rng)
    if rng.random() < 0.2:
        values = np.rec.fromarrays(values.T, names=names)
    else:
        values = values.astype(rng.choice(["f8", ">f8", "f4", "i8", "f2"]))
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def parquet(rng: Rng) -> bytes:
    """A table in one of the usual compressions."""
    names, values = rows(rng)
    file = io.BytesIO()
    compression = str(rng.choice(["zstd", "snappy", "uncompressed", "gzip"]))
    pl.DataFrame(values, names, orient="row").write_parquet(file, compression=compression)  # type: ignore[arg-type]
    return file.getvalue()


def recipe(rng: Rng) -> bytes:
    """One of the built-in recipes."""
    name = str(rng.choice(recipe_names()))
    return (resources.files("driftfield.recipes") / f"{name}.toml").read_bytes()


def _compressed(rng: Rng) -> bytes:
    return gzip.compress(text(",")(rng), mtime=0)


CELL, VALUE, ITEM = re.compile(rb"[^,;\t\r\n]+"), re.compile(rb"(?<==)[^\n]+"), re.compile(rb'(?<=: )[^\n,]+|"[^"\n]*"')
KINDS = {
    "CSV": Kind(text(","), ".csv", CELL, CELLS),
    "TSV": Kind(text("\t"), ".tsv", CELL, CELLS),
    "CSV ; and 1,5": Kind(text(";", ","), ".csv", CELL, CELLS),
    "text in columns": Kind(text(" "), ".txt", re.compile(rb"\S+"), CELLS),
    "CSV within gzip": Kind(text(","), ".csv.gz", CELL, CELLS, compressed=True),
    "gzip": Kind(_compressed, ".csv.gz"),
    "NPY": Kind(npy, ".npy"),
    "Parquet": Kind(parquet, ".parquet"),
    "recipe": Kind(recipe, ".toml", VALUE, VALUES),
}
JSON = Kind(lambda rng: b"", ".json", ITEM, ITEMS)


def kind_of(name: str) -> Kind:
    """How a file of a run is damaged."""
    if name.endswith(".toml"):
        return KINDS["recipe"]
    return JSON if name.endswith((".json", ".jsonl")) else Kind(lambda rng: b"", name)


def place(content: bytes, rng: Rng) -> int:
    """Somewhere in a file: anywhere, or where its structure is written, at one end."""
    chosen, anywhere = rng.random(), int(rng.integers(len(content) + 1))
    if chosen < 0.3:
        return min(int(rng.integers(300)), len(content))
    return max(len(content) - int(rng.integers(300)), 0) if chosen < 0.5 else anywhere


def truncated(content: bytes, kind: Kind, rng: Rng) -> bytes:
    """Without its end, or rarely its beginning."""
    at = place(content, rng)
    return content[at:] if rng.random() < 0.1 else content[:at]


def flipped(content: bytes, kind: Kind, rng: Rng) -> bytes:
    """With one bit of some bytes flipped."""
    damaged = bytearray(content)
    for _ in range(int(rng.choice([1, 1, 2, 8]))):
        if damaged:
            damaged[min(place(content, rng), len(damaged) - 1)] ^= 1 << int(rng.integers(8))
    return bytes(damaged)


def inserted(content: bytes, kind: Kind, rng: Rng) -> bytes:
    """With some bytes more."""
    at = place(content, rng)
    more = rng.bytes(int(rng.choice([1, 1, 4, 100]))) if rng.random() < 0.7 else bytes([int(rng.integers(128))])
    return content[:at] + more + content[at:]


def removed(content: bytes, kind: Kind, rng: Rng) -> bytes:
    """Without some bytes."""
    at = place(content, rng)
    return content[:at] + content[at + int(rng.choice([1, 2, 8, 100])) :]


def shuffled(content: bytes, kind: Kind, rng: Rng) -> bytes:
    """With its lines in another order."""
    lines = content.splitlines(keepends=True)
    return b"".join(lines[i] for i in rng.permutation(len(lines)))


def doubled(content: bytes, kind: Kind, rng: Rng) -> bytes:
    """With one line twice, or all."""
    lines = content.splitlines(keepends=True)
    at = int(rng.integers(max(len(lines), 1)))
    return content * 2 if rng.random() < 0.2 else b"".join([*lines[: at + 1], *lines[at : at + 1], *lines[at + 1 :]])


def quoted(content: bytes, kind: Kind, rng: Rng) -> bytes:
    """With a quotation mark too many or too few."""
    marks = [i for i, byte in enumerate(content) if byte in b"\"'"]
    if marks and rng.random() < 0.5:
        at = int(rng.choice(marks))
        return content[:at] + content[at + 1 :]
    at = int(rng.integers(len(content) + 1)) if rng.random() < 0.8 else len(content)
    return content[:at] + bytes([int(rng.choice(list(b"\"'")))]) + content[at:]


def exchanged(content: bytes, kind: Kind, rng: Rng) -> bytes:
    """With another text for one field; in a binary file, other bytes for one number."""
    if kind.fields is None:
        at, width = place(content, rng), int(rng.choice([1, 2, 4, 8]))
        bits = [b"\x00" * width, b"\xff" * width, b"\x7f" + b"\xff" * (width - 1), rng.bytes(width)]
        return content[:at] + bits[int(rng.integers(4))] + content[at + width :]
    found = list(kind.fields.finditer(content))
    chosen = found[int(rng.integers(len(found)))]
    other = kind.others[int(rng.integers(len(kind.others)))].encode()
    if _NUMBER.fullmatch(chosen[0]) and rng.random() < 0.5:  # of another size or sign
        other = b"%g" % (float(chosen[0]) * float(rng.choice([-1, 1])) * 10.0 ** int(rng.integers(-9, 10)))
    return content[: chosen.start()] + other + content[chosen.end() :]


def untouched(content: bytes, kind: Kind, rng: Rng) -> bytes:
    """As it was: what the others are compared with."""
    return content


_NUMBER = re.compile(rb"\s*-?[\d.]+(e-?\d+)?\s*")
MUTATIONS: dict[str, Mutation] = {
    each.__name__: each
    for each in (untouched, truncated, flipped, inserted, removed, shuffled, doubled, quoted, exchanged)
}


def damaged(content: bytes, kind: Kind, mutation: str, rng: Rng) -> bytes:
    """The content of a file after a mutation, which one time in ten is followed by another one."""
    content = MUTATIONS[mutation](content, kind, rng)
    if mutation != "untouched" and rng.random() < 0.1:
        content = flipped(content, kind, rng)
    return gzip.compress(content, mtime=0) if kind.compressed else content
