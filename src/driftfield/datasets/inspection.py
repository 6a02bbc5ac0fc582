"""What a careful colleague would say of a table before a model is fitted to it: one sentence for each finding."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import combinations

import numpy as np

from driftfield.datasets.distribution import FloatArray
from driftfield.datasets.raw_table import LARGEST_EXACT, RawTable
from driftfield.seeds import stream

FEWEST = 10  # rows from which a pattern is more than chance
MOST_ROWS, MOST_COLUMNS = 5_000, 100  # that relations between columns are sought in
FAR, GAP = 1_000, 10  # times the spread of the rest, and times the farthest of the rest
MARKS = (
    -1,
    -9,
    -99,
    -999,
    -9999,
    -99999,
    9,
    99,
    999,
    9999,
    99999,
    999999,
)  # of missing cells
NEAR_CONSTANT = 0.99
REPEATED = 0.1  # fraction of rows that occur before
BREAKS = "or samples break the rule."  # unless it is one of the recipe's
_SHOWN = 4  # names in a sentence
Finding = Callable[[FloatArray], str | None]


@np.errstate(over="ignore", invalid="ignore")  # of numbers near the largest
def warnings_of(raw: RawTable, values: FloatArray, columns: Sequence[str], all_rows: bool = True) -> tuple[str, ...]:
    """Warnings on rows (n, D), a sentence each: indices, leading zeros, marks of missing cells, and so on.

    ``all_rows`` says whether these are whole rows, all of them, which can repeat each other or end in a total.
    """
    if len(values) < FEWEST:
        return ()
    some = values[:: max(1, len(values) // MOST_ROWS)]
    whole = [all(bool((x == np.round(x)).all()) for x in pair) for pair in zip(some.T, values.T, strict=True)]
    found = [
        _each(columns, partial(_index, values, whole), "{} {are} an index: leave {it} out, unless the order matters."),
        _each(
            columns,
            partial(_leading_zeros, raw, columns, whole),
            "{} {have} leading zeros, as in {}, which numbers lose: leave {it} out, or take codes for classes "
            "(data.label).",
        ),
        _each(
            columns,
            partial(_large, values, whole),
            "{} {have} whole numbers beyond 2^53, which are rounded to 16 digits: leave identifiers and times out.",
        ),
        _each(
            columns,
            partial(_near_constant, values, some),
            "{} {have} one value in {} rows: leave {it} out, if the others are too few to learn from.",
        ),
        *(_far_out(values[:, j], some[:, j], name, bool(raw.dialect)) for j, name in enumerate(columns)),
        *_relations(some, columns),
        _repeated(values, some) if all_rows else None,
        _total(values, raw) if all_rows else None,
    ]
    return tuple(sentence for sentence in found if sentence)


def numbers_as_text(raw: RawTable, picks: Sequence[str] | None) -> tuple[str, ...]:
    """What is said of columns that are read as numbers although they are text."""
    names = [name for name in raw.names_of(picks) if name in raw.from_text]
    if not names:
        return ()
    which = f'Column "{names[0]}"' + (f" and {len(names) - 1:,} more" if len(names) > 1 else "")
    return (
        f"{which} of {raw.name} {'store' if len(names) > 1 else 'stores'} numbers as text, which are read as numbers: "
        f"say columns.{names[0]}.kind=category if they are codes.",
    )


def _each(columns: Sequence[str], judge: Callable[[int], str | None], sentence: str) -> str | None:
    """One sentence on all columns for which ``judge`` returns something to fill in; None if there are none."""
    judged = [(name, judge(j)) for j, name in enumerate(columns)]
    names = [name for name, shown in judged if shown is not None]
    if not names:
        return None
    shown = next(shown for _, shown in judged if shown is not None)
    if len(names) > 1:
        return sentence.format(_listed(names), shown, are="look like", have="have", it="them")
    return sentence.format(_listed(names), shown, are="looks like", have="has", it="it")


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f'"{name}"' for name in names[:_SHOWN])
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"Column{'s' * (len(names) > 1)} {shown}{more}"


def _index(values: FloatArray, whole: Sequence[bool], j: int) -> str | None:
    if not whole[j] or not (np.diff(values[:FEWEST, j]) > 0).all():
        return None
    steps = np.diff(values[:, j])
    return "" if (steps > 0).all() and (len(steps) >= 50 or np.ptp(steps) == 0) else None


def _leading_zeros(raw: RawTable, columns: Sequence[str], whole: Sequence[bool], j: int) -> str | None:
    if not whole[j]:
        return None
    cells = raw.text(raw.columns.index(columns[j]))
    found = next((cell for cell in cells if cell and len(cell) > 1 and cell[0] == "0" and cell.isdecimal()), None)
    return None if found is None else f'"{found}"'


def _large(values: FloatArray, whole: Sequence[bool], j: int) -> str | None:
    return "" if whole[j] and np.abs(values[:, j]).max() > LARGEST_EXACT else None


def _near_constant(values: FloatArray, some: FloatArray, j: int) -> str | None:
    if np.unique(some[:, j], return_counts=True)[1].max() < NEAR_CONSTANT * len(some):
        return None
    count = int(np.unique(values[:, j], return_counts=True)[1].max())
    return f"{count:,} of {len(values):,}" if count >= NEAR_CONSTANT * len(values) else None


def _far_out(x: FloatArray, some: FloatArray, name: str, is_text: bool) -> str | None:
    """Values far from all others, as the marks 99999 and -999 of missing cells are; the spread is that of ``some``."""
    with np.errstate(over="ignore"):
        middle = np.median(some)
        spread = np.quantile(np.abs(some - middle)[some != middle], 0.5) if (some != middle).any() else 0.0
        extremes = [float(x.min()), float(x.max())]
        if not any(abs(each - middle) > FAR * spread or each in MARKS for each in extremes):
            return None
        distance = np.abs(x - middle)
        far = (distance > FAR * spread) & (spread > 0)
        if not far.any() or distance[far].min() < GAP * distance[~far].max(initial=0):
            far = np.zeros(len(x), dtype=bool)
            for value in extremes:
                rest = x[x != value]
                if value in MARKS and len(rest) > len(x) / 2:
                    apart = np.abs(value - np.median(rest)) > GAP / 2 * np.abs(rest - np.median(rest)).max()
                    far |= (x == value) & apart
    if not far.any():
        return None
    value = float(x[far][0])
    count, mark = int(far.sum()), f"{value:.10g}" if float(f"{value:.10g}") == value else repr(value)
    times = distance[far].min() / max(distance[~far].max(initial=0), 1e-300)
    values, example = ("1 value", "namely") if count == 1 else (f"{count:,} values", "for example")
    return (
        f'{values} of "{name}" lie{"s" * (count == 1)} {_times(times)} as far out as the rest, {example} {mark}: '
        f"remove such rows{f', or say --missing {mark} if it marks a missing cell' if is_text else ''}."
    )


def _times(factor: float) -> str:
    return f"{factor:,.0f} times" if factor < 1e9 else "more than 1,000,000,000 times"


def _relations(rows: FloatArray, columns: Sequence[str]) -> list[str]:
    """Columns that follow from others: a linear combination, the same order, or the same groups."""
    D = rows.shape[1]
    if D > MOST_COLUMNS or len(rows) < max(FEWEST, 2 * D):
        return []
    with np.errstate(over="ignore", invalid="ignore"):
        spread = rows.std(axis=0)
        varying = [j for j in range(D) if 0 < spread[j] < np.inf]
        scaled = (rows[:, varying] - rows[:, varying].mean(axis=0)) / spread[varying]
    found, basis = [], np.empty(0, dtype=int)
    for k, j in enumerate(varying):
        if len(basis):
            weights, *_ = np.linalg.lstsq(scaled[:, basis], scaled[:, k], rcond=None)
            if np.abs(scaled[:, k] - scaled[:, basis] @ weights).max() < 1e-6:
                used = [columns[varying[b]] for b, w in zip(basis, weights, strict=True) if abs(w) > 1e-6]
                found.append(_follows(columns[j], used, "a linear function"))
                continue
        basis = np.append(basis, k)
    for a, b in combinations([varying[k] for k in basis], 2):
        x, y = rows[:, a], rows[:, b]
        distinct = len(np.unique(x)), len(np.unique(y))
        if distinct[0] == distinct[1] == len(x) and len(x) >= FEWEST * 2:
            order = np.argsort(x)
            steps = np.diff(y[order])
            if ((steps > 0).all() or (steps < 0).all()) and not _counts(x) and not _counts(y):
                found.append(_follows(columns[b], [columns[a]], "a function"))
        elif 2 < max(distinct) < len(x) / 4 and len(np.unique(np.stack([x, y]), axis=1).T) == max(distinct):
            few, many = (a, b) if distinct[0] <= distinct[1] else (b, a)
            found.append(_follows(columns[few], [columns[many]], "a function"))
    return found


def _counts(x: FloatArray) -> bool:
    return bool((np.diff(x) > 0).all())


def _follows(name: str, of: Sequence[str], kind: str) -> str:
    listed = _listed(of)
    listed = listed[0].lower() + listed[1:]
    return f'Column "{name}" is {kind} of {listed}: leave it out and compute it afterwards, {BREAKS}'


def _repeated(values: FloatArray, some: FloatArray) -> str | None:
    """Rows that occur again, more often than they would if the columns were independent."""
    most_distinct = max(range(values.shape[1]), key=lambda j: len(np.unique(some[:, j])))
    if _repeats(values[:, [most_distinct]]) < REPEATED * len(values):
        return None
    shuffle = stream(0, "shuffled columns")
    by_chance = _repeats(np.stack([shuffle.permutation(column) for column in values.T], axis=1))
    repeats = _repeats(values)
    if repeats < REPEATED * len(values) + 2 * by_chance:
        return None
    return f"{repeats:,} of {len(values):,} rows repeat others: remove them, unless each stands for an observation."


def _repeats(values: FloatArray) -> int:
    import polars as pl

    return len(values) - pl.DataFrame(values).n_unique()


def _total(values: FloatArray, raw: RawTable) -> str | None:
    """A last row that is the sum of the others."""
    sums, last = values[:-1].sum(axis=0), values[-1]
    nonzero = np.abs(sums) > 0
    if not nonzero.any() or not np.isclose(last[nonzero], sums[nonzero], rtol=1e-9).mean() > 0.5:
        return None
    return f"The last row, {raw.locate(len(values) - 1)}, is the sum of the others: remove it if it is a total."
