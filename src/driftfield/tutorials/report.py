"""The report of a lesson: the chapters, the diagnosis, the repair and the bridge, then the usual sections."""

import shlex
from dataclasses import replace

from driftfield.report.contents import Command, Contents
from driftfield.report.gather import gather
from driftfield.tutorials.closing import closing
from driftfield.tutorials.tutorial import Lesson


def contents_of(lesson: Lesson, run: str) -> Contents:
    """Everything that the page shows."""
    contents = gather(lesson.model, lesson.judged, run)
    name = lesson.tutorial.name
    steps = [
        Command(f"driftfield tutorial {name} --time 5m --force", "the same, trained longer"),
        Command(f"driftfield recipes {name}", "its recipe; every key can be changed with --set"),
        Command(
            f"driftfield report {shlex.quote(run)} --theme blackboard", "the plain report in the tutorial's dark style"
        ),
        *contents.next_steps[:4],
    ]
    return replace(
        contents,
        title=lesson.tutorial.title,
        source=f"after tutorial {lesson.tutorial.source} · {contents.source}",
        chapters=(*lesson.tutorial.chapters(lesson), *closing(lesson)),
        next_steps=steps,
    )
