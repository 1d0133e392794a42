"""The registry: every spec is found, a duplicate is an error, an unknown name lists the choices."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from experiments.specs.own_file import import_source, keep_copy, source_copy, source_of
from experiments.specs.registry import Registry
from sftok.config import ConfigError

SPEC = """
from experiments.specs import Experiment, Row
EXPERIMENT = Experiment(name={name!r}, kind="table", title="t", source="s", description="d",
                        rows=(Row(name="a", label="A"),))
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "some_specs"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "first.py").write_text(SPEC.format(name="first"))
    (folder / "helper.py").write_text("NOTHING = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    for name in [name for name in sys.modules if name.startswith("some_specs")]:
        del sys.modules[name]


def test_a_new_file_is_a_new_experiment(package: Path) -> None:
    assert list(Registry(["some_specs"]).experiments()) == ["first"]
    (package / "second.py").write_text(SPEC.format(name="second"))
    assert list(Registry(["some_specs"]).experiments()) == ["first", "second"]


def test_a_name_taken_twice_is_an_error(package: Path) -> None:
    (package / "second.py").write_text(SPEC.format(name="first"))
    with pytest.raises(ConfigError, match=r"some_specs\.second: another experiment is named 'first'"):
        Registry(["some_specs"]).experiments()


def test_the_order_is_the_papers() -> None:
    names = list(Registry(["experiments.paper", "ablations"]).experiments())
    assert names[:7] == [*(f"table{number}" for number in range(1, 7)), "appendix_c"]
    assert names.index("figure8") < names.index("figures9_14") < names.index("figure15")
    assert names.index("stage3") < names.index("information")


def test_an_unknown_name_lists_the_choices() -> None:
    with pytest.raises(ConfigError, match=r"did you mean 'table4'.*choices: .*table3, table4"):
        Registry(["experiments.paper"]).experiment("tabel4")


BORROWER = """
from experiments.specs import Experiment, Row
EXPERIMENT = Experiment(name="second", kind="figure", title="t", source="s", description="d",
                        rows=(Row(name="{row}", as_in="{experiment}", published={{"is": 2.0}}),))
"""


def test_a_row_may_be_borrowed_twice_but_not_in_a_circle(package: Path) -> None:
    (package / "second.py").write_text(BORROWER.format(row="a", experiment="first"))
    third = BORROWER.format(row="a", experiment="second").replace('"second", kind', '"third", kind')
    (package / "third.py").write_text(third.replace("2.0", "3.0"))
    (row,) = Registry(["some_specs"]).experiments()["third"].rows
    assert (row.label, row.published, row.as_in) == ("A", {"is": 3.0}, "")
    (package / "second.py").write_text(BORROWER.format(row="a", experiment="third"))
    for name in [name for name in sys.modules if name.startswith("some_specs.")]:
        del sys.modules[name]
    with pytest.raises(ConfigError, match="borrows it back"):
        Registry(["some_specs"]).experiments()


@pytest.mark.parametrize(
    ("row", "experiment", "message"),
    [("b", "first", "first has no row 'b'; choices: a"), ("a", "thirst", "did you mean 'first'")],
)
def test_a_row_that_is_not_there_cannot_be_borrowed(
    package: Path, row: str, experiment: str, message: str
) -> None:
    (package / "second.py").write_text(BORROWER.format(row=row, experiment=experiment))
    with pytest.raises(ConfigError, match=message):
        Registry(["some_specs"]).experiments()


def test_a_file_of_ones_own_may_borrow_rows_and_is_imported_once(package: Path, tmp_path: Path) -> None:
    path = tmp_path / "my_own_experiment.py"
    path.write_text(BORROWER.format(row="a", experiment="first"))
    registry = Registry(["some_specs"])
    experiment = registry.experiment(str(path))
    assert (experiment.name, experiment.rows[0].label) == ("second", "A")
    module = sys.modules["my_own_experiment"]
    assert import_source(registry.source, tmp_path / "elsewhere") is module


def test_workers_see_a_file_of_ones_own_as_it_was_when_the_run_was_requested(tmp_path: Path) -> None:
    path = tmp_path / "my_changing_file.py"
    path.write_text("VALUE = 1\n")
    source = source_of(path)
    (tmp_path / source_copy(source)).write_bytes(path.read_bytes())
    path.write_text("VALUE = 2\n")
    module = import_source(source, tmp_path)
    assert module is not None
    assert (module.__name__, module.VALUE) == ("my_changing_file", 1)
    with pytest.raises(ConfigError, match="has changed since this was requested"):
        import_source(source_of(path), tmp_path)
    del sys.modules["my_changing_file"]
    with pytest.raises(ConfigError, match=r"missing \(the copy of"):
        import_source(source_of(path), tmp_path)
    assert import_source({}, tmp_path) is None


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.py", None, "no such file"),
        ("json.py", "EXPERIMENT = 1", "rename the file"),
        ("my-own.py", "EXPERIMENT = 1", "rename the file"),
        ("fails_at_once.py", "1 / 0", r"cannot be imported \(ZeroDivisionError: division by zero\)"),
        ("defines_nothing.py", "", "neither an EXPERIMENT nor a STUDY"),
        ("of_another_type.py", "EXPERIMENT = 1", "its EXPERIMENT is not of type Experiment"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(
    tmp_path: Path, name: str, content: str | None, message: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=message) as caught:
        Registry([]).experiment(str(path))
    assert "\n" not in str(caught.value)
    if path.stem != "json":
        sys.modules.pop(path.stem, None)


def test_the_copy_of_a_file_with_other_line_endings_is_the_file(tmp_path: Path) -> None:
    path = tmp_path / "windows_spec.py"
    path.write_bytes(SPEC.format(name="windows").replace("\n", "\r\n").encode())
    registry = Registry(())
    registry.experiment(str(path))
    try:
        keep_copy(registry.source, tmp_path)
        copy = tmp_path / source_copy(registry.source)
        assert copy.read_bytes() == path.read_bytes()
        del sys.modules["windows_spec"]
        import_source(registry.source, tmp_path)
        assert import_source(registry.source, tmp_path) is sys.modules["windows_spec"]
    finally:
        sys.modules.pop("windows_spec", None)
