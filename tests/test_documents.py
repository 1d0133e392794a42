"""What the documents promise: their commands are accepted, their keys, paths and links exist."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest

from experiments import commands
from experiments.executors.resources import load_cluster
from experiments.profiles import PROFILES
from experiments.recipe import flat, resolve

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted(str(path.relative_to(ROOT)) for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")))
PACKAGES = "sftok|experiments|reports|ablations|examples|tests|docs"

every_document = pytest.mark.parametrize("document", DOCUMENTS)


def text(document: str) -> str:
    return (ROOT / document).read_text().replace("\\\n", " ")


def anchors(path: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub names them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_there_are_documents() -> None:
    names = ("commands", "cluster", "paper_size", "protocol", "adding_parts", "results", "deviations")
    assert {"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"} <= set(DOCUMENTS)
    assert {f"docs/{name}.md" for name in names} <= set(DOCUMENTS)


@every_document
def test_links_lead_somewhere(document: str) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", text(document)):
        if "://" not in target:
            name, _, anchor = target.partition("#")
            path = (ROOT / document).parent / name if name else ROOT / document
            assert path.exists(), target
            assert not anchor or anchor in anchors(path), target


@every_document
def test_paths_exist(document: str) -> None:
    paths = set(re.findall(rf"`((?:{PACKAGES})/[\w./-]+)`", text(document)))
    assert not [path for path in sorted(paths) if "NAME" not in path and not (ROOT / path).exists()]


@every_document
def test_commands_are_accepted(document: str) -> None:
    found = re.findall(r"python -m experiments ([a-z][^`\n]*)", text(document))
    if document == "README.md":
        table = re.search(r"^## Commands\n(.*?)^## ", text(document), re.MULTILINE | re.DOTALL)
        assert table
        cells = re.findall(r"^\| `([^`]+)` \|", table[1], re.MULTILINE)
        listed = [cell for cell in cells if cell.split()[0] in commands.COMMANDS]
        assert {command.split()[0] for command in listed} == set(commands.COMMANDS)
        found += listed
    app = commands.application()
    for command in found:
        app.parse_args(shlex.split(command), exit_on_error=False, print_error=False)


@every_document
def test_configuration_keys_exist(document: str) -> None:
    keys: set[str] = set()
    for profile in PROFILES.values():
        for key in flat(resolve(profile.overlay).model_dump(mode="json")):
            parts = key.split(".")
            keys |= {".".join(parts[:length]) for length in range(1, len(parts) + 1)}
    used = set(re.findall(r"--(?:set|grid|list) '?([a-z][\w.]*)=", text(document)))
    assert used - {"key"} <= keys


def test_the_cluster_file_of_the_documents_is_read(tmp_path: Path) -> None:
    example = re.search(r"^```\n(\[default\].*?)^```", text("docs/cluster.md"), re.MULTILINE | re.DOTALL)
    assert example
    path = tmp_path / "lab.toml"
    path.write_text(example[1])
    kinds = load_cluster(path, "paper").kinds
    assert (kinds["stage"].nodes, kinds["stage"].tasks, kinds["stage"].time) == (2, 4, 12 * 60)
    assert (kinds["teacher"].gpus, kinds["teacher"].tasks) == (8, 8)
    assert kinds["evaluation"].parallel == 16


@every_document
def test_nox_sessions_exist(document: str) -> None:
    functions = [node for node in ast.parse(text("noxfile.py")).body if isinstance(node, ast.FunctionDef)]
    sessions = {
        node.name for node in functions if any("session" in ast.dump(mark) for mark in node.decorator_list)
    }
    calls = re.findall(r"nox -s ((?:[a-z_]+ ?)+)", text(document))
    assert {name for call in calls for name in call.split()} <= sessions


def test_the_readme_is_short_and_has_the_line_that_ci_calls() -> None:
    lines = text("README.md").splitlines()
    assert len(lines) <= 150
    assert any(line.endswith("nox -s tests") for line in lines)
    assert "'nox -s tests$' README.md" in (ROOT / ".ci" / "run").read_text()
