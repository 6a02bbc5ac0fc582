"""Copy the pictures of the guide from the runs of the tutorials, scaled down.

    python -m benchmarks.pictures [--runs runs/tutorials] [--to docs/images/tutorials]

RUNS/NAME/figures/FIGURE.png becomes TO/NAME-FIGURE.png: at most 1,400 pixels wide, with as many colours as fit into
150 kB. FIGURE is the anchor of a section of the report. The pages of docs/tutorials may show no other pictures.
"""

import argparse
import io
import sys
from pathlib import Path

from PIL import Image

PICTURES: dict[str, tuple[str, ...]] = {
    "swiss-roll-elbo": ("tutorial-forward", "tutorial-reverse", "tutorial-loss", "repair"),
    "ddpm-vlb": ("closed-forms", "terms", "ladder"),
    "moons-ddpm": ("tutorial-schedules", "tutorial-forward", "tutorial-reverse", "tutorial-result", "repair"),
    "ring-score-sde": ("ring-histograms", "ring-sliced", "smoluchowski"),
    "parabola-x0": ("tutorial-schedules", "tutorial-reverse", "learned-variance", "learned-schedule"),
    "moons-circles-x0": ("tutorial-result",),
    "moons-classes": ("guidance", "striding"),
}
WIDEST = 1_400  # pixels
LARGEST = 150_000  # bytes
ALL_TOGETHER = 3_000_000  # bytes
COLOURS = (256, 128, 64, 32, 16)


def names() -> list[str]:
    """The file names of all pictures."""
    return [f"{recipe}-{figure}.png" for recipe, figures in PICTURES.items() for figure in figures]


def small(picture: Image.Image) -> bytes:
    """A picture as a PNG of at most WIDEST pixels and LARGEST bytes: fewer colours first, then fewer pixels."""
    picture, width = picture.convert("RGB"), min(picture.width, WIDEST)
    while True:
        scaled = picture.resize((width, round(picture.height * width / picture.width)), Image.Resampling.LANCZOS)
        for colours in COLOURS:
            data = _png(scaled.quantize(colours, dither=Image.Dither.NONE))
            if len(data) < LARGEST:
                return data
        width = width * 9 // 10


def _png(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "PNG", optimize=True)
    return stream.getvalue()


def copy(runs: Path, to: Path) -> list[Path]:
    """Write every picture whose run exists; returns the paths of the missing ones."""
    missing, total = [], 0
    to.mkdir(parents=True, exist_ok=True)
    for recipe, figures in PICTURES.items():
        for figure in figures:
            source = runs / recipe / "figures" / f"{figure}.png"
            if not source.exists():
                missing.append(source)
                continue
            with Image.open(source) as picture:
                data = small(picture)
            (to / f"{recipe}-{figure}.png").write_bytes(data)
            total += len(data)
            print(f"{len(data):>8,} bytes  {recipe}-{figure}.png")
    print(f"{total:>8,} bytes  in total, of at most {ALL_TOGETHER:,}")
    if total > ALL_TOGETHER:
        sys.exit("The pictures are too large in total: list fewer, or lower LARGEST.")
    return missing


def main() -> None:
    """Copy all pictures; exit with 1 if one is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs/tutorials"), help="the folder of the runs")
    parser.add_argument("--to", type=Path, default=Path("docs/images/tutorials"), help="the folder of the pictures")
    options = parser.parse_args()
    missing = copy(options.runs, options.to)
    for source in missing:
        print(f"missing: {source}", file=sys.stderr)
    sys.exit(1 if missing else 0)


if __name__ == "__main__":
    main()
