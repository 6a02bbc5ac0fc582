"""What a tutorial is: a recipe, the chapters of its report, the faults of the published code, and where its ideas went.

All of it is data, in the TOML files beside this module. A file holds the tutorials after one document: what stands
above the first ``[[tutorial]]`` belongs to all of them.
"""

import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Any, NamedTuple

from pydantic import BaseModel

DOCUMENTS = ("elbo", "vlb", "ddpm", "ring", "x0", "classes")  # in the order of the list of tutorials


class Idea(NamedTuple):
    """An idea of the tutorial, the part that implements it, and the module that explains it."""

    idea: str
    part: str
    module: str


class Fault(BaseModel, frozen=True, extra="forbid"):
    """Something that the published code gets wrong, its consequence, and the setting that brings it back or fixes it.

    ``sampling`` holds options of :meth:`Model.sample` that bring it back, so that its effect on the trained model can
    be measured.
    """

    what: str
    consequence: str
    setting: str = ""
    sampling: dict[str, Any] = {}


class Companion(BaseModel, frozen=True, extra="forbid"):
    """Another model to compare with: a recipe with changes, trained for a fraction of the tutorial's own time.

    ``shared`` sections are copied from the tutorial's recipe, so that what a user sets there holds for both.
    """

    label: str
    recipe: str = ""  # the tutorial's own where it is empty
    changes: dict[str, dict[str, Any]] = {}
    shared: tuple[str, ...] = ()
    fraction: float = 0.4


class Tutorial(BaseModel, frozen=True, extra="forbid"):
    """One tutorial's recipe and what its report shows.

    Attributes:
        name: of the recipe.
        source: the document it follows.
        title: of the report.
        summary: one line for the list.
        chapters: the names of the sections with its figures; see :data:`driftfield.tutorials.report.CHAPTERS`.
        ideas, faults: for the sections that close the report.
        loss: sentences beside the curve of the loss.
        printed: the loss that the tutorial prints, by epoch.
        pictures: in each row that shows a process.
        companions: trained in addition.
    """

    name: str
    source: str
    title: str
    summary: str
    chapters: tuple[str, ...]
    ideas: tuple[Idea, ...]
    faults: tuple[Fault, ...]
    loss: tuple[str, ...]
    printed: dict[int, float] = {}
    pictures: int = 11
    companions: dict[str, Companion] = {}


def _read(document: str) -> list[Tutorial]:
    """The tutorials of one file."""
    text = resources.files("driftfield").joinpath("tutorials", f"{document}.toml").read_text(encoding="utf-8")
    common = tomllib.loads(text)
    return [Tutorial.model_validate(_joined(common, own)) for own in common.pop("tutorial")]


def _joined(common: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    companions = {**common.get("companions", {}), **own.get("companions", {})}
    return {**common, **own, "companions": companions}


TUTORIALS = {tutorial.name: tutorial for document in DOCUMENTS for tutorial in _read(document)}
