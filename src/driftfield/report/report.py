"""report.html: what was learned, how good it is against the best possible, and what to do next, on one page."""

from pathlib import Path

from driftfield.files import replacing
from driftfield.report.contents import Contents
from driftfield.report.page import page
from driftfield.report.panels import data_uri, figure, painted
from driftfield.report.player import payload, stage
from driftfield.report.section import Link
from driftfield.report.sections import key_numbers, sections
from driftfield.report.style import find_theme
from driftfield.wording import plus_minus


def render(contents: Contents, theme: str | None = None) -> str:
    """The report as one HTML page that asks nothing of the network.

    Without a theme, the page and its pictures follow the reader's own setting.
    """
    chosen = find_theme(theme) if theme is not None else None
    shown = stage(contents.process) if contents.process is not None else None
    return page(
        "report.html.j2",
        chosen,
        contents=contents,
        key_numbers=key_numbers(contents),
        sections=list(sections(contents)),
        films=payload(shown) if shown is not None else None,
        note=shown.note if shown is not None else "",
        painted=lambda panel: painted(panel, chosen),
        data_uri=data_uri,
        gif_size=gif_size,
        is_link=lambda cell: isinstance(cell, Link),
        plus_minus=plus_minus,
    )


def write_report(contents: Contents, path: Path | str, theme: str | None = None) -> None:
    """Write the report to a file, whole or not at all."""
    text = render(contents, theme)
    with replacing(Path(path)) as temporary:
        temporary.write_text(text, "utf-8")


def write_pictures(contents: Contents, folder: Path | str, theme: str = "light") -> list[Path]:
    """Write the report's pictures to a folder that exists, one PNG for each section, and return their paths."""
    chosen, written = find_theme(theme), []
    for section in sections(contents):
        if section.panels:
            path = Path(folder) / f"{section.anchor}.png"
            with replacing(path) as temporary:
                figure(section.panels, chosen, section.across).savefig(temporary, dpi=160)
            written.append(path)
    return written


def gif_size(gif: bytes) -> tuple[int, int]:
    """The width and the height of a GIF in pixels, from its header."""
    return int.from_bytes(gif[6:8], "little"), int.from_bytes(gif[8:10], "little")
