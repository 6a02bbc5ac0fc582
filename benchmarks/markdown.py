"""Signatures and docstrings of the package in Markdown."""

import inspect
import re
import textwrap
from dataclasses import is_dataclass
from typing import Any

import torch

WIDTH = 112


def signature(name: str, thing: Any) -> str:
    """A call of a function or class with its annotations, in a fenced block; "" for a class without an __init__."""
    found = inspect.signature(thing, follow_wrapped=not inspect.isclass(thing))
    if [*found.parameters] == ["args", "kwargs"]:
        return ""
    parameters = [p for p in found.parameters.values() if p.name not in ("self", "cls")]
    shown = [_parameter(p) for p in parameters]
    stars = [i for i, p in enumerate(parameters) if p.kind is p.KEYWORD_ONLY]
    if stars and not any(p.kind is p.VAR_POSITIONAL for p in parameters):
        shown.insert(stars[0], "*")
    back = "" if inspect.isclass(thing) else annotation(found.return_annotation)
    arrow = f" -> {back}" if back else ""
    text = f"{name}({', '.join(shown)}){arrow}"
    if len(text) > WIDTH:
        inside = textwrap.indent("\n".join(f"{each}," for each in shown), "    ")
        text = f"{name}(\n{inside}\n){arrow}"
    return f"```text\n{text}\n```\n"


def _parameter(parameter: inspect.Parameter) -> str:
    stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
    note = annotation(parameter.annotation)
    text = f"{stars}{parameter.name}{f': {note}' if note else ''}"
    if parameter.default is inspect.Parameter.empty:
        return text
    return f"{text} = {_default(parameter.default)}"


def _default(value: Any) -> str:
    """A default as code writes it, with no address of an object in memory."""
    if inspect.isclass(value) or inspect.isfunction(value):
        return str(value.__name__)
    if isinstance(value, torch.Tensor):
        return str(value.tolist())
    if repr(value) == "<factory>" or " at 0x" in repr(value) or is_dataclass(value):
        return ".."
    return repr(value)


def annotation(note: Any) -> str:
    """A type as a reader writes it, without the modules of its names."""
    if note is inspect.Parameter.empty:
        return ""
    if hasattr(note, "__metadata__"):  # options are listed with their tables
        note = note.__origin__
    text = note if isinstance(note, str) else inspect.formatannotation(note)
    if "numpy._typing" in text:  # what ArrayLike stands for
        return "ArrayLike | Tensor" if "Tensor" in text else "ArrayLike"
    text = re.sub(r"\b(?:[a-z_]\w*\.)+(?=[A-Za-z])", "", text)
    return re.sub(r"ndarray\[tuple\[Any, \.\.\.\], dtype\[(\w+)\]\]", r"NDArray[\1]", text)


def inline(text: str) -> str:
    """Prose of a docstring in Markdown: roles and code become code, the signs that Markdown takes are escaped."""
    text = re.sub(r":\w+:`~(?:[\w.]*\.)?(\w+)`", r"`\1`", text)
    text = re.sub(r":\w+:`([^`]+)`", r"`\1`", text).replace("``", "`")
    pieces = re.split(r"(`[^`]*`|https?://\S+)", text)
    return "".join(piece if i % 2 else re.sub(r"([*_<\[\]|$])", r"\\\1", piece) for i, piece in enumerate(pieces))


def markdown(text: str) -> str:
    """A docstring in Markdown: paragraphs, sections (Args, Raises, ..) as lists, formulas in fenced blocks."""
    blocks: list[str] = []
    section = ""
    for block in re.split(r"\n\s*\n", text):
        heading = re.match(r"(Args|Attributes|Raises|Returns|References):\n", block)
        if heading:
            section, block = heading[1], block[heading.end() :]
            blocks.append(f"{section}:")
        elif not block.startswith(" "):
            section = ""
        if section:
            blocks.append(_items(textwrap.dedent(block)))
        elif block.startswith(" "):
            blocks.append(f"```text\n{textwrap.dedent(block.rstrip())}\n```")
        else:
            blocks.append(inline(block))
    return "\n\n".join(blocks) + "\n"


def _items(block: str) -> str:
    """The entries of a section; a line that is indented goes on with the entry above."""
    entries: list[str] = []
    for line in block.splitlines():
        if line.startswith(" ") and entries:
            entries[-1] += f" {line.strip()}"
        else:
            entries.append(line.strip())
    lines = []
    for each in entries:
        name, colon, rest = each.partition(": ")
        lines.append(f"- `{name}`: {inline(rest)}" if colon and "`" not in name else f"- {inline(each)}")
    return "\n".join(lines)
