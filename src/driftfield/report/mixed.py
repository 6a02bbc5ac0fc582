"""Pictures of tables with categories and missing cells: what was understood, each column, associations, holes."""

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes

from driftfield.codecs import FloatArray
from driftfield.codecs.columns import Column
from driftfield.evaluation.associations import associations
from driftfield.report.axes import Axis, legend_above, name_axes
from driftfield.report.histograms import histogram
from driftfield.report.panels import Panel
from driftfield.report.section import Table
from driftfield.report.style import Theme, density_colours
from driftfield.wording import number, share, shorten

SHOWN_LEVELS = 8
SHOWN_COLUMNS = 30  # of associations
_SIZE = (3.3, 2.5)


def understood(parts: Sequence[Column], rows: FloatArray) -> Table:
    """What each column is: its kind, what it holds, and how many cells of the training rows are missing."""
    lines = []
    for part, cells in zip(parts, rows.T, strict=True):
        present = cells[~np.isnan(cells)]
        if part.numeric:
            low, high = (written(part, float(end)) for end in (present.min(), present.max()))
            holds = f"{low} to {high}"
            if part.values:
                atoms = " or ".join(part.written(value) for value in part.values)
                holds += f"; exactly {atoms} in {share(float(np.isin(present, part.values).mean()), len(present))}"
        else:
            names = part.level_names
            more = f" and {len(names) - 4} more" if len(names) > 4 else ""
            holds = f"{len(names)} levels: {', '.join(shorten(name, 16) for name in names[:4])}{more}"
        missing = 1 - len(present) / max(len(cells), 1)
        holes = f"{share(missing, len(cells))}{', modelled' * part.holes}" if missing else "0"
        lines.append((shorten(part.name, 24), part.shown, holds, holes))
    return Table(("column", "kind", "holds", "missing"), tuple(lines))


def written(part: Column, value: float) -> str:
    """A number of a column as text, a date as a date."""
    if part.dates is not None:
        return part.dates.written(value)
    return number(value, 4) if part.places is None else f"{value:,.{part.places}f}"


def extent(part: Column, cells: FloatArray) -> str | None:
    """What stands under the name of a column beside a picture of it; None for the range of its numbers."""
    if not part.numeric:
        return f"{part.levels} levels"
    if part.dates is None:
        return None
    low, high = (part.dates.written(float(end(cells))) for end in (np.nanmin, np.nanmax))
    return f"{low}\nto {high}"


def marginals(parts: Sequence[Column], train: FloatArray, samples: FloatArray) -> Iterator[Panel]:
    """Each column, data and samples: histograms of numbers, bars of levels, both where a number has atoms."""
    bins = int(np.clip(np.sqrt(len(train)), 10, 40))
    for i, part in enumerate(parts):
        real, made = (rows[part.holes | ~np.isnan(rows[:, i]), i] for rows in (train, samples))
        if part.levels:
            yield bars(f"levels-{i + 1}", part, real, made)
        if part.numeric:
            real, made = (cells[~np.isin(cells, part.values) & ~np.isnan(cells)] for cells in (real, made))
            label = shorten(part.name, 26) + (", other values" if part.values else "")
            if len(real) and len(made):
                low, turn = part.low or 0.0, part.period
                edges = bins if turn is None else np.linspace(low, low + turn, bins + 1)
                yield histogram(f"marginal-{i + 1}", "", real, made, edges, label, size=_SIZE, dates=part.dates)


def bars(name: str, part: Column, real: FloatArray, made: FloatArray) -> Panel:
    """How often each level occurs, data beside samples; of many levels, the most common ones."""
    names = part.level_names
    shares = []
    for cells in (real, made):
        counts = np.array([(cells == value).sum() for value in part.values], dtype=float)
        if part.holes:
            counts = np.append(counts, np.isnan(cells).sum())
        if part.numeric:
            counts = np.append(counts, len(cells) - counts.sum())
        shares.append(100 * counts / max(len(cells), 1))
    order = np.argsort(-shares[0], kind="stable")[:SHOWN_LEVELS] if len(names) > SHOWN_LEVELS else np.arange(len(names))
    shown = [shorten(names[i], 14) for i in order]
    rest = len(names) - len(order)

    def draw(axes: Axes, theme: Theme) -> None:
        places = np.arange(len(order))
        axes.barh(places - 0.2, shares[0][order], 0.4, color=theme.data, alpha=0.5, linewidth=0, label="data")
        axes.barh(places + 0.2, shares[1][order], 0.4, color=theme.generated, alpha=0.85, linewidth=0, label="samples")
        name_axes(axes, Axis("% of rows"), Axis(shorten(part.name, 22) + (f" (+ {rest} more)" if rest else "")))
        axes.set_yticks(places, shown, fontsize=8)
        axes.invert_yaxis()
        legend_above(axes, theme, _SIZE[0])

    alt = f"Bars of {part.name}: how often each of {len(names)} levels occurs in the data and in the samples."
    return Panel(name, "", alt, draw, (_SIZE[0], max(_SIZE[1], 1.1 + 0.3 * len(order))))


def association_maps(parts: Sequence[Column], train: FloatArray, samples: FloatArray) -> tuple[list[Panel], str]:
    """The association of each pair of columns in the data and in samples, and a sentence on where they differ most."""
    shown = parts[:SHOWN_COLUMNS]
    train, samples = (_opened(rows, shown) for rows in (train, samples))
    numeric = [part.numeric for part in shown]
    real, made = (associations(rows[:, : len(shown)], numeric) for rows in (train, samples))
    gap = np.nan_to_num(np.abs(real - made))
    i, j = divmod(int(gap.argmax()), len(shown))
    sentence = "Data and samples agree for every pair."
    if gap.max() > 0:
        sentence = (
            f"The largest difference is that of {shown[i].name} and {shown[j].name}: {number(float(real[i, j]), 2)} in "
            f"the data, {number(float(made[i, j]), 2)} in the samples."
        )
    names = [shorten(part.name, 14) for part in shown]
    panels = [
        _map("associations-data", "In the data", real, names),
        _map("associations-samples", "In the samples", made, names),
    ]
    return panels, sentence


def _opened(rows: FloatArray, parts: Sequence[Column]) -> FloatArray:
    """Rows (n, C) with angles where they are nearest to their mean, so that ranks have their cut where few are."""
    found = rows.copy()
    for i, part in enumerate(parts):
        if part.map is not None:
            found[:, i] = part.near(rows[:, i], float(part.map.back(np.zeros(1))[0]))
    return found


def _map(name: str, title: str, values: FloatArray, names: Sequence[str]) -> Panel:
    C = len(names)
    side = float(np.clip(1.6 + 0.28 * C, 3.2, 6.0))

    def draw(axes: Axes, theme: Theme) -> None:
        image = axes.imshow(np.ma.masked_invalid(values), vmin=0, vmax=1, cmap=density_colours(theme))
        axes.set_xticks(range(C), names, rotation=90, fontsize=8)
        axes.set_yticks(range(C), names, fontsize=8)
        axes.figure.colorbar(image, ax=axes, label="association", shrink=0.8)

    return Panel(
        name, title, f"{title}: a map of the association of each pair of {C} columns.", draw, (side + 0.9, side), 128
    )


def filled(rows: FloatArray, parts: Sequence[Column], seed: int = 0) -> FloatArray:
    """Rows (n, C) for scatter plots: the level of a category is spread around its number."""
    spread = np.random.default_rng(seed).uniform(-0.32, 0.32, rows.shape)
    found = rows.copy()
    for i, part in enumerate(parts):
        if not part.numeric:
            codes = part.code(rows[:, i])
            found[:, i] = codes + spread[:, i]
    return found
