"""The look of every picture: three themes, one colour for real data and one for generated data.

Blue and orange stay apart under every common kind of colour blindness, and differ in lightness too; so do the six
colours of a cycle. The report's style sheet takes its colours from here, so that a picture and its page
are one surface.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal

import matplotlib
from matplotlib import font_manager
from matplotlib.colors import LinearSegmentedColormap

from driftfield.errors import unknown_name

_WIDER_FONTS = ("Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Zen Hei", "Hiragino Sans", "Microsoft YaHei")


Role = Literal["data", "generated", "muted", "ink"] | int
"""What something in a picture is, or its place in the cycle of colours."""


@dataclass(frozen=True)
class Theme:
    """The colours of one theme, as #rrggbb, and how heavy its strokes are."""

    name: str
    paper: str  # the page and every picture on it
    raised: str  # code, tables, the player
    ink: str
    muted: str  # axis labels, captions
    rule: str  # hairlines
    data: str
    generated: str
    peak: str  # the far end of the density's colour scale
    warning: str
    cycle: tuple[str, ...]  # things beside one another that are neither data nor generated
    dark: bool = False
    spine: str | None = None  # axes and their ticks, where these are more than hairlines
    edge: str | None = None  # the rim of a dot
    line_width: float = 1.6

    def variables(self) -> dict[str, str]:
        """The colours by name, for a style sheet."""
        return {name: value for name, value in asdict(self).items() if name != "name" and isinstance(value, str)}

    def colour(self, role: Role | None, place: int = 0) -> str:
        """The colour of what plays a role; of what plays none, by its place among others like it."""
        match role:
            case None:
                return self.cycle[place % len(self.cycle)]
            case int():
                return self.cycle[role % len(self.cycle)]
            case _:
                return str(getattr(self, role))


LIGHT = Theme(
    name="light",
    paper="#fdfcfa",
    raised="#f5f3ee",
    ink="#23272e",
    muted="#626872",
    rule="#dedbd4",
    data="#2b65a5",
    generated="#c9541b",
    peak="#6b2408",
    warning="#9a6700",
    cycle=("#2b65a5", "#c9541b", "#39a0a8", "#14213d", "#9c8b7a", "#7a1f1f"),
)
DARK = Theme(
    name="dark",
    paper="#15181d",
    raised="#1e2229",
    ink="#e7e5e0",
    muted="#a0a6b0",
    rule="#363b44",
    data="#76b0ee",
    generated="#f38d4f",
    peak="#ffe9d6",
    warning="#e3b341",
    cycle=("#76b0ee", "#f38d4f", "#9a62d8", "#ffffff", "#9a6b3f", "#d7b5d8"),
    dark=True,
)
BLACKBOARD = Theme(
    name="blackboard",
    paper="#000000",
    raised="#161616",
    ink="#ffffff",
    muted="#c4c4c4",
    rule="#4a4a4a",
    data="#ffffff",
    generated="#ee6666",
    peak="#ffeedd",
    warning="#eecc55",
    cycle=("#3388bb", "#ee6666", "#9988dd", "#eecc55", "#88bb44", "#ffbbbb"),
    dark=True,
    spine="#ffffff",
    edge="#808080",
    line_width=2.4,
)
THEMES = {theme.name: theme for theme in (LIGHT, DARK, BLACKBOARD)}


def find_theme(name: str) -> Theme:
    """The theme of that name; InputError where there is none."""
    if name not in THEMES:
        raise unknown_name("theme", name, THEMES)
    return THEMES[name]


# Names are never read as mathematics: a column may be called `$x^2$`.
_SHAPES: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 9,
    "axes.labelsize": 9,
    "axes.labelpad": 5,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "axes.axisbelow": True,
    "axes.formatter.use_mathtext": False,
    "axes.formatter.limits": (-4, 5),
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "text.parse_math": False,
    "text.usetex": False,
    "grid.linewidth": 0.6,
}


@contextmanager
def themed(theme: Theme) -> Iterator[None]:
    """Matplotlib's settings for a theme, within the block."""
    colours: dict[Any, Any] = {
        "figure.facecolor": theme.paper,
        "axes.facecolor": theme.paper,
        "savefig.facecolor": theme.paper,
        "text.color": theme.ink,
        "axes.titlecolor": theme.ink,
        "axes.labelcolor": theme.muted,
        "axes.edgecolor": theme.spine or theme.rule,
        "xtick.color": theme.spine or theme.rule,
        "ytick.color": theme.spine or theme.rule,
        "xtick.labelcolor": theme.muted,
        "ytick.labelcolor": theme.muted,
        "grid.color": theme.rule,
        "lines.linewidth": theme.line_width,
    }
    with matplotlib.rc_context({**_SHAPES, **colours, "font.family": _fonts()}):
        yield


def density_colours(theme: Theme) -> LinearSegmentedColormap:
    """From the paper, through the colour of generated data, to its peak."""
    stops = [(0.0, theme.paper), (0.72, theme.generated), (1.0, theme.peak)]
    return LinearSegmentedColormap.from_list("density", stops)


def _fonts() -> list[str]:
    """DejaVu Sans, which comes with Matplotlib, then whatever this machine has for scripts that it lacks."""
    installed = set(font_manager.fontManager.get_font_names())
    return ["DejaVu Sans", *(name for name in _WIDER_FONTS if name in installed)]
