"""The key of an artifact: what is part of it, what is not, and the golden keys that no change may move."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from plans import SPECS, planned

from experiments.artifacts.base import Artifact, all_kinds, load
from experiments.artifacts.measurement import Measurement
from experiments.planning.plan import Plan, combined
from experiments.recipe import SplitEvaluation
from sftok.config import Config, ConfigError

GOLDEN = Path(__file__).parent / "golden_keys.json"


class Settings(Config):
    """What a component of the tests is configured by."""

    size: int
    depth: int = 2


class Thing(Artifact, kind="thing", version=3):
    """A record of the tests."""

    settings: Settings = Settings(size=4)
    count: int
    hint: str = ""
    before: Thing | None = None
    beside: dict[str, Thing] = {}

    def make(self, context: Any) -> dict[str, Any]:
        return {}


def thing(**fields: Any) -> Thing:
    return Thing(**{"label": "a thing", "count": 1, **fields})


def table(overrides: dict[str, Any] | None = None) -> Plan:
    return planned("table4", overrides)


def test_fields_at_their_defaults_are_not_part_of_the_key() -> None:
    assert thing().identity == {"kind": "thing", "version": 3, "fields": {"count": 1}}
    assert thing(settings=Settings(size=4, depth=2)).key == thing().key
    assert thing(settings=Settings(size=4, depth=3)).identity["fields"]["settings"] == {"size": 4, "depth": 3}
    assert thing(settings=Settings(size=5)).identity["fields"]["settings"] == {"size": 5}


@pytest.mark.parametrize("changes", [{"label": "another"}, {"device": "cuda", "tf32": False}])
def test_what_changes_no_number_is_not_part_of_the_key(changes: dict[str, Any]) -> None:
    assert thing(**changes).key == thing().key


@pytest.mark.parametrize(
    "changes", [{"count": 2}, {"hint": "x"}, {"data": {"train": "0"}}, {"before": thing()}]
)
def test_what_changes_numbers_is_part_of_the_key(changes: dict[str, Any]) -> None:
    assert thing(**changes).key != thing().key


def test_a_measurement_under_another_protocol_or_on_other_data_has_another_key() -> None:
    subject = {"name": "checkpoint", "location": "here"}
    common = {"label": "c", "content": "0", "subject": subject}
    one = Measurement(**common, protocol=SplitEvaluation(steps=(1,)), data={"test": "0"})
    assert one.name != Measurement(**common, protocol=SplitEvaluation(steps=(8,)), data={"test": "0"}).name
    assert one.name != Measurement(**common, protocol=SplitEvaluation(steps=(1,)), data={"test": "1"}).name
    moved = {**common, "subject": {**subject, "location": "there"}}
    assert one.name == Measurement(**moved, protocol=SplitEvaluation(steps=(1,)), data={"test": "0"}).name


def test_inputs_count_by_their_keys() -> None:
    first, second = thing(before=thing(count=2)), thing(before=thing(count=3))
    assert first.key != second.key
    assert first.identity["fields"]["before"] == thing(count=2).name
    assert first.key == thing(before=thing(count=2, label="other")).key
    assert [each.count for each in first.with_inputs()] == [2, 1]


def test_inputs_in_a_mapping_count_by_their_keys_and_come_back() -> None:
    made = thing(beside={"a b": thing(count=2), "c.d": thing(count=3)})
    assert made.inputs == {"beside.a b": thing(count=2), "beside.c.d": thing(count=3)}
    assert made.identity["fields"]["beside"] == {"a b": thing(count=2).name, "c.d": thing(count=3).name}
    assert made.key != thing().key == thing(beside={}).key
    assert load(each.stored() for each in made.with_inputs())[made.name].inputs == made.inputs


def test_how_often_a_checkpoint_is_written_is_not_part_of_the_key() -> None:
    often = table({"stage1.training.checkpoint_every": 3})
    assert [each.key for each in often.artifacts] == [each.key for each in table().artifacts]
    assert table({"stage1.training.log_every": 3}).artifacts != table().artifacts, "curves are results"


def test_a_worker_rebuilds_every_record() -> None:
    sent = table({"stage1.training.checkpoint_every": 2}).artifacts
    received = load([each.stored() for each in sent])
    assert tuple(received.values()) == sent
    stage = next(each for each in received.values() if each.stage == "warm-up")
    assert stage.training.checkpoint_every == 2  # type: ignore[attr-defined]


def test_a_record_that_todays_code_reads_differently_is_refused() -> None:
    stored = thing().stored()
    changed = stored.model_copy(update={"name": f"thing-{'0' * 16}"})
    with pytest.raises(ConfigError, match="has changed since it was requested; run the command again"):
        load([changed])


def test_every_kind_is_found_by_the_name_of_its_file() -> None:
    folder = Path(__file__).parents[3] / "experiments" / "artifacts"
    # Other tests have kinds of their own.
    kinds = {name for name, kind in all_kinds().items() if kind.__module__.startswith("experiments.")}
    assert kinds <= {path.stem for path in folder.glob("*.py")}
    with pytest.raises(ConfigError, match="unknown kind of artifact 'evaluatoin': did you mean 'evaluation'"):
        load([thing().stored().model_copy(update={"kind": "evaluatoin"})])


def test_no_key_has_moved() -> None:
    """Artifacts of users' stores are found by these keys: a change here means that all is made again.

    If that is meant (a kind has a new version, or a default has changed), write the file anew with the keys
    that the failure shows, and say so in the changelog.
    """
    keys = {}
    for profile in ("smoke", "paper"):
        work = combined([planned(spec, profile=profile) for spec in SPECS.values()])
        keys[profile] = {each.name: each.label for each in work.artifacts}
    golden = json.loads(GOLDEN.read_text())
    assert keys == golden, json.dumps(keys, indent=1)
