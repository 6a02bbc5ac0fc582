"""The five tutorials that the project grew from: each a recipe, with a report of all its figures and what is wrong."""

from driftfield.tutorials.tutorial import TUTORIALS, Tutorial

__all__ = ["TUTORIALS", "Tutorial"]
