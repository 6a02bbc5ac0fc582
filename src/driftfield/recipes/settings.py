"""Settings: changes of a recipe as the command line gives them."""

from typing import Any

from driftfield.errors import InputError
from driftfield.recipes.toml import parse_toml


def parse_settings(settings: list[str]) -> dict[str, dict[str, Any]]:
    """``["train.steps=500", "network.activation=gelu"]`` as nested mappings; values are TOML, bare words, or nothing.

    Nothing, as in ``schedule.beta_end=``, leaves the key out. An option of a part may be named through the part, as in
    ``sample.grid.rho=5``, or beside it, as in ``sample.rho=5``.
    """
    changes: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        *path, key = name.strip().split(".")
        if not (equals and path and key and all(path)):
            raise InputError(f'"--set {setting}" is not of the form section.key=value, such as train.steps=500.')
        try:
            value = parse_toml(f"value = {text}")["value"] if text.strip() else None
        except ValueError:
            value = text.strip()
        place = changes
        for part in path:
            there = place.get(part)
            place[part] = there if isinstance(there, dict) else {} if there is None else {"kind": there}
            place = place[part]
        place[key] = value
    return changes
