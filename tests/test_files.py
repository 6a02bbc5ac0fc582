"""What is written is what can be read again."""

import json
from dataclasses import dataclass

import numpy as np

from driftfield.files import plain


@dataclass
class Pair:
    value: float
    places: tuple[float, ...]


def test_plain_data_is_what_json_holds_and_has_null_for_what_it_does_not() -> None:
    found = {"a": np.inf, "b": Pair(float("nan"), (1.5, -np.inf)), "c": np.array([[0.1, np.nan]]), "d": np.float32(2)}
    read = {"a": None, "b": {"value": None, "places": [1.5, None]}, "c": [[0.1, None]], "d": 2.0}
    assert plain(found) == read
    assert json.loads(json.dumps(plain(found), allow_nan=False)) == read
