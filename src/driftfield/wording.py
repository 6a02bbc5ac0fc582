"""Numbers, errors and names as a person reads them: in the terminal, on the pages and in pictures."""

import math

MISSING = "–"
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_SMALLEST, _LARGEST = -4, 6  # powers of ten that are written out
_PLACES = 8
FEWEST_OF_A_PERCENTAGE = 30


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
    if not _SMALLEST <= exponent <= _LARGEST:
        return _proper(f"{mantissa}·{_power(exponent)}")
    return _proper(f"{value:,.{max(digits - 1 - exponent, 0)}f}")


def plus_minus(value: float | None, error: float | None) -> str:
    """A value with its standard error, both to the error's second digit: 0.5132 ± 0.0035, (2.2 ± 0.8)·10⁻⁵."""
    if value is None or not math.isfinite(value):
        return MISSING
    if error is None or not math.isfinite(error) or error <= 0:
        return number(value)
    error = float(f"{error:.1e}")
    exponent = math.floor(math.log10(max(abs(value), error)))
    if _SMALLEST < exponent <= _LARGEST:
        exponent = 0
    value, error = value / 10.0**exponent, error / 10.0**exponent
    places = max(1 - math.floor(math.log10(error)), 0)
    if places > _PLACES:
        return f"{number(value * 10.0**exponent)} ± {number(error * 10.0**exponent, 2)}"
    both = f"{value:,.{places}f} ± {error:,.{places}f}"
    return _proper(f"({both})·{_power(exponent)}" if exponent else both)


def share(fraction: float, n: int, what: str = "") -> str:
    """A fraction of n things: 8.3 % of rows; of fewer than 30 the count, 1 of 12 rows."""
    rest = f" {what}" if what else ""
    if n < FEWEST_OF_A_PERCENTAGE:
        return f"{round(fraction * n)} of {n}{rest}"
    return f"{100 * fraction:.1f} %{' of' * bool(what)}{rest}"


def within(low: float | None, high: float | None) -> str:
    """The values between two ends, which may be open: at most 0.0500, at least −0.100, 0.980 to 1.02."""
    if low is None:
        return "" if high is None else f"at most {number(high)}"
    return f"at least {number(low)}" if high is None else f"{number(low)} to {number(high)}"


def noise_level(value: float) -> str:
    """The noise level sigma/alpha without idle zeros; it is infinite where no signal is left."""
    if math.isinf(value):
        return "∞"
    text = number(value)
    return text.rstrip("0").rstrip(".") if "." in text and "·" not in text else text


def power_of_ten(value: float) -> str:
    """A tick of a logarithmic axis of many decades: 10⁻³."""
    return _power(round(math.log10(value))) if value > 0 else ""


def _power(exponent: int) -> str:
    return "10" + str(exponent).translate(_SUPERSCRIPT)


def _proper(text: str) -> str:
    """Hyphens as minus signs."""
    return text.replace("-", "−")
