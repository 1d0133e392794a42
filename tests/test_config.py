"""Configuration records: a wrong key is named with the choices, wherever it is."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from sftok.config import Config, ConfigError


class Inner(Config):
    width: int = 1


class Outer(Config):
    single: Inner = Inner()
    several: tuple[Inner, ...] = ()
    named: Mapping[str, Inner] = {}


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
