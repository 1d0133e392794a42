"""The import direction of the packages (ARCHITECTURE.md), and what no file of the repository may contain."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TOP = Path("experiments/__main__.py")
"""The one module that wires everything together."""

FORBIDDEN = {
    "sftok": {"experiments", "ablations", "reports"},
    "experiments": {"ablations", "reports"},
    "ablations": {"reports"},
    "reports": {"ablations", "torch"},
}
"""What no module of a package imports, directly."""

LAYERS = (
    {"pixel_recipe"},
    {"specs", "store", "recipe"},
    {"requests", "profiles", "paper", "artifacts"},
    {"planning", "records", "executors"},
    {"tracking", "studies"},
    {"commands"},
    {"__main__"},
)
"""The packages and modules of `experiments`, lowest first: each imports only from itself and lower ones."""

MACHINE_PATH = re.compile(r"(?<![\w.])/(?:work|root|home|opt|tmp|mnt|Users)/")

CONTROL_FLOW = (
    *(ast.If, ast.IfExp, ast.For, ast.While, ast.Try, ast.With, ast.Match),
    *(ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda),
)


def modules(*folders: str) -> list[Path]:
    return sorted(path.relative_to(ROOT) for folder in folders for path in (ROOT / folder).rglob("*.py"))


def specs() -> list[Path]:
    candidates = modules("experiments/paper", "ablations")
    marked = re.compile(r"^(EXPERIMENT|STUDY) = ", re.MULTILINE)
    return [path for path in candidates if marked.search((ROOT / path).read_text())]


def parsed(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(), filename=str(path))


def imports(path: Path) -> Iterator[str]:
    """Dotted names of all that a module imports, anywhere in it."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def uses(package: str) -> dict[str, dict[str, Path]]:
    """By each part of a package, the other parts that it imports, with a module that does."""
    found: dict[str, dict[str, Path]] = {}
    for path in modules(package):
        part = found.setdefault(path.parts[1].removesuffix(".py"), {})
        for name in imports(path):
            top, _, rest = name.partition(".")
            if top == package and rest:
                part[rest.partition(".")[0]] = path
    return found


def repository_files() -> list[Path]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("package", FORBIDDEN)
def test_imports_point_one_way(package: str) -> None:
    paths = modules(package)
    assert paths
    wrong = [
        f"{path} imports {name}"
        for path in paths
        if path != TOP
        for name in imports(path)
        if name.partition(".")[0] in FORBIDDEN[package]
    ]
    assert not wrong


def test_experiments_are_layers() -> None:
    layer = {part: number for number, parts in enumerate(LAYERS) for part in parts}
    found = uses("experiments")
    assert set(found) - {"__init__"} == set(layer)
    assert not [
        f"{path} imports {lower}"
        for part, imported in found.items()
        for lower, path in imported.items()
        if part != "__init__" and lower != part and layer[lower] >= layer[part]
    ]


def test_no_packages_of_sftok_import_each_other() -> None:
    graph = {part: imported.keys() - {part} for part, imported in uses("sftok").items()}
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))
    assert {"models", "training", "evaluation"} <= set(order)


def test_nothing_imports_the_top() -> None:
    everything = modules("sftok", "experiments", "ablations", "reports")
    top = "experiments.__main__"
    assert not [path for path in everything for name in imports(path) if f"{name}.".startswith(f"{top}.")]


@pytest.mark.parametrize("path", specs(), ids=str)
def test_a_spec_is_data(path: Path) -> None:
    allowed = {"__future__", "experiments", "experiments.specs"}
    assert {name.rpartition(".")[0] for name in imports(path)} <= allowed
    branches = [f"{path}:{node.lineno}" for node in ast.walk(parsed(path)) if isinstance(node, CONTROL_FLOW)]
    assert not branches


def test_no_file_names_a_path_of_one_machine() -> None:
    found = []
    for path in repository_files():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        lines = text.splitlines()
        found += [
            f"{path.relative_to(ROOT)}:{number}"
            for number, line in enumerate(lines, 1)
            if MACHINE_PATH.search(line)
        ]
    assert not found
