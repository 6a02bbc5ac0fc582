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
    """Rows of as many cells as the header has, the first of each being its name; and a remark below.

    A cell may have a second line: the unit of a name, or what a failed check means. With `notes`, the last cell of each
    row is a sentence about the others.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    notes: bool = False


@dataclass(frozen=True)
class Details:
    """Text as it is, a recipe for instance, that is folded away under its name."""

    anchor: str
    summary: str
    text: str


@dataclass(frozen=True)
class Section:
    """A heading, some sentences, and pictures: below the sentences, so many across, or beside them.

    Then, where there are any, a table, a film as a GIF that plays by itself, texts to unfold, the player.
    """

    anchor: str
    title: str
    prose: tuple[str, ...]
    panels: tuple[Panel, ...] = ()
    across: int = 1
    beside: bool = False
    warning: str | None = None
    table: Table | None = None
    gif: bytes | None = None
    gif_alt: str = ""
    details: tuple[Details, ...] = ()
    player: bool = False
