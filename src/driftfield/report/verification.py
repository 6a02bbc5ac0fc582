"""The page of a verification: its checks and, for a known distribution, the score's error as a curve and a map."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from driftfield.report.curves import Curve, lines
from driftfield.report.page import page
from driftfield.report.panels import Panel, painted
from driftfield.report.plots import name_axes, plane_size
from driftfield.report.section import Section, Verdict
from driftfield.report.style import Theme, density_colours
from driftfield.report.view import fitted_view, interval
from driftfield.wording import number, plus_minus, within

_SHOWN_NATS = 7.0  # below its peak, hardly any row is there, and the error says nothing
_CONTOURS = (5.0, 3.0, 1.0)  # nats below the peak


def verification_section(found: Mapping[str, Any], columns: Sequence[str]) -> Section:
    """What `verify.json` holds, as a section."""
    prose = (
        "Does the density integrate to 1, is the score its gradient, do codes of fresh rows look like noise? Each "
        "number is beside what is allowed. The tolerances were measured, so that a well-trained model passes and a "
        "broken one does not.",
    )
    failed = not found["passed"]
    return Section(
        "verification",
        "Checked as an instrument",
        prose if failed else (found["conclusion"], *prose),
        tuple(_panels(found, columns)),
        across=2,
        warning=found["conclusion"] if failed else None,
        checks=tuple(_verdict(check) for check in found["checks"]),
    )


def render_verification(
    found: Mapping[str, Any], columns: Sequence[str], title: str, theme: Theme | None = None
) -> str:
    """A verification alone as one HTML page that asks nothing of the network."""
    return page(
        "verify.html.j2",
        theme,
        title=title,
        found=found,
        section=verification_section(found, columns),
        painted=lambda panel: painted(panel, theme),
    )


def _verdict(check: Mapping[str, Any]) -> Verdict:
    known = check["status"] != "not applicable"
    note = check["note"] if known else check["reason"]
    return Verdict(
        check["label"],
        check["unit"],
        check["status"],
        plus_minus(check["value"], check["error"]) if known else "",
        within(check["low"], check["high"]),
        note[:1].upper() + note[1:] + ".",
        check["failure"] if check["status"] == "fail" else "",
    )


def _panels(found: Mapping[str, Any], columns: Sequence[str]) -> list[Panel]:
    details: Mapping[str, Any] = next(
        (check["details"] for check in found["checks"] if check["name"] == "exact_score"), {}
    )
    panels = []
    if "noise" in details:
        noise, relative, cost = (np.array(details[key], dtype=float) for key in ("noise", "relative", "cost"))
        curves = (
            Curve("relative error of the score", relative, role="generated"),
            Curve("cost, nats per e-fold of noise", cost, role="muted", dashed=True),
        )
        panels.append(
            lines(
                "score-error",
                "Error of the score over noise levels",
                noise,
                curves,
                "noise level, standard deviations",
                "error",
                log_x=True,
                log_y=True,
                markers=True,
                size=(4.4, 3.4),
            )
        )
    if found.get("map") is not None:
        panels.append(_error_map(found["map"], columns))
    return panels


def _error_map(found: Mapping[str, Any], columns: Sequence[str]) -> Panel:
    """|eps_hat - eps*| as colours, where there are rows, and contours of the exact noised density."""
    x, y, error, log_density = (np.array(found[key], dtype=float) for key in ("x", "y", "error", "log_density"))
    view = fitted_view(interval(x), interval(y))
    depth = log_density - log_density.max()
    shown = np.where(depth > -_SHOWN_NATS, error, np.nan)
    high = _round_up(float(np.nanquantile(shown, 0.98)))

    def draw(axes: Axes, theme: Theme) -> None:
        name_axes(axes, columns)
        image = axes.imshow(
            shown,
            extent=(*interval(x), *interval(y)),
            origin="lower",
            aspect="auto",
            cmap=density_colours(theme),
            vmin=0,
            vmax=high,
        )
        axes.contour(
            x, y, depth, levels=[-nats for nats in _CONTOURS], colors=theme.data, linewidths=0.9, linestyles="solid"
        )
        view.frame(axes)
        bar = axes.inset_axes((1.04, 0.0, 0.035, 1.0))
        figure = image.get_figure(root=True)
        assert figure is not None
        figure.colorbar(image, cax=bar, extend="max").set_label("error of the estimated noise", color=theme.muted)

    title = f"Where the score is wrong, at noise {number(found['noise'], 2)}"
    alt = (
        f"{title}: a map of the error of the estimated noise, mostly below {number(high, 2)}, with contours of the "
        "exact density."
    )
    return Panel("score-error-map", title, alt, draw, plane_size(view), colours=128)


def _round_up(value: float) -> float:
    """To one significant digit, so that a scale ends at a round number; 1 for nothing."""
    if not value > 0:
        return 1.0
    unit = 10.0 ** np.floor(np.log10(value))
    return float(np.ceil(value / unit) * unit)
