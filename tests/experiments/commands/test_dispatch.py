"""How a command ends: one line, and an exit code."""

from __future__ import annotations

import builtins
import importlib
import io
import pkgutil
import sys
from pathlib import Path
from typing import Any

import pytest

from experiments import commands
from experiments.__main__ import main


def interrupt_import_of(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def interrupted(module: str, *arguments: Any, **options: Any) -> Any:
        if module == name:
            raise KeyboardInterrupt
        return real(module, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", interrupted)


def test_ctrl_c_while_modules_are_imported_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupt_import_of("experiments.specs.registry", monkeypatch)
    assert main(["status", "--store", str(tmp_path)]) == 130
    assert capsys.readouterr().err == "status: stopped\n"


def test_ctrl_c_while_the_tool_is_imported_is_quiet(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from sftok.__main__ import main as tool

    interrupt_import_of("sftok.checkpoints", monkeypatch)
    assert tool(["info", "--checkpoint", "anything"]) == 130
    assert capsys.readouterr().err == ""


def test_a_name_that_no_file_can_have_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--store", "x" * 300]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("status: ")
    assert "File name too long" in line


def test_a_fault_of_the_program_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> int:
        raise FileNotFoundError(2, "No such file or directory", "inner.json")

    monkeypatch.setattr(commands, "_run", broken)
    with pytest.raises(FileNotFoundError):
        main(["status"])


def test_a_terminal_that_encodes_ascii_alone_fails_no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert main(["show", "table4", "--profile", "smoke"]) == 0


def test_every_error_with_an_exit_code_exists() -> None:
    named = [*commands._INPUT_ERRORS, *commands._FAILURES, *commands._INTERRUPTIONS]
    for place in named:
        module, _, name = place.partition(":")
        assert issubclass(getattr(importlib.import_module(module), name), Exception)


def test_no_command_is_hidden_by_a_builtin_of_its_name() -> None:
    """A module of this package becomes a global of the package: `list.py` would replace `list`."""
    modules = {module.name for module in pkgutil.iter_modules(commands.__path__)}
    assert not modules & set(dir(builtins))
