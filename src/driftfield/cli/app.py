"""The commands. Nothing heavy is imported before a command runs, so that --help is instant."""

from pathlib import Path
from typing import Annotated

import typer

from driftfield.cli.flags import WithSampleFlags, dialect_flags, given_flags

app = typer.Typer(
    name="driftfield",
    help="Diffusion models on point clouds, tables and small images: new rows, densities, and how far to trust both.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="DATA is a built-in name (moons), sklearn:wine, a file (.csv and other text, .parquet, .npy; "
    "file.csv:col1,col2), or - for text from stdin. Exit codes: 0 done, 1 failed, 2 wrong usage or input, 130 "
    "interrupted. --debug shows the traceback of an error.",
)

DataArgument = Annotated[str | None, typer.Argument(metavar="DATA", help="a built-in name, sklearn:NAME, a file, or -")]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="the folder of a run")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="random seed")]
Force = Annotated[bool, typer.Option("--force", help="replace an existing run")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, ..")]
Json = Annotated[bool, typer.Option("--json", help="print JSON")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="change the recipe, such as train.lr=1e-3")
]
Header = Annotated[str | None, typer.Option("--header", metavar="yes|no", help="whether the file names its columns")]
Separator = Annotated[str | None, typer.Option("--separator", help="comma, semicolon, tab, bar or space")]
Decimal = Annotated[str | None, typer.Option("--decimal", help="decimal mark of a text file: . or a comma")]
Missing = Annotated[list[str] | None, typer.Option("--missing", metavar="MARK", help="one more mark of missing cells")]
Encoding = Annotated[str | None, typer.Option("--encoding", help="of a text file, such as utf-8 or cp1252")]
RowsFile = Annotated[
    Path | None, typer.Option("-o", "--out", help=".csv, .parquet or .npy file; by default CSV to stdout")
]
Theme = Annotated[
    str | None, typer.Option("--theme", help="light, dark or blackboard; by default a page follows the reader's system")
]
Given = Annotated[
    list[str] | None, typer.Option("--given", metavar="COLUMN=VALUE", help="cells that all rows have, between commas")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="show no progress")]


@app.command()
def demo(
    out: Annotated[Path, typer.Option("-o", "--out", help="folder of the run")] = Path("runs/demo"),
    seed: Seed = 0,
    force: Force = False,
    settings: Settings = None,
) -> None:
    """Fit two moons and write a report; the last line of output is its path."""
    from driftfield.cli import commands

    commands.demo(out, seed, force, settings or [])


@app.command()
def fit(
    data: DataArgument = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="folder of the run; runs/NAME by default")] = None,
    recipe: Annotated[str | None, typer.Option("-r", "--recipe", help="a recipe's name or TOML file")] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="training steps")] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", help="passes over the rows, instead of steps")] = None,
    time: Annotated[str | None, typer.Option("--time", help="time for training, such as 30s or 5m")] = None,
    weight: Annotated[
        str | None, typer.Option("--weight", metavar="COLUMN", help="column that says what each row counts")
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="such as train.lr=1e-3, or data.label=COLUMN for classes"),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="continue an interrupted training")] = False,
    header: Header = None,
    separator: Separator = None,
    decimal: Decimal = None,
    missing: Missing = None,
    encoding: Encoding = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Fit a model to DATA and write a run folder."""
    from driftfield.cli import commands

    dialect = dialect_flags(header, separator, decimal, missing, encoding)
    request = commands.Request(
        data, out, recipe, steps, epochs, time, seed, device, settings or [], resume, force, quiet, dialect, weight
    )
    commands.fit(request)


@app.command()
def tutorial(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="a tutorial; without it, all are listed")] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="folder of the run; runs/NAME by default")] = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", min=1, help="passes over the rows, instead of --time")
    ] = None,
    time: Annotated[
        str | None, typer.Option("--time", help="time for the training, such as 60s; 15s by default")
    ] = None,
    seed: Seed = 0,
    settings: Settings = None,
    force: Force = False,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Train a tutorial, show all its figures, measure what limits it, and compare it with the default recipe."""
    from driftfield.cli import tutorials

    tutorials.tutorial(name, out, epochs, time, seed, settings or [], force, quiet, json_)


@app.command(cls=WithSampleFlags)
def sample(
    ctx: typer.Context,
    run: RunArgument,
    n: Annotated[int, typer.Option("-n", min=1, help="number of rows")],
    out: RowsFile = None,
    label: Annotated[str | None, typer.Option("--class", metavar="C", help="draw only from this class")] = None,
    with_class: Annotated[
        bool | None,
        typer.Option("--with-class/--no-class", help="add the class of each row, as is the default"),
    ] = None,
    given: Given = None,
    given_file: Annotated[
        str | None, typer.Option("--given-file", metavar="DATA", help="rows with given cells: n draws for each")
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Draw new rows with the columns of the training data, all of them or what is not given."""
    from driftfield.cli import commands, filling

    cells = filling.parse_given(given or [])
    options = {"label": label, **given_flags(ctx)}
    commands.sample(run, n, out, options, seed, device, quiet, with_class, cells, given_file)


@app.command()
def impute(
    source: Annotated[str, typer.Argument(metavar="RUN|FILE", help="a run, or the file itself to fit a model to it")],
    data: Annotated[str | None, typer.Argument(metavar="[FILE]", help="the file whose cells are filled")] = None,
    out: RowsFile = None,
    draws: Annotated[int, typer.Option("--draws", min=1, help="fill so often, with a column draw")] = 1,
    point: Annotated[bool, typer.Option("--point", help="mean or most frequent value in place of a draw")] = False,
    settings: Settings = None,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Fill the missing cells of a table with draws given the others of their row."""
    from driftfield.cli import filling

    filling.impute(source, data, out, draws, point, seed, settings or [], quiet)


@app.command()
def outliers(
    run: RunArgument,
    data: Annotated[str, typer.Argument(metavar="DATA", help="rows with the columns of the model")],
    out: RowsFile = None,
    n: Annotated[int, typer.Option("-n", min=1, help="how many rows")] = 20,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """The most surprising rows of a table, and the cell of each that is most surprising given the others."""
    from driftfield.cli import filling

    filling.outliers(run, data, out, n, seed, quiet)


@app.command()
def score(
    run: RunArgument,
    data: Annotated[str, typer.Argument(metavar="DATA", help="rows with the columns of the model")],
    out: RowsFile = None,
    steps: Annotated[int | None, typer.Option("--steps", help="number of Runge-Kutta steps, even")] = None,
    tolerance: Annotated[
        float | None, typer.Option("--tolerance", help="error per step; each row then chooses its own steps")
    ] = None,
    t: Annotated[float | None, typer.Option("--t", help="density of the noisy rows at this time")] = None,
    noise: Annotated[
        float | None, typer.Option("--noise", help="the same at this noise level, in std of the data")
    ] = None,
    divergence: Annotated[str | None, typer.Option("--divergence", help="exact or hutchinson")] = None,
    probes: Annotated[int | None, typer.Option("--probes", help="random probes for each row, with hutchinson")] = None,
    bound: Annotated[bool, typer.Option("--bound", help="add the variational bound and its error")] = False,
    latent: Annotated[bool, typer.Option("--latent", help="add the latent code of each row")] = False,
    seed: Seed = 0,
    label: Annotated[str | None, typer.Option("--class", metavar="C", help="density given this class")] = None,
    given: Annotated[
        str | None, typer.Option("--given", metavar="COLUMNS", help="columns that are given, of a table")
    ] = None,
    of: Annotated[
        str | None, typer.Option("--of", metavar="COLUMNS", help="columns that are scored; all that are not given")
    ] = None,
    device: Device = "auto",
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Log-density of each row of DATA, in nats, with its error."""
    from driftfield.cli import commands, filling

    options = {
        "steps": steps, "tolerance": tolerance, "t": t, "noise": noise, "divergence": divergence, "probes": probes,
        "seed": seed, "label": label, "given": filling.parse_names(given),
        "of": None if of is None else filling.parse_names(of),
    }  # fmt: skip
    commands.score(run, data, out, options, bound, latent, device, json_, quiet)


@app.command()
def evaluate(
    run: RunArgument,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="file for the samples; RUN/samples.parquet by default")
    ] = None,
    rows: Annotated[int | None, typer.Option("--rows", min=5, help="at most so many rows on each side")] = None,
    seed: Seed = 0,
    json_: Json = False,
) -> None:
    """Evaluate a run: every metric, with its floor.

    The floor is the same metric between two real samples of that size: no model can be expected to go below it.
    """
    from driftfield.cli import commands

    commands.evaluate(run, out, rows, seed, json_)


@app.command()
def verify(
    run: RunArgument,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="page to write; RUN/verify.html by default")] = None,
    rows: Annotated[
        int | None, typer.Option("--rows", min=20, help="number of rows to check; 4,000 by default")
    ] = None,
    theme: Theme = None,
    seed: Seed = 0,
    json_: Json = False,
) -> None:
    """Check a model for consistency, and against exact truth where it is known; exit code 1 if a check fails.

    Checks mass, score, ODE, latent codes, bound, the errors of the network and of the sampler apart, memorisation and
    units. The results are written to RUN/verify.html, and the report shows them too; with -o, to that page alone.
    """
    from driftfield.cli import verifying

    verifying.verify(run, out, rows, theme, seed, json_)


@app.command()
def report(
    run: RunArgument,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="page to write; RUN/report.html by default")] = None,
    rows: Annotated[int | None, typer.Option("--rows", min=5, help="evaluate on at most so many rows")] = None,
    theme: Theme = None,
    seed: Seed = 0,
) -> None:
    """Write a page on what was learned and how good it is."""
    from driftfield.cli import commands

    commands.report(run, out, rows, theme, seed)


@app.command()
def animate(
    run: RunArgument,
    out: Annotated[Path, typer.Option("-o", "--out", help=".gif, .html or .mp4")],
    view: Annotated[str, typer.Option("--view", help="forward, reverse, both or loop")] = "both",
    theme: Theme = None,
    seed: Seed = 0,
) -> None:
    """Animate the process between noise and data; prints the path of the file."""
    from driftfield.cli import commands

    commands.animate(run, out, view, theme, seed)


@app.command()
def samplers(
    measure: Annotated[bool, typer.Option("--measure", help="measure order and error where truth is known")] = False,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="picture of the measurements; samplers.png by default")
    ] = None,
    seed: Seed = 0,
    json_: Json = False,
) -> None:
    """List the samplers with order, evaluations per step and source; or measure them on a mixture known exactly."""
    from driftfield.cli import samplers as listing

    listing.samplers(measure, out, seed, json_)


@app.command()
def recipes(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="a recipe to print")] = None, json_: Json = False
) -> None:
    """List the built-in recipes, or print one."""
    from driftfield.cli import commands

    commands.recipes(name, json_)


@app.command()
def data(
    name: Annotated[str | None, typer.Argument(metavar="DATA", help="data to describe or to write")] = None,
    n: Annotated[int | None, typer.Option("-n", min=2, help="number of rows")] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="file to write the rows to")] = None,
    header: Header = None,
    separator: Separator = None,
    decimal: Decimal = None,
    missing: Missing = None,
    encoding: Encoding = None,
    seed: Seed = 0,
    settings: Settings = None,
    json_: Json = False,
) -> None:
    """List the built-in data, say what is understood of a file, column by column, or write the rows."""
    from driftfield.cli import describing

    dialect = dialect_flags(header, separator, decimal, missing, encoding)
    describing.data(name, n, out, seed, json_, dialect, settings or [])


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="print the version", is_eager=True)] = False,
) -> None:
    if version:
        from importlib import metadata

        print(metadata.version("driftfield"))
        raise typer.Exit
