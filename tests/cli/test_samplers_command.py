"""The command ``samplers`` as a user runs it."""

import json

from command import Run

from driftfield.diffusion import SAMPLERS


def test_all_samplers_are_listed_with_their_order_and_source(driftfield: Run) -> None:
    listed = driftfield("samplers")
    assert listed.returncode == 0
    for name, sampler in SAMPLERS.items():
        (line,) = [line for line in listed.stdout.splitlines() if line.split(" ")[0] == name]
        assert sampler.source in line
        assert (" random " in line) == sampler.random
        if sampler.fewest_steps:
            assert f" {sampler.fewest_steps} " in line
    entries = json.loads(driftfield("samplers", "--json").stdout)
    assert {entry["name"]: entry["order"] for entry in entries} == {n: s.order for n, s in SAMPLERS.items()}


def test_a_picture_without_measurements_or_of_another_kind_is_refused(driftfield: Run) -> None:
    for arguments in (("-o", "x.png"), ("--measure", "-o", "x.jpg")):
        refused = driftfield("samplers", *arguments)
        assert refused.returncode == 2
        assert refused.stderr.startswith(("Error: The picture", "Error: Cannot write x.jpg: end its name in .png"))
        assert refused.stdout == ""
