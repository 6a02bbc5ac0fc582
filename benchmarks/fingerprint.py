"""Record what the code computes and compare two records, to show that a refactoring changed nothing.

    python -m benchmarks.fingerprint record FOLDER          train, sample, score and evaluate; one file per recipe
    python -m benchmarks.fingerprint compare OLD NEW        print the largest difference of each quantity; exit with
                                                            1 if one exceeds --tolerance (0 by default)

The default recipe on three data sets at its own length, and every tutorial recipe at 50 steps, all with seed 0 and one
thread. Only the public API is used, so this file also runs with older and newer versions of the package.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch

import driftfield

DEFAULT = ("moons", "swiss-roll", "sklearn:wine")
RECIPES = (
    "swiss-roll-elbo",
    "ddpm-vlb",
    "moons-ddpm",
    "s-curve-ddpm",
    "swiss-roll-ddpm",
    "ring-score-sde",
    "ring-sliced-score",
    "parabola-x0",
    "moons-circles-x0",
    "moons-classes",
    "parabola-learned-schedule",
)
STEPS, ROWS, DENSITIES, JUDGED = 50, 2_000, 200, 2_000


def record(name: str) -> dict[str, np.ndarray]:
    """Everything that is compared for one recipe, by name."""
    if name in DEFAULT:
        model = driftfield.fit(name, seed=0)
    else:
        model = driftfield.fit(None, name, seed=0, train={"steps": STEPS, "epochs": None, "snapshots": []})
    found = {f"weights/{key}": value.double().numpy() for key, value in model.denoiser.state_dict().items()}
    found["steps"] = np.array([model.facts["steps"], model.facts["best step"]], dtype=float)
    found["samples"] = model.sample(ROWS, seed=0)
    rows = model.held_out[:DENSITIES]
    found["densities/value"], found["densities/error"] = model.log_prob(rows)
    if model.classes:
        found["samples of a class"] = model.sample(ROWS, seed=0, label=model.classes[0])
    judged = model.evaluate(JUDGED, seed=0).as_dict()
    for key, metric in judged["metrics"].items():
        for part in ("value", "floor", "error", "floor_error"):
            found[f"report/{key}/{part}"] = np.array(np.nan if metric[part] is None else metric[part], dtype=float)
    found["report/densities"] = np.array([each["mean_log_density"] for each in judged["densities"]], dtype=float)
    return found


def difference(old: np.ndarray, new: np.ndarray) -> float:
    """The largest difference, relative where the old value exceeds 1; infinite if the shapes differ."""
    if old.shape != new.shape or not np.array_equal(np.isnan(old), np.isnan(new)):
        return float("inf")
    away = np.abs(new - old) / np.maximum(1.0, np.abs(old))
    return float(np.nanmax(away, initial=0.0))


def compare(old: Path, new: Path, tolerance: float) -> int:
    """Print the largest differences by recipe and quantity; returns how many exceed the tolerance."""
    beyond = 0
    for path in sorted(old.glob("*.npz")):
        before, after = np.load(path), np.load(new / path.name)
        kinds: dict[str, float] = {}
        for key in sorted(set(before.files) | set(after.files)):
            known = key in before.files and key in after.files
            away = difference(before[key], after[key]) if known else float("inf")
            kind = key.split("/")[0]
            kinds[kind] = max(kinds.get(kind, 0.0), away)
        beyond += sum(away > tolerance for away in kinds.values())
        print(f"{path.stem:28}", "  ".join(f"{kind} {away:.1e}" for kind, away in kinds.items()))
    return beyond


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=["record", "compare"])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--tolerance", type=float, default=0.0)
    parser.add_argument("--only", nargs="*", default=None, help="names of recipes or data sets")
    options = parser.parse_args()
    if options.verb == "compare":
        return int(compare(*options.folders, options.tolerance) > 0)
    torch.set_num_threads(1)
    (folder,) = options.folders
    folder.mkdir(parents=True, exist_ok=True)
    for name in options.only or (*DEFAULT, *RECIPES):
        found = record(name)
        np.savez(folder / f"{name.replace(':', '-')}.npz", **found)
        print(json.dumps({"name": name, "steps": found["steps"].tolist()}), file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
