"""The most likely cause, named by the pattern of failures.

Some checks accuse one part alone, whatever the others say: units, sign, memorisation, the clock of the schedule. They
are asked first. A failure of the density alone accuses its integration; what is left accuses the network.

A network that was barely trained has no sense of the time either. Under a swapped schedule it has: told the right
level, it sees better than any linear estimate, and what it should be told lies to the same side at all levels.
"""

from __future__ import annotations

from collections.abc import Sequence

from driftfield.verification.check import Check

UNITS, SIGN, MEMORISED, SCHEDULE, NETWORK, SAMPLER, PRIOR, DENSITY, NOTHING = (
    "units", "sign", "memorised", "schedule", "network", "sampler", "prior", "density", "nothing",
)  # fmt: skip

SENTENCES = {
    UNITS: "the units are wrong: the scaling stored with the model is not that of its training rows",
    SIGN: "the score has the wrong sign: the estimated noise runs against the true noise",
    MEMORISED: "the training rows were memorised: the model gives back what it was shown",
    SCHEDULE: "the schedule is not the one that the network was trained with: it is told wrong noise levels",
    NETWORK: "the network has not learned the distribution: it was trained too briefly, or its weights are damaged",
    SAMPLER: "the sampler is too coarse for this model: more steps, or another grid, would mend it",
    PRIOR: "the forward process ends before it reaches the prior, which only another schedule can mend",
    DENSITY: "log-densities are integrated too coarsely: more steps would mend them; samples are not affected",
}
OF_NETWORK = ("calibration", "clock", "score", "exact_score", "latents", "network")
SEES = 0.95  # of the linear estimate's error: 0.78 to 0.91 under swapped schedules, 0.98 and more after two epochs
ONE_SIDED = 0.8  # of the gain; 0.97 and more under swapped schedules
THROUGH_PRIOR = (
    "prior",
    "latents",
    "network",
    "sampler",
)  # what fails where sampling starts from the wrong distribution


def likely_cause(checks: Sequence[Check]) -> str:
    """The key of the most likely cause in SENTENCES, or "nothing"."""
    by_name = {check.name: check for check in checks}
    failed = {check.name for check in checks if check.failed}
    if not failed:
        return NOTHING
    if "units" in failed:
        return UNITS
    if _runs_backwards(by_name.get("calibration")):
        return SIGN
    if "memorisation" in failed:
        return MEMORISED
    if "clock" in failed and _is_told_wrongly(by_name["clock"]):
        return SCHEDULE
    if "prior" in failed and failed.issubset(THROUGH_PRIOR):
        return PRIOR
    if failed.intersection(OF_NETWORK):
        return NETWORK
    if "sampler" in failed:
        return SAMPLER
    return PRIOR if "prior" in failed else DENSITY


def _runs_backwards(calibration: Check | None) -> bool:
    """Whether the slope of true on estimated noise is negative at most noise levels."""
    if calibration is None or calibration.finding is None:
        return False
    slopes: list[float] = list(calibration.finding.details.get("by_noise", {}).values())
    return 2 * sum(slope < 0 for slope in slopes) > len(slopes)


def _is_told_wrongly(clock: Check) -> bool:
    """Whether a network that is told t sees well once it is told other times, all later or all earlier than it is.

    One that is told log(sigma / alpha) itself is told the right level under any schedule.
    """
    if clock.finding is None or clock.finding.details["told"] != "t":
        return False
    details = clock.finding.details
    levels = [float(level) for level in details["gain"]]
    told, gain, beside = (list(details[key].values()) for key in ("best_told", "gain", "beside_linear"))
    higher = sum(share for level, best, share in zip(levels, told, gain, strict=True) if best > level)
    lower = sum(share for level, best, share in zip(levels, told, gain, strict=True) if best < level)
    sees = beside[gain.index(max(gain))] < SEES
    return bool(sees and max(higher, lower) > ONE_SIDED * (higher + lower))


def conclusion(checks: Sequence[Check]) -> str:
    """One sentence for the top of the page."""
    applied = [check for check in checks if check.finding is not None]
    failed = [check for check in applied if check.failed]
    if not failed:
        return f"All {len(applied)} checks pass: within their tolerances this model's numbers can be trusted."
    names = ", ".join(check.name.replace("_", " ") for check in failed)
    cause = likely_cause(checks)
    sentence = f"{len(failed)} of {len(applied)} checks fail ({names}). Most likely, {SENTENCES[cause]}."
    if cause != PRIOR and any(check.name == "prior" for check in failed):
        sentence += f" Besides, {SENTENCES[PRIOR]}."
    return sentence
