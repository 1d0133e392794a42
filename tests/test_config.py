"""Configuration records: a wrong key is named with the choices, wherever it is."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from pydantic import Field, model_validator

from sftok.config import Config, ConfigError


class Inner(Config):
    width: int = 1


class Switch(Config):
    on: bool = False


class Range(Config):
    """A record that can be wrong in one value, or as a whole."""

    low: int = Field(default=0, ge=0)
    high: int = 9

    @model_validator(mode="after")
    def _in_order(self) -> Range:
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")
        return self


class Outer(Config):
    single: Inner = Inner()
    several: tuple[Inner, ...] = ()
    named: Mapping[str, Inner] = {}
    range: Range = Range()


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"single": {"widht": 2}}, r"single\.widht"),
        ({"several": [{"width": 2}, {"widht": 2}]}, r"several\.1\.widht"),
        ({"named": {"left": {"widht": 2}}}, r"named\.left\.widht"),
    ],
)
def test_an_unknown_key_is_named(values: dict[str, object], key: str) -> None:
    with pytest.raises(ConfigError, match=rf"unknown key '{key}': did you mean 'width'\?"):
        Outer.build(values)


@pytest.mark.parametrize(
    ("low", "message"),
    [
        (-1, "range.low = -1: Input should be greater than or equal to 0"),
        (10, "range: low 10 is above high 9"),
    ],
)
def test_a_wrong_value_is_shown_and_a_wrong_record_is_not_spelled_out(low: int, message: str) -> None:
    with pytest.raises(ConfigError) as found:
        Outer.build({"range": {"low": low}})
    assert str(found.value) == message


def test_true_is_not_a_number() -> None:
    with pytest.raises(ConfigError, match="low must be a number, not a boolean, got True"):
        Range.build({"low": True})
    assert Switch.build({"on": True}).on
