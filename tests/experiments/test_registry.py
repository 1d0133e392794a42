"""The registry: every spec is found, a duplicate is an error, an unknown name lists the choices."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from experiments.registry import discover, pick
from sftok.config import ConfigError

SPEC = """
from experiments.spec import Experiment, Row
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
    assert list(discover(["some_specs"])) == ["first"]
    (package / "second.py").write_text(SPEC.format(name="second"))
    assert list(discover(["some_specs"])) == ["first", "second"]


def test_a_name_taken_twice_is_an_error(package: Path) -> None:
    (package / "second.py").write_text(SPEC.format(name="first"))
    with pytest.raises(ConfigError, match=r"some_specs\.second: an experiment 'first' exists already"):
        discover(["some_specs"])


def test_the_order_is_the_papers() -> None:
    names = list(discover(["experiments.paper", "ablations"]))
    assert names[:7] == [*(f"table{number}" for number in range(1, 7)), "appendix_c"]
    assert names.index("figure8") < names.index("figures9_14") < names.index("figure15")
    assert names[-2:] == ["stage3", "information"]


def test_an_unknown_name_lists_the_choices() -> None:
    with pytest.raises(ConfigError, match=r"did you mean 'table4'.*choices: .*table3, table4"):
        pick(discover(["experiments.paper"]), "tabel4")


BORROWER = """
from experiments.spec import Experiment, Row
EXPERIMENT = Experiment(name="second", kind="figure", title="t", source="s", description="d",
                        rows=(Row(name="{row}", as_in="{experiment}", published={{"is": 2.0}}),))
"""


def test_a_borrowed_row_is_the_lenders_but_for_what_it_says_itself(package: Path) -> None:
    (package / "second.py").write_text(BORROWER.format(row="a", experiment="first"))
    (row,) = discover(["some_specs"])["second"].rows
    assert (row.label, row.published, row.as_in) == ("A", {"is": 2.0}, "")


def test_a_row_may_be_borrowed_twice_but_not_in_a_circle(package: Path) -> None:
    (package / "second.py").write_text(BORROWER.format(row="a", experiment="first"))
    third = BORROWER.format(row="a", experiment="second").replace('"second", kind', '"third", kind')
    (package / "third.py").write_text(third.replace("2.0", "3.0"))
    (row,) = discover(["some_specs"])["third"].rows
    assert (row.label, row.published, row.as_in) == ("A", {"is": 3.0}, "")
    (package / "second.py").write_text(BORROWER.format(row="a", experiment="third"))
    for name in [name for name in sys.modules if name.startswith("some_specs.")]:
        del sys.modules[name]
    with pytest.raises(ConfigError, match="borrows it back"):
        discover(["some_specs"])


@pytest.mark.parametrize(
    ("row", "experiment", "message"),
    [("b", "first", "first has no row 'b'; choices: a"), ("a", "thirst", "did you mean 'first'")],
)
def test_a_row_that_is_not_there_cannot_be_borrowed(
    package: Path, row: str, experiment: str, message: str
) -> None:
    (package / "second.py").write_text(BORROWER.format(row=row, experiment=experiment))
    with pytest.raises(ConfigError, match=message):
        discover(["some_specs"])
