"""What the documents promise: their commands are accepted, their links lead somewhere."""

from __future__ import annotations

import argparse
import ast
import re
import shlex
from pathlib import Path

import pytest

from experiments import arguments
from experiments.executors.resources import load_cluster

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted(path.name for path in ROOT.glob("*.md"))


def text(document: str) -> str:
    return (ROOT / document).read_text()


def every_command() -> set[str]:
    usage = next(part for part in arguments.parser()._actions if isinstance(part, argparse._SubParsersAction))
    return set(usage.choices)


def test_there_are_documents() -> None:
    assert {"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "DEVIATIONS.md", "CHANGELOG.md"} <= set(
        DOCUMENTS
    )


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", text(document))
    assert not [target for target in targets if "://" not in target and not (ROOT / target).exists()]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_are_accepted(document: str) -> None:
    commands = re.findall(r"python -m experiments ([a-z][^`\n]*)", text(document))
    if document == "README.md":
        table = re.search(r"^## Commands\n(.*?)^## ", text(document), re.MULTILINE | re.DOTALL)
        assert table
        first_cells = re.findall(r"^\|([^|]+)\|", table[1], re.MULTILINE)
        commands += [command for cell in first_cells for command in re.findall(r"`([^`]+)`", cell)]
        assert {command.split()[0] for command in commands} == every_command()
    parser = arguments.parser()
    for command in commands:
        parser.parse_args(shlex.split(command))


def test_the_cluster_file_of_the_readme_is_read(tmp_path: Path) -> None:
    example = re.search(r"^```\n(\[default\].*?)^```", text("README.md"), re.MULTILINE | re.DOTALL)
    assert example
    path = tmp_path / "lab.toml"
    path.write_text(example[1])
    kinds = load_cluster(path, "paper").kinds
    assert (kinds["stage"].nodes, kinds["stage"].tasks, kinds["stage"].time) == (2, 4, 12 * 60)
    assert (kinds["teacher"].gpus, kinds["teacher"].tasks) == (8, 8)
    assert kinds["evaluation"].parallel == 16


@pytest.mark.parametrize("document", DOCUMENTS)
def test_nox_sessions_exist(document: str) -> None:
    functions = [node for node in ast.parse(text("noxfile.py")).body if isinstance(node, ast.FunctionDef)]
    sessions = {
        node.name for node in functions if any("session" in ast.dump(mark) for mark in node.decorator_list)
    }
    calls = re.findall(r"nox -s ((?:[a-z_]+ ?)+)", text(document))
    assert {name for call in calls for name in call.split()} <= sessions


def test_the_readme_has_the_line_that_ci_calls() -> None:
    lines = [line for line in text("README.md").splitlines() if line.endswith("nox -s tests")]
    assert lines
    assert "'nox -s tests$' README.md" in (ROOT / ".ci" / "run").read_text()
