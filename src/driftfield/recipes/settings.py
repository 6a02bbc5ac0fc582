"""Settings: changes of a recipe as the command line gives them."""

import re
from typing import Any

from driftfield.errors import InputError
from driftfield.recipes.toml import parse_toml

_PART = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|([^.=]*?))\s*([.=])""")  # of a name, and what is after it


def parse_settings(settings: list[str]) -> dict[str, dict[str, Any]]:
    """``["train.steps=500", "network.activation=gelu"]`` as nested mappings; values are TOML, bare words, or nothing.

    Nothing, as in ``schedule.beta_end=``, leaves the key out. An option of a part may be named through the part, as in
    ``sample.grid.rho=5``, or beside it, as in ``sample.rho=5``. A part of a name may be in quotes, as in TOML.
    """
    changes: dict[str, Any] = {}
    for setting in settings:
        names, text = _split(setting)
        *path, key = names or [""]
        if not (path and key and all(path)):
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


def _split(setting: str) -> tuple[list[str], str]:
    """The parts of the name before the first =, none where there is no =, and the text after it."""
    names: list[str] = []
    place = 0
    while found := _PART.match(setting, place):
        names.append(next(part for part in found.groups()[:3] if part is not None))
        place = found.end()
        if found[4] == "=":
            return names, setting[place:]
    return [], ""
