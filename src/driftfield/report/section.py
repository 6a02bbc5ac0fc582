"""What a section of a report is made of: sentences, pictures, tables, a film, and text to unfold."""

from dataclasses import dataclass

from driftfield.report.panels import Panel


@dataclass(frozen=True)
class Link:
    """A word that leads to another place on the page."""

    text: str
    anchor: str


Cell = str | Link


@dataclass(frozen=True)
class Table:
    """Rows of as many cells as the header has, the first of each being its name; and a remark below."""

    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Result:
    """A measured value beside what it is compared with: a metric and its floor, or a check and what is allowed.

    ``status`` is "pass", "fail" or "not applicable" for a check; ``failure`` says what it means, where it fails.
    """

    label: str
    unit: str
    value: str
    beside: str
    note: str
    status: str = ""
    failure: str = ""


@dataclass(frozen=True)
class Results:
    """Results under their header; on a narrow screen each becomes a paragraph."""

    header: tuple[str, ...]
    rows: tuple[Result, ...]


@dataclass(frozen=True)
class Details:
    """Text as it is, a recipe for instance, that is folded away under its name."""

    anchor: str
    summary: str
    text: str


@dataclass(frozen=True)
class Section:
    """A heading, some sentences, and pictures: below the sentences, so many across, or beside them.

    Then, where there are any, results, a table, a film as a GIF that plays by itself, texts to unfold, the player.
    """

    anchor: str
    title: str
    prose: tuple[str, ...]
    panels: tuple[Panel, ...] = ()
    across: int = 1
    beside: bool = False
    warning: str | None = None
    results: Results | None = None
    table: Table | None = None
    gif: bytes | None = None
    gif_alt: str = ""
    details: tuple[Details, ...] = ()
    player: bool = False
