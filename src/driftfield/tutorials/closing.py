"""What every report of a tutorial adds: the diagnosis, the repair and the bridge."""

from collections.abc import Iterator
from importlib import import_module
from inspect import cleandoc

from driftfield.evaluation import Evaluation, Metric
from driftfield.report.clouds import cloud, robust_view
from driftfield.report.section import Details, Link, Section, Table
from driftfield.tutorials.common import POINTS
from driftfield.tutorials.tutorial import Lesson
from driftfield.wording import number, plus_minus

NOTICED = 0.01  # of accuracy: below it a difference between two tests of 5,000 rows a side is noise


def closing(lesson: Lesson) -> Iterator[Section]:
    """The three sections."""
    yield diagnosis(lesson)
    yield repair(lesson)
    yield bridge(lesson)


def diagnosis(lesson: Lesson) -> Section:
    """What limits the tutorial, measured."""
    mismatch, costs = lesson.model.prior_mismatch, lesson.costs
    gain = costs.own - costs.from_noised_data
    prior = (
        f"The chain ends with a signal variance of {number(mismatch.signal, 2)} where there should be none: "
        f"{number(mismatch.bound, 2)} nats per dimension in the bound, {number(mismatch.marginal, 2)} of the marginal. "
        if mismatch.warning
        else f"The process reaches its prior: {number(mismatch.bound, 2)} nats per dimension are left in the bound. "
    )
    prior += (
        f"Started from real rows carried to t = 1 instead of the prior, the same network and sampler give an accuracy "
        f"of {costs.from_noised_data:.3f} in place of {costs.own:.3f} (floor {costs.floor:.3f}): the prior costs "
        f"{signed(gain)}{'' if abs(gain) > NOTICED else ', which is noise'}."
    )
    rest = (
        f"What is left, {signed(costs.from_noised_data - costs.floor)}, is due to the network, the loss and the sampler"
    )
    if costs.other_sampler is not None:
        change = costs.other_sampler - costs.own
        rest += (
            f"; with 40 steps of DPM-Solver++(2M) in place of its own sampler it is "
            f"{costs.other_sampler:.3f} ({signed(change)})"
        )
    trained = (
        f"{rest}. It was trained for {number(lesson.seconds)} s, {lesson.model.facts['steps']:,} steps{_whole(lesson)}."
    )
    measured = dict((fault.what, value) for fault, value in costs.faults)
    rows = tuple(
        (
            fault.what,
            fault.cost,
            f"{costs.own:.3f} → {measured[fault.what]:.3f}" if fault.what in measured else "–",
            fault.toggle or "–",
        )
        for fault in lesson.tutorial.faults
    )
    note = (
        "Accuracy: of a classifier at telling 5,000 samples from fresh rows, mean of k-NN and boosting; as this recipe "
        "samples → with the fault. A setting brings the fault back, with --set."
    )
    table = (
        Table(("what the published code does", "what it costs", "accuracy", "setting"), rows, note) if rows else None
    )
    return Section("diagnosis", "The diagnosis", (prior, trained), table=table)


def signed(value: float) -> str:
    """A difference of accuracies, with its sign."""
    return f"{value:+.3f}".replace("-", "−")


def _whole(lesson: Lesson) -> str:
    from driftfield.recipes.schema import load_recipe

    train = load_recipe(lesson.tutorial.name).train
    if train.epochs is not None:
        whole = train.epochs * int(lesson.model.facts.get("steps per epoch", 1))
    else:
        whole = train.steps or 0
    share = lesson.model.facts["steps"] / max(whole, 1)
    return f", {100 * share:.0f} % of its full length of {whole:,}" if share < 0.995 else ", its full length"


def repair(lesson: Lesson) -> Section:
    """The same data by the default recipe in at most the same time."""
    model, mended = lesson.model, lesson.repair
    seconds = float(mended.facts["training seconds"])
    prose = [
        f"The default recipe on the same rows, trained for {number(seconds)} s; the tutorial for "
        f"{number(lesson.seconds)} s."
    ]
    if lesson.equal is None:
        prose.append("It does not reach the tutorial's quality in that time.")
    else:
        prose.append(
            f"A training of {lesson.equal.seconds:g} s is as good already, with an accuracy of "
            f"{lesson.equal.accuracy:.3f} beside {lesson.costs.own:.3f}: {lesson.seconds / lesson.equal.seconds:.1f} "
            "times faster to equal quality."
        )
    table = Table(
        ("metric", "the tutorial", "the repair", "floor"), tuple(_comparison(lesson.judged, lesson.repair_judged))
    )
    before, after = (each.sample(POINTS, lesson.seed) for each in (model, mended))
    view = robust_view([before, after, model.train])
    panels = (
        cloud("repair-before", "The tutorial", before, model.columns, real=False, view=view),
        cloud("repair-after", "The repair", after, model.columns, real=False, view=view),
    )
    return Section("repair", "The repair", tuple(prose), panels, across=2, table=table)


COMPARED = ("c2st_knn", "c2st_boosting", "wasserstein2", "sliced_wasserstein2", "nll")


def _comparison(before: Evaluation, after: Evaluation) -> Iterator[tuple[str, ...]]:
    mended = {metric.name: metric for metric in after.metrics}
    for metric in before.metrics:
        if metric.name in COMPARED:
            other: Metric = mended[metric.name]
            yield (
                f"{metric.label}{f', {metric.unit}' if metric.unit else ''}",
                plus_minus(metric.value, metric.error),
                plus_minus(other.value, other.error),
                plus_minus(metric.floor, metric.floor_error),
            )


def bridge(lesson: Lesson) -> Section:
    """Which part each idea became, with what the part's module says of itself."""
    modules = list(dict.fromkeys(idea.module for idea in lesson.tutorial.ideas))
    rows = tuple((idea.idea, idea.part, Link(idea.module, _anchor(idea.module))) for idea in lesson.tutorial.ideas)
    details = tuple(Details(_anchor(name), name, cleandoc(import_module(name).__doc__ or "")) for name in modules)
    prose = "Each idea of the tutorial is a part that any other recipe can use. Its module explains it:"
    return Section("bridge", "The bridge", (prose,), table=Table(("idea", "part", "module"), rows), details=details)


def _anchor(module: str) -> str:
    return "module-" + module.replace(".", "-")
