"""The house: who imports whom, read from the source with ast, imports inside functions included."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from statistics import median

import pytest

PACKAGE = Path(__file__).parent.parent / "src" / "driftfield"

# From the top of the house to the bottom. A module imports from its own room and from rooms below; the modules of the
# last line stand beside the rooms and belong to all of them.
ROOMS = (
    "__main__",
    "cli",
    "tutorials",
    "report",
    "estimators",
    "verification",
    "fitting",
    "model",
    "evaluation",
    "training",
    "recipes",
    "codecs",
    "networks",
    "datasets",
    "diffusion",
)
MACHINE = {"memory", "files"}  # foundations that ask the system, which the mathematics does not
FOUNDATIONS = ("wording", "options", "seeds", "modes", "memory", "files", "errors")

# Part I of the mathematics in its reading order. A chapter imports from earlier chapters alone.
CHAPTERS = (
    "schedules",
    "chains",
    "gaussian",
    "bridge",
    "forward",
    "heads",
    "denoisers",
    "kernels",
    "denoising",
    "times",
    "loop",
    "grids",
    "single_step",
    "stochastic",
)
MOST_LINES = 1_600  # of Part I: what can be read in an evening


def name_of(path: Path) -> str:
    parts = ("driftfield", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


@cache
def imports(module: str) -> frozenset[str]:
    """The modules of the package that a module imports, anywhere in its text."""
    return frozenset(_imports(parsed(module)))


@cache
def typing_imports(module: str) -> frozenset[str]:
    """Those that only name types: they stand under ``if TYPE_CHECKING`` and never run."""
    blocks = [node for node in parsed(module).body if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node)]
    return frozenset(name for block in blocks for name in _imports(block))


def parsed(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "driftfield")
        elif isinstance(node, ast.ImportFrom) and not node.level and str(node.module).split(".")[0] == "driftfield":
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else str(node.module)


def room(module: str) -> str:
    """The room of a module, or the module's own name beside the rooms; "" for the package itself."""
    return module.split(".")[1] if "." in module else ""


def level(module: str) -> int:
    return (*ROOMS, *FOUNDATIONS).index(room(module)) if room(module) else -1


def upward() -> set[tuple[str, str]]:
    return {
        (module, other)
        for module in MODULES
        for other in imports(module)
        if room(other) != room(module) and level(other) < level(module)
    }


def test_every_room_has_its_place() -> None:
    assert {room(module) for module in MODULES} - {""} == {*ROOMS, *FOUNDATIONS}


def test_no_module_imports_by_a_relative_name() -> None:
    for module, path in MODULES.items():
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        assert not [node for node in nodes if isinstance(node, ast.ImportFrom) and node.level], module


def test_imports_run_downward() -> None:
    assert upward() == set()


def test_no_import_runs_in_a_circle() -> None:
    """A function of (model, ...) may name the type Model, whose method calls it: such an import never runs."""
    arrows = {
        module: {
            other
            for other in imports(module)
            if not (room(other) == room(module) == "model" and other in typing_imports(module))
        }
        for module in MODULES
    }
    assert not circle(arrows)


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Nodes that lie on a circle, or lead to one: what is left when nodes without arrows are taken away in turn."""
    left = {node: set(others) for node, others in graph.items()}
    while ends := [node for node, others in left.items() if not others & left.keys()]:
        for node in ends:
            del left[node]
    return sorted(left)


def test_a_circle_is_found() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"e"}}) == ["a", "b", "c"]
    assert not circle({"a": {"b", "c"}, "b": {"c"}, "c": set()})


def test_the_mathematics_knows_only_torch_and_itself() -> None:
    for module in MODULES:
        if room(module) == "diffusion":
            assert {room(other) for other in imports(module)} <= {"diffusion", *FOUNDATIONS} - MACHINE, module


def test_part_one_is_read_from_front_to_back() -> None:
    first = "driftfield.diffusion.basics"
    assert {module for module in MODULES if module.startswith(f"{first}.")} == {f"{first}.{name}" for name in CHAPTERS}
    for i, name in enumerate(CHAPTERS):
        earlier = {f"{first}.{other}" for other in CHAPTERS[:i]}
        others = {other for other in imports(f"{first}.{name}") if room(other) == "diffusion"}
        assert others <= earlier, name


def test_part_one_can_be_read_in_an_evening() -> None:
    chapters = [MODULES[f"driftfield.diffusion.basics.{name}"] for name in CHAPTERS]
    assert sum(len(path.read_text(encoding="utf-8").splitlines()) for path in chapters) <= MOST_LINES


@pytest.mark.parametrize(
    ("part", "begin", "end"), [("basics", "PART I,", "PART II,"), ("further", "PART II,", "SYMBOLS,")]
)
def test_the_table_of_contents_lists_the_chapters_of_each_part(part: str, begin: str, end: str) -> None:
    text = ast.get_docstring(parsed("driftfield.diffusion"))
    assert text is not None
    contents = text[text.index(begin) : text.index(end)]
    listed = [line.split()[0] for line in contents.splitlines() if line.startswith("    ")]
    assert sorted(listed) == sorted({path.stem for path in PACKAGE.glob(f"diffusion/{part}/*.py")} - {"__init__"})
    if part == "basics":
        assert listed == list(CHAPTERS)


LONGEST_FILE, MEDIAN_FILE, LONGEST_FUNCTION = 400, 130, 60


def test_files_are_short() -> None:
    lengths = {module: len(path.read_text(encoding="utf-8").splitlines()) for module, path in MODULES.items()}
    assert {module for module, lines in lengths.items() if lines > LONGEST_FILE} == set()
    assert median(lengths.values()) < MEDIAN_FILE


def test_functions_are_short() -> None:
    for module in MODULES:
        for node in ast.walk(parsed(module)):
            if isinstance(node, ast.FunctionDef):
                lines = node.end_lineno - node.lineno + 1 if node.end_lineno else 0
                assert lines <= LONGEST_FUNCTION, f"{module}.{node.name} has {lines} lines"


def subclasses() -> dict[str, set[str]]:
    """The classes that derive directly from each class of the package; exceptions are left out."""
    derived: dict[str, set[str]] = {}
    classes = [node for module in MODULES for node in ast.walk(parsed(module)) if isinstance(node, ast.ClassDef)]
    for node in classes:
        for base in node.bases:
            name = ast.unparse(base).split("[")[0].split(".")[-1]
            if name in {other.name for other in classes} and not name.endswith("Error"):
                derived.setdefault(name, set()).add(node.name)
    return derived


def test_no_class_has_a_single_subclass() -> None:
    assert "Schedule" in subclasses()  # subclasses are found
    assert not {base: derived for base, derived in subclasses().items() if len(derived) == 1}


def test_no_two_test_files_share_a_name() -> None:
    """Otherwise pytest collects neither when both are asked for: their folders are no packages."""
    names = [path.name for path in Path(__file__).parent.rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
