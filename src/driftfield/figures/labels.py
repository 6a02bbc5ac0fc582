"""Names and numbers as text that fits."""

import math

MISSING = "–"
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def shorten(name: str, limit: int = 36) -> str:
    """A name on one line, without control characters, with an ellipsis where it is longer than the limit."""
    line = "".join(letter if letter.isprintable() else "\ufffd" for letter in " ".join(name.split()))
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def number(value: float | None, digits: int = 3) -> str:
    """A value to some significant digits: 0.512, −1.83, 12,400, 3.1·10⁻⁷; a dash where it is not finite."""
    if value is None or not math.isfinite(value):
        return MISSING
    if value == 0:
        return "0"
    mantissa, power = f"{value:.{digits - 1}e}".split("e")
    exponent = int(power)  # of the rounded value: 0.9999 is 1.00
    if not -5 < exponent < 7:
        return f"{mantissa}·10{str(exponent).translate(_SUPERSCRIPT)}".replace("-", "−")
    decimals = max(digits - 1 - exponent, 0)
    return f"{value:,.{decimals}f}".replace("-", "−")


def plus_minus(value: float | None, error: float | None) -> str:
    """A value with its standard error, both to the error's second digit: 0.5120 ± 0.0031."""
    if value is None or not math.isfinite(value):
        return MISSING
    if error is None or not math.isfinite(error) or error <= 0:
        return number(value)
    places = 1 - math.floor(math.log10(error))
    if abs(value) >= 1e7 or not -4 <= places <= 6:
        return f"{number(value)} ± {number(error, 2)}"
    shown = f"{round(value, places):,.{max(places, 0)}f} ± {round(error, places):,.{max(places, 0)}f}"
    return shown.replace("-", "−")


def noise_level(value: float) -> str:
    """The noise level sigma/alpha without idle zeros; it is infinite where no signal is left."""
    if math.isinf(value):
        return "∞"
    text = number(value)
    return text.rstrip("0").rstrip(".") if "." in text and "·" not in text else text
