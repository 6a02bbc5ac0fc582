"""The most likely cause of failures, from their pattern.

Some checks point to a single part, regardless of the others: units, the codes of levels, sign, memorisation, the clock
of the schedule. They come first. If only the density fails, its integration is to blame; everything else points to the
network.

A network that was barely trained fails the clock too. Under a swapped schedule, in contrast, it has learned something:
with the right level as its input it beats every linear estimate, and all levels are off in the same direction.
"""

from __future__ import annotations

from collections.abc import Sequence

from driftfield.verification.check import Check

UNITS, CODES, SIGN, MEMORISED, SCHEDULE, NETWORK, SAMPLER, PRIOR, DENSITY, NOTHING = (
    "units", "codes", "sign", "memorised", "schedule", "network", "sampler", "prior", "density", "nothing",
)  # fmt: skip

SENTENCES = {
    UNITS: "the units are wrong: the scaling stored with the model is not that of its training rows",
    CODES: "the levels of a category are not told apart: two have the same code, or rows are not scored on their own",
    SIGN: "the score has the wrong sign: the estimated noise points away from the true noise",
    MEMORISED: "the model has memorised its training rows",
    SCHEDULE: "the schedule is not the one that the network was trained with: it gets wrong noise levels as its input",
    NETWORK: "the network has not learned the distribution: it was trained too briefly, or its weights are damaged",
    SAMPLER: "the sampler is too coarse for this model: more steps, or another grid, would fix it",
    PRIOR: "the forward process ends before it reaches the prior, which only another schedule can fix",
    DENSITY: "log-densities are integrated too coarsely: more steps would fix them; samples are not affected",
}
OF_NETWORK = ("calibration", "clock", "score", "exact_score", "latents", "network", "order", "ratios")
LEARNED = 0.95  # of the error of the linear estimate: 0.78 to 0.91 under swapped schedules, 0.98 after two epochs
ONE_SIDED = 0.8  # of the gain; 0.97 and more under swapped schedules
THROUGH_PRIOR = (
    "prior",
    "latents",
    "network",
    "sampler",
)  # the checks that fail if sampling starts from the wrong distribution


def likely_cause(checks: Sequence[Check]) -> str:
    """The key of the most likely cause in SENTENCES, or "nothing"."""
    by_name = {check.name: check for check in checks}
    failed = {check.name for check in checks if check.failed}
    if not failed:
        return NOTHING
    if "units" in failed:
        return UNITS
    if "sums" in failed:
        return CODES
    if _runs_backwards(by_name.get("calibration")):
        return SIGN
    if "memorisation" in failed:
        return MEMORISED
    if "clock" in failed and _gets_wrong_levels(by_name["clock"]):
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


def _gets_wrong_levels(clock: Check) -> bool:
    """Whether a network with the input t does well with other times, all of them later or all of them earlier.

    A network with the input log(sigma / alpha) gets the right level under any schedule.
    """
    if clock.finding is None or clock.finding.details["input"] != "t":
        return False
    details = clock.finding.details
    levels = [float(level) for level in details["gain"]]
    inputs, gains, beside = (list(details[key].values()) for key in ("best_input", "gain", "beside_linear"))
    higher = sum(gain for level, best, gain in zip(levels, inputs, gains, strict=True) if best > level)
    lower = sum(gain for level, best, gain in zip(levels, inputs, gains, strict=True) if best < level)
    learned = beside[gains.index(max(gains))] < LEARNED
    return bool(learned and max(higher, lower) > ONE_SIDED * (higher + lower))


def conclusion(checks: Sequence[Check]) -> str:
    """One sentence for the top of the page."""
    applied = [check for check in checks if check.finding is not None]
    failed = [check for check in applied if check.failed]
    if not failed:
        return f"All {len(applied)} checks pass: within their tolerances the numbers of this model can be trusted."
    names = ", ".join(check.name.replace("_", " ") for check in failed)
    cause = likely_cause(checks)
    sentence = f"{len(failed)} of {len(applied)} checks fail ({names}). Most likely, {SENTENCES[cause]}."
    if cause != PRIOR and any(check.name == "prior" for check in failed):
        sentence += f" In addition, {SENTENCES[PRIOR]}."
    return sentence
