"""The five tutorials that the project grew from: each a recipe, with a report of its figures and of its faults."""

from driftfield.tutorials.tutorial import TUTORIALS, Tutorial

__all__ = ["TUTORIALS", "Tutorial"]
