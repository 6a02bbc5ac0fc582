"""The section of a verification: its checks and, for a known distribution, the score's error as curves and a map."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from driftfield.report.curves import Curve, lines
from driftfield.report.maps import error_map
from driftfield.report.panels import Panel
from driftfield.report.section import Section, Table
from driftfield.wording import plus_minus, within

HEADER = ("check", "result", "value", "allowed", "what was measured")

OF_ROWS = "Does the density integrate to 1, is the score its gradient, do the latent codes of new rows look like noise?"
OF_A_TABLE = (
    "Do probabilities and masses sum to 1, does the order of the categories matter, do conditional probabilities agree "
    "with joint ones?"
)


def verification_section(found: Mapping[str, Any], columns: Sequence[str]) -> Section:
    """What `verify.json` holds, as a section."""
    is_table = any(check["name"] == "masses" for check in found["checks"])
    prose = (
        f"{OF_A_TABLE if is_table else OF_ROWS} Each number is shown with its allowed range. The tolerances were "
        "measured: a well-trained model passes, a broken one does not.",
    )
    failed = not found["passed"]
    return Section(
        "verification",
        "Verification",
        prose if failed else (found["conclusion"], *prose),
        tuple(_panels(found, columns)),
        across=2,
        warning=found["conclusion"] if failed else None,
        table=Table(HEADER, tuple(_row(check) for check in found["checks"]), notes=True),
    )


def _row(check: Mapping[str, Any]) -> tuple[str, ...]:
    known = check["status"] != "not applicable"
    note, failure = check["note"] if known else check["reason"], check["failure"] if check["status"] == "fail" else ""
    return (
        f"{check['label']}\n{check['unit']}",
        check["status"],
        plus_minus(check["value"], check["error"]) if known else "",
        within(check["low"], check["high"]),
        f"{note[:1].upper()}{note[1:]}.\n{failure}",
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
                "noise level (standard deviations)",
                "error",
                log_x=True,
                log_y=True,
                markers=True,
                size=(4.4, 3.4),
            )
        )
    if found.get("map") is not None:
        panels.append(error_map(found["map"], columns))
    return panels
