"""What the command ``samplers`` does: list them, or measure them on a distribution whose denoiser is exact."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from driftfield.cli.streams import say
from driftfield.cli.tables import plain_console
from driftfield.errors import InputError
from driftfield.files import check_writable, write_atomically

if TYPE_CHECKING:
    from driftfield.verification.convergence import Convergence

PICTURE = Path("samplers.png")


def samplers(measure: bool, out: Path | None, seed: int, json_: bool) -> None:
    """Print the table of all samplers; with ``measure``, measure their orders and errors and draw a picture of them."""
    if out is not None and not measure:
        raise InputError("The picture that -o names shows measurements: add --measure.")
    if measure:
        _measured(out or PICTURE, seed, json_)
        return
    entries = [_entry(name) for name in _names()]
    if json_:
        print(json.dumps(entries, indent=2))
        return
    table = Table(box=None, pad_edge=False)
    for title in ("sampler", "order", "evaluations", "steps from", "noise", "what it is", "source"):
        number = title in ("order", "evaluations", "steps from")
        table.add_column(title, justify="right" if number else "left", no_wrap=True)
    for entry in entries:
        table.add_row(
            entry["name"],
            "–" if entry["order"] is None else str(entry["order"]),
            "own choice" if entry["evaluations"] is None else str(entry["evaluations"]),
            "–" if entry["fewest_steps"] is None else str(entry["fewest_steps"]),
            "random" if entry["random"] else "–",
            entry["summary"] + (f" (needs {entry['needs']})" if entry["needs"] else ""),
            entry["source"],
        )
    plain_console(160).print(table)
    say(
        "Evaluations: of the denoiser, per step. Steps from: with fewer, the variance of the rows can be off by more "
        "than a factor of two (two simple distributions, VE, karras grid). Next: driftfield samplers --measure"
    )


def _names() -> list[str]:
    from driftfield.diffusion import SAMPLERS

    return list(SAMPLERS)


def _entry(name: str) -> dict[str, Any]:
    from driftfield.diffusion import SAMPLERS

    about = {key: value for key, value in vars(SAMPLERS[name]).items() if key != "step"}
    return {"name": name, **about}


def _measured(out: Path, seed: int, json_: bool) -> None:
    import torch

    from driftfield.report.convergence import convergence_png
    from driftfield.verification import convergence

    torch.set_num_threads(1)  # a few hundred particles are not worth a second thread
    check_writable(out, (".png",))
    found = []
    for one in convergence.measure(seed=seed):
        say(f"{one.name} ..")
        found.append(one)
    floor = convergence.floor(seed)
    write_atomically(out, convergence_png(found, floor))
    if json_:
        print(json.dumps({"floor": floor, "samplers": [asdict(one) for one in found], "picture": str(out)}, indent=2))
        return
    _table(found, floor)
    for one in found:
        if not one.steps_errors and one.curve:
            curve = ", ".join(f"{error:.1e} with {n:.0f}" for n, error in one.curve)
            say(f"{one.name}, by tolerance: an end-point error of {curve} evaluations.")
    print(out)


def _table(found: "list[Convergence]", floor: float) -> None:
    from driftfield.diffusion import SAMPLERS

    table = Table(box=None, pad_edge=False)
    titles = ("sampler", "order", "measured", "N = 16", "64", "256", "variance", "W2 at 10", "/ floor", "grid")
    for title in titles:
        table.add_column(title, justify="left" if title in ("sampler", "grid") else "right", no_wrap=True)
    for one in found:
        stated = SAMPLERS[one.name].order
        table.add_row(
            one.name,
            "–" if stated is None else str(stated),
            "–" if one.order is None else f"{one.order:.2f}",
            *([f"{error:.1e}" for error in one.steps_errors] or ["–"] * 3),
            "–" if one.variance_error is None else f"{one.variance_error:+.1%}",
            *(("–", "–", "–") if one.at_ten is None else _at_ten(one.at_ten, floor)),
        )
    plain_console(120).print(table)
    say(
        "N: steps, and the median end-point error of 256 particles on a mixture of 8 Gaussians, VE from 80 to 0.002, "
        "karras grid. Measured: the order of that error, or for random samplers that of the error in the variance of "
        "Gaussian data; negative if the error grows. Variance: its relative error with 50 steps. "
        f"W2 at 10: Wasserstein-2 with at most 10 evaluations, on the better of two grids; floor {floor:.4f}."
    )


def _at_ten(at_ten: tuple[float, str], floor: float) -> tuple[str, str, str]:
    value, grid = at_ten
    return f"{value:.3f}", f"{value / floor:.2f}", grid
