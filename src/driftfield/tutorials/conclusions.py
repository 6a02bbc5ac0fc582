"""What closes every report of a tutorial: what limits it, the default recipe beside it, and where its ideas went."""

from importlib import import_module
from inspect import cleandoc

from driftfield.recipes.schema import load_recipe
from driftfield.report.clouds import cloud
from driftfield.report.section import Details, Link, Section, Table
from driftfield.report.view import robust_view
from driftfield.tutorials.chapters import POINTS
from driftfield.tutorials.measure import ROWS
from driftfield.tutorials.results import Results
from driftfield.wording import number, plus_minus

NOTICED = 0.01  # of accuracy: below it a difference between two tests of 5,000 rows on each side is noise
COMPARED = ("c2st_knn", "c2st_boosting", "wasserstein2", "sliced_wasserstein2", "nll")


def diagnosis(results: Results) -> Section:
    """What limits the tutorial, measured."""
    mismatch, gain = results.model.prior_mismatch, results.accuracy - results.from_noised_data
    prior = (
        f"The chain ends with a signal variance of {number(mismatch.signal, 2)} where almost none should be left: "
        f"{number(mismatch.bound, 2)} nats per dimension in the bound, {number(mismatch.marginal, 2)} for the marginal."
        if mismatch.warning
        else f"The process reaches its prior: {number(mismatch.bound, 2)} nats per dimension are left in the bound."
    )
    prior += (
        f" Starting from real rows diffused to t = 1 instead of the prior, the same network and sampler give an "
        f"accuracy of {results.from_noised_data:.3f} instead of {results.accuracy:.3f} (floor {results.floor:.3f}): "
        f"the prior's mismatch accounts for {signed(gain)}{', which is within the noise' * (abs(gain) <= NOTICED)}."
    )
    remaining = signed(results.from_noised_data - results.floor)
    rest = f"The remaining {remaining} is due to the network, the loss and the sampler"
    if results.other_sampler is not None:
        rest += (
            f"; with 40 steps of DPM-Solver++(2M) instead of the recipe's sampler the accuracy is "
            f"{results.other_sampler:.3f} ({signed(results.other_sampler - results.accuracy)})"
        )
    rest += f". The tutorial was trained for {number(results.seconds)} s, {_length(results)}."
    rows = []
    for fault in results.tutorial.faults:
        measured = results.faults.get(fault.what)
        change = "–" if measured is None else f"{results.accuracy:.3f} → {measured:.3f}"
        rows.append((fault.what, fault.consequence, change, fault.setting or "–"))
    note = (
        f"Accuracy of a classifier at telling {ROWS:,} samples from fresh rows, mean of k-NN and boosting: as this "
        "recipe samples → with the fault. Settings are for --set: each reproduces its fault, unless it says that it "
        "fixes it."
    )
    table = Table(("what the published code does", "consequence", "accuracy", "setting"), tuple(rows), note)
    return Section("diagnosis", "What limits it", (prior, rest), table=table)


def signed(value: float) -> str:
    """A difference of accuracies, with its sign."""
    return f"{value:+.3f}".replace("-", "−")


def _length(results: Results) -> str:
    """The steps made, and their fraction of the recipe's full length."""
    train, made = load_recipe(results.tutorial.name).train, results.model.facts["steps"]
    whole = train.steps or 0 if train.epochs is None else train.epochs * results.unit[1]
    fraction = made / max(whole, 1)
    rest = f"{100 * fraction:.0f} % of its full length of {whole:,}" if fraction < 0.995 else "its full length"
    return f"{made:,} steps, {rest}"


def default_recipe(results: Results) -> Section:
    """The same data by the default recipe in at most the same time."""
    model, default = results.model, results.default
    prose = [
        f"The default recipe, trained on the same rows for {number(float(default.facts['training seconds']))} s; the "
        f"tutorial was trained for {number(results.seconds)} s."
    ]
    if results.equal is None:
        prose.append("It does not reach the tutorial's quality in that time.")
    else:
        seconds, accuracy = results.equal
        prose.append(
            f"It is already as good after {seconds:g} s, with an accuracy of {accuracy:.3f} against "
            f"{results.accuracy:.3f}: {results.seconds / seconds:.1f} times faster to the same quality."
        )
    better = {metric.name: metric for metric in results.default_judged.metrics}
    rows = tuple(
        (
            f"{metric.label}{f', {metric.unit}' if metric.unit else ''}",
            plus_minus(metric.value, metric.error),
            plus_minus(better[metric.name].value, better[metric.name].error),
            plus_minus(metric.floor, metric.floor_error),
        )
        for metric in results.judged.metrics
        if metric.name in COMPARED
    )
    before, after = (each.sample(POINTS, results.seed) for each in (model, default))
    view = robust_view([before, after, model.train])
    panels = (
        cloud("repair-before", "The tutorial", before, model.columns, real=False, view=view),
        cloud("repair-after", "The default recipe", after, model.columns, real=False, view=view),
    )
    table = Table(("metric", "the tutorial", "the default recipe", "floor"), rows)
    return Section("repair", "The default recipe on the same data", tuple(prose), panels, across=2, table=table)


def ideas(results: Results) -> Section:
    """Which part each idea became, with the docstring of the part's module."""
    found = results.tutorial.ideas
    anchors = {idea.module: "module-" + idea.module.replace(".", "-") for idea in found}
    rows = tuple((idea.idea, idea.part, Link(idea.module, anchors[idea.module])) for idea in found)
    details = tuple(
        Details(anchor, name, cleandoc(import_module(name).__doc__ or "")) for name, anchor in anchors.items()
    )
    prose = "Each idea of the tutorial is a part that any other recipe can use. The module explains it:"
    table = Table(("idea", "part", "module"), rows)
    return Section("bridge", "From each idea to the code", (prose,), table=table, details=details)
