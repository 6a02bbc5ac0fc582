"""The section of a verification: its checks and, for a known distribution, the score's error as curves and a map."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from driftfield.report.curves import Curve, lines
from driftfield.report.maps import error_map
from driftfield.report.panels import Panel
from driftfield.report.section import Result, Results, Section
from driftfield.wording import plus_minus, within

HEADER = ("Check", "Result", "Value", "Allowed", "What was measured")


def verification_section(found: Mapping[str, Any], columns: Sequence[str]) -> Section:
    """What `verify.json` holds, as a section."""
    prose = (
        "Does the density integrate to 1, is the score its gradient, do the latent codes of new rows look like noise? "
        "Each number is shown with its allowed range. The tolerances were measured: a well-trained model passes, a "
        "broken one does not.",
    )
    failed = not found["passed"]
    return Section(
        "verification",
        "Verification",
        prose if failed else (found["conclusion"], *prose),
        tuple(_panels(found, columns)),
        across=2,
        warning=found["conclusion"] if failed else None,
        results=Results(HEADER, tuple(_result(check) for check in found["checks"])),
    )


def _result(check: Mapping[str, Any]) -> Result:
    known = check["status"] != "not applicable"
    note = check["note"] if known else check["reason"]
    return Result(
        check["label"],
        check["unit"],
        plus_minus(check["value"], check["error"]) if known else "",
        within(check["low"], check["high"]),
        note[:1].upper() + note[1:] + ".",
        check["status"],
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
