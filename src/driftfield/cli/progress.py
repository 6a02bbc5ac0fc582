"""Progress on stderr: a bar on a terminal, a line every ten seconds elsewhere."""

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from driftfield.cli.streams import say
from driftfield.training.callbacks import Report

LINE_SECONDS = 10.0


class Bar:
    """A progress bar with one line of text.

    Args:
        what: the work, such as "training".
        quiet: show nothing.
    """

    def __init__(self, what: str, quiet: bool = False) -> None:
        self.what, self.quiet = what, quiet
        self.printed = time.monotonic()
        self.bar: Progress | None = None
        if not quiet and sys.stderr.isatty():
            columns = TextColumn(what), BarColumn(bar_width=24), TextColumn("{task.fields[text]}")
            self.bar = Progress(*columns, console=Console(stderr=True), transient=True)

    def __enter__(self) -> "Bar":
        if self.bar is not None:
            self.bar.start()
            self.task = self.bar.add_task(self.what, total=None, text="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar.stop()

    def show(self, done: int, total: int, text: str) -> None:
        """Show ``done`` of ``total``: at once on a terminal, else every ten seconds."""
        if self.bar is not None:
            self.bar.update(self.task, completed=done, total=total, text=text)
        elif not self.quiet and time.monotonic() - self.printed >= LINE_SECONDS:
            self.printed = time.monotonic()
            say(f"{self.what}: {text}")

    def training(self, report: Report) -> None:
        """Loss, held-out loss, rows per second and the time left."""
        held_out = "" if report.validation is None else f"  held-out {report.validation:.4f}"
        text = (
            f"step {report.step}/{report.steps}  loss {report.loss:.4f}{held_out}  "
            f"{report.rows_per_second:,.0f} rows/s  {_duration(report.seconds_left)} left"
        )
        self.show(report.step, report.steps, text)

    def rows(self, done: int, total: int) -> None:
        """Rows done of a total."""
        self.show(done, total, f"{done:,} of {total:,} rows")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(max(seconds, 0)), 60)
    return f"{minutes}:{rest:02d}" if minutes else f"{rest} s"
