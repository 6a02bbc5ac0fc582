"""A page that is one file: its style and its script inside, and a policy that lets it load nothing else."""

import io
from base64 import b64encode
from hashlib import sha256
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from driftfield.report.panels import data_uri, painted
from driftfield.report.section import Link
from driftfield.report.style import DARK, LIGHT, Theme

_TEMPLATES = Environment(
    autoescape=True,
    loader=PackageLoader("driftfield.report"),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def page(template: str, theme: Theme | None = None, **values: Any) -> str:
    """Render a template. Without a theme, the page follows the reader's own setting.

    Everything that is filled in is escaped. The Content-Security-Policy names the one style sheet and the one script by
    their SHA-256, and allows images in data URIs only.
    """
    style, script = _style(theme), _read("player.js")
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_fingerprint(style)}'; script-src '{_fingerprint(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    text = _TEMPLATES.get_template(template).render(
        policy=policy,
        style=Markup(style),
        script=Markup(script),
        scheme=_scheme(theme),
        version=version("driftfield"),
        painted=lambda panel: painted(panel, theme),
        data_uri=data_uri,
        size_of=lambda image: Image.open(io.BytesIO(image)).size,
        is_link=lambda cell: isinstance(cell, Link),
        **values,
    )
    return text.encode("utf-8", "backslashreplace").decode("utf-8")  # names of files may be no text


def _style(theme: Theme | None) -> str:
    """The style sheet, with the theme's colours, or with both themes' and the reader's choice between them."""
    colours = f":root {{ {_variables(theme or LIGHT)} color-scheme: {_scheme(theme)}; }}\n"
    dark = f"@media (prefers-color-scheme: dark) {{ :root {{ {_variables(DARK)} }} }}\n" if theme is None else ""
    return colours + dark + _read("report.css")


def _scheme(theme: Theme | None) -> str:
    """The colour scheme of the page, which a browser's scroll bars and buttons follow."""
    if theme is None:
        return "light dark"
    return "dark" if theme.dark else "light"


def _variables(theme: Theme) -> str:
    return " ".join(f"--{name}: {colour};" for name, colour in theme.variables().items())


def _read(name: str) -> str:
    return (files("driftfield.report") / "templates" / name).read_text("utf-8")


def _fingerprint(text: str) -> str:
    return "sha256-" + b64encode(sha256(text.encode("utf-8")).digest()).decode("ascii")
