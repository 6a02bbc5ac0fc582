"""TOML, the text of recipes and of ``--set``: read within bounds, and written so that it can be read again."""

import json
import re
import tomllib
from collections.abc import Mapping
from typing import Any

MOST_PARTS = 100  # of a dotted key: the time that tomllib takes grows with their square
_PART = r"""[\w-]++|"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+'"""
_LONG_KEY = re.compile(rf"(?:\.[ \t]*+(?:{_PART})[ \t]*+){{{MOST_PARTS}}}")


def parse_toml(text: str) -> dict[str, Any]:
    """The keys and values of a TOML text.

    Raises:
        ValueError: the text is not TOML, or nests too deeply.
    """
    if _LONG_KEY.search(text):
        raise ValueError(f"a key has more than {MOST_PARTS} parts")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("its values are nested too deeply") from None


def toml_value(value: Any) -> str:
    """A value as TOML: a part without options by its name alone, with options as an inline table."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # which JSON leaves as it is
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    if not isinstance(value, Mapping):
        return json.dumps(value)
    if set(value) == {"kind"}:
        return toml_value(value["kind"])
    return "{" + ", ".join(f"{key} = {toml_value(each)}" for key, each in value.items() if each is not None) + "}"
