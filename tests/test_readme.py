"""The README's commands and code blocks, executed as they stand."""

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.cli.command import run_here

from driftfield.datasets import DISTRIBUTIONS

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.slow
def test_python_runs_and_the_default_recipe_learns_the_distribution_and_does_not_memorise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), names)
    entropy = DISTRIBUTIONS["moons"].entropy
    assert f"{names['log_density'].mean():.2f} nats on average" in capsys.readouterr().out
    # 1,000 of the model's own rows, whose log-density has a standard deviation of 0.8, and 0.01 nats of divergence.
    assert names["log_density"].mean() == pytest.approx(-entropy, abs=4 * 0.8 / 1000**0.5 + 0.01)
    # The divergence from the distribution is 0.01 to 0.02 nats, known on 1,000 fresh rows to 0.005.
    fresh, truth = DISTRIBUTIONS["moons"].sample(1000, 5), DISTRIBUTIONS["moons"].log_prob
    divergence = (truth(fresh) - names["same"].log_prob(fresh)[0]).mean()
    assert -4 * 0.005 < divergence < 0.02 + 4 * 0.005
    codes = names["codes"]
    assert codes.mean(0) == pytest.approx(0, abs=4 / 1000**0.5)
    assert codes.std(0) == pytest.approx(1, abs=4 / 2000**0.5)
    evaluation = names["evaluation"]
    assert not evaluation.memorisation.present
    assert "indistinguishable within noise" in evaluation.verdict


def masked(text: str) -> str:
    """Words without their numbers, which differ from machine to machine in their last digits."""
    return re.sub(r"[-−]?\d[\d,.]*(e[-+]?\d+)?", "#", text)


@pytest.mark.slow
def test_commands_run_in_their_order_and_print_what_is_shown(tmp_path: Path) -> None:
    entries = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", "".join(blocks("console")), re.MULTILINE)
    driftfield = [(command, printed) for command, printed in entries if not command.startswith("make")]
    assert len(driftfield) >= 4
    for command, printed in driftfield:
        program, *arguments = shlex.split(command)
        if program == "driftfield":
            done = run_here(*arguments, cwd=tmp_path)
        else:
            done = subprocess.run([program, *arguments], cwd=tmp_path, text=True, capture_output=True)
        # Messages come first, then the path of what was written; work of more than ten seconds also shows its progress.
        shown = re.sub(r"^(training|sampling|scoring): .*\n", "", done.stderr, flags=re.MULTILINE) + done.stdout
        assert done.returncode == 0, f"{command}: {shown}"
        assert masked(shown) == masked(printed), command


def test_it_is_short() -> None:
    assert len(TEXT.splitlines()) <= 120


def test_its_figures_are_those_of_the_measurements() -> None:
    measured = (ROOT / "docs" / "measurements.md").read_text(encoding="utf-8")
    figures = re.findall(r"-?\d+\.\d+", "".join(line for line in TEXT.splitlines() if line.startswith("|")))
    assert len(figures) > 10
    for figure in figures:
        assert re.search(rf"(?<![\d.-]){re.escape(figure)}(?!\d)", measured), figure


def test_every_make_target_that_is_named_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    named = set(re.findall(r"`make (\w+)`|^\$ make (\w+)", TEXT, re.MULTILINE))
    for target in {one or other for one, other in named}:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_every_picture_and_link_in_the_repository_exists() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target
