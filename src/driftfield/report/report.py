"""The pages: report.html of a model, verify.html of a verification; and the pictures of a report as files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from driftfield.files import replacing
from driftfield.report.contents import Contents
from driftfield.report.figures import key_numbers, sections
from driftfield.report.page import page
from driftfield.report.panels import figure
from driftfield.report.player import payload, stage
from driftfield.report.style import Theme, find_theme
from driftfield.report.verification import verification_section


def render(contents: Contents, theme: str | None = None) -> str:
    """The report as one HTML page that loads nothing from the network.

    Without a theme, the page and its pictures follow the reader's own setting.
    """
    shown = stage(contents.process) if contents.process is not None else None
    return page(
        "report.html.j2",
        find_theme(theme) if theme is not None else None,
        contents=contents,
        key_numbers=key_numbers(contents),
        sections=list(sections(contents)),
        films=payload(shown) if shown is not None else None,
        note=shown.note if shown is not None else "",
    )


def render_verification(
    found: Mapping[str, Any], columns: Sequence[str], title: str, theme: Theme | None = None
) -> str:
    """A verification alone, as `verify.json` holds it, as one HTML page that loads nothing from the network."""
    section = verification_section(found, columns)
    return page("verify.html.j2", theme, title=title, found=found, section=section)


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
