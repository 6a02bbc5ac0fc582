"""The report of a tutorial: its chapters, what limits it, the default recipe, its ideas, then the usual sections."""

import shlex
from collections.abc import Callable
from dataclasses import replace

from driftfield.report.contents import Contents
from driftfield.report.gather import gather
from driftfield.report.section import Section
from driftfield.tutorials import chapters, classes, ddpm, ring, vlb, x0
from driftfield.tutorials.conclusions import default_recipe, diagnosis, ideas
from driftfield.tutorials.results import Results

CHAPTERS: dict[str, Callable[[Results], Section]] = {  # by the names that the tutorials' files use
    chapter.__name__: chapter
    for chapter in (
        *(chapters.data, chapters.forward, chapters.reverse, chapters.loss, chapters.result, chapters.film),
        *(vlb.closed_forms, vlb.terms, vlb.from_entropy_to_bound),
        *(ddpm.three_distributions, ddpm.three_schedules),
        *(ring.histograms, ring.two_objectives, ring.smoluchowski),
        *(x0.two_schedules, x0.learned_variance, x0.learned_schedule),
        *(classes.guidance, classes.striding),
    )
}


def contents_of(results: Results, run: str) -> Contents:
    """Everything that the page shows."""
    tutorial, contents = results.tutorial, gather(results.model, results.judged, run)
    name, quoted = tutorial.name, shlex.quote(run)
    own = [CHAPTERS[chapter] for chapter in tutorial.chapters]
    steps = [
        (f"driftfield tutorial {name} --time 5m --force", "the same, trained longer"),
        (f"driftfield recipes {name}", "its recipe; every key can be changed with --set"),
        (f"driftfield report {quoted} --theme blackboard", "the plain report in the tutorial's dark style"),
        *contents.next_steps[:4],
    ]
    return replace(
        contents,
        title=tutorial.title,
        source=f"after tutorial {tutorial.source} · {contents.source}",
        chapters=tuple(chapter(results) for chapter in (*own, diagnosis, default_recipe, ideas)),
        next_steps=steps,
    )
