"""Tables on stdout."""

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from driftfield.errors import escaped
from driftfield.wording import plus_minus, within

if TYPE_CHECKING:
    from driftfield.evaluation import Evaluation
    from driftfield.evaluation.imputation import Imputation


class PlainConsole(Console):
    """A console to which names are text: neither styles nor emoji nor commands to the terminal."""

    def render_str(self, text: str, **options: Any) -> Text:
        """A string as it is, but for control characters."""
        return super().render_str(escaped(text, "\n"), **options)


def plain_console(width: int = 120) -> PlainConsole:
    """Plain text of a fixed width where stdout is not a terminal, so that it can be piped."""
    if sys.stdout.isatty():
        return PlainConsole(highlight=False, markup=False, emoji=False)  # no colours for numbers inside of names
    return PlainConsole(width=width, no_color=True, highlight=False, markup=False, emoji=False)


def print_evaluation(judged: "Evaluation") -> None:
    """The verdict, every metric with its floor, and the baselines."""
    console = plain_console()
    console.print(judged.verdict, soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    for name in ("metric", "value", "floor", "unit", "rows"):
        table.add_column(name, justify="left" if name in ("metric", "unit") else "right")
    for m in judged.metrics:
        floor = plus_minus(m.floor, m.floor_error)
        table.add_row(m.label, plus_minus(m.value, m.error), floor, m.unit, f"{m.rows:,}")
    console.print(table)
    if judged.imputation:
        console.print("\nHidden cells of held-out rows, filled; numbers in standard deviations:")
        console.print(_imputation_table(judged.imputation))
    if judged.baselines:
        console.print("\nMean log-density of the held-out rows, nats:")
        densities = Table(box=None, pad_edge=False, show_header=False)
        for label, mean, error in judged.densities():
            densities.add_row(label, plus_minus(mean, error))
        console.print(densities)


def _imputation_table(found: "Sequence[Imputation]") -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("method", "RMSE", "CRPS", "in 50 %", "in 90 %", "accuracy", "log-loss"):
        table.add_column(name, justify="left" if name == "method" else "right")
    for each in found:
        table.add_row(*each.cells())
    return table


def print_verification(found: Mapping[str, Any]) -> None:
    """The conclusion, one line for each check, and what failures mean."""
    console = plain_console()
    console.print(found["conclusion"], soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    for name in ("check", "result", "value", "allowed", "unit"):
        table.add_column(name, justify="right" if name in ("value", "allowed") else "left")
    for check in found["checks"]:
        value = plus_minus(check["value"], check["error"])
        table.add_row(check["label"], check["status"], value, within(check["low"], check["high"]), check["unit"])
    console.print(table)
    for check in found["checks"]:
        if check["status"] == "fail":
            console.print(f"\n{check['label']}: {check['note']}.\n{check['failure']}", soft_wrap=True)
    left_out = [f"{check['label']}: {check['reason']}." for check in found["checks"] if check["reason"]]
    if left_out:
        console.print("\nNot applicable:\n" + "\n".join(left_out), soft_wrap=True)


def print_catalogue(entries: list[dict[str, Any]]) -> None:
    """The built-in data."""
    table = Table(box=None, pad_edge=False)
    for name in ("name", "size", "summary"):
        table.add_column(name)
    for entry in entries:
        table.add_row(*(str(value) for value in entry.values()))
    plain_console().print(table)
