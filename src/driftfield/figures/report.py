"""report.html: what was learned, how good it is against the best possible, and what to do next, on one page."""

from pathlib import Path

from driftfield.figures.contents import Contents
from driftfield.figures.labels import plus_minus
from driftfield.figures.page import page
from driftfield.figures.panels import Panel, Picture, figure, picture
from driftfield.figures.player import payload, stage
from driftfield.figures.sections import key_numbers, sections
from driftfield.figures.style import DARK, LIGHT, find_theme
from driftfield.files import replacing


def render(contents: Contents) -> str:
    """The report as one HTML page that asks nothing of the network."""
    shown = stage(contents.process) if contents.process is not None else None
    return page(
        "report.html.j2",
        contents=contents,
        key_numbers=key_numbers(contents),
        sections=list(sections(contents)),
        films=payload(shown) if shown is not None else None,
        note=shown.note if shown is not None else "",
        painted=_painted,
        plus_minus=plus_minus,
    )


def write_report(contents: Contents, path: Path | str) -> None:
    """Write the report to a file, whole or not at all."""
    text = render(contents)
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


def _painted(panel: Panel) -> tuple[Picture, Picture]:
    """A panel for either theme."""
    return picture(panel, LIGHT), picture(panel, DARK)
