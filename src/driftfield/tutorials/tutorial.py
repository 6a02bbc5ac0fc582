"""What a tutorial is: a recipe, the figures of its chapters, its faults, and which parts its ideas became."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from driftfield.figures.section import Section
    from driftfield.tutorials.lesson import Lesson

Settings = Mapping[str, Mapping[str, Any]]  # keys of a recipe, by section


@dataclass(frozen=True)
class Idea:
    """An idea of the tutorial, the part that it became, and the module that explains it."""

    idea: str
    part: str
    module: str


@dataclass(frozen=True)
class Fault:
    """Something that the published code gets wrong: what, what it costs, and how to bring it back.

    ``toggle`` is the setting that does so, where there is one; ``sampling`` holds options of :meth:`Model.sample` that
    do, so that the cost can be measured on the trained model.
    """

    what: str
    cost: str
    toggle: str = ""
    sampling: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Companion:
    """Another training beside the main one, to compare with: a recipe, with changes, for a share of its time.

    ``shared`` sections are those of the main training, so that what a user sets there holds for both.
    """

    key: str
    label: str
    recipe: str
    changes: Settings = field(default_factory=dict)
    shared: tuple[str, ...] = ()
    share: float = 0.4


@dataclass(frozen=True)
class Tutorial:
    """One tutorial's recipe and what its report shows.

    Attributes:
        name: of the recipe.
        source: the document it follows.
        title: of the report.
        summary: one line for the list.
        chapters: the sections with its figures, from what was trained and measured.
        ideas, faults: for the bridge and the diagnosis.
        companions: trained beside it.
    """

    name: str
    source: str
    title: str
    summary: str
    chapters: Callable[[Lesson], Iterator[Section]]
    ideas: tuple[Idea, ...]
    faults: tuple[Fault, ...]
    companions: tuple[Companion, ...] = ()
