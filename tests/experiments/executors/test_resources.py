"""Cluster files: defaults by profile, overrides by kind, mistakes named before anything happens."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.executors.resources import Cluster, load_cluster, minutes
from experiments.profiles import PROFILES
from sftok.config import ConfigError


@pytest.mark.parametrize(
    ("text", "expected"),
    [(90, 90), ("90", 90), ("1:30", 90), ("1:30:00", 90), ("0:00:01", 1), ("2-12:00:00", 3600)],
)
def test_times(text: int | str, expected: int) -> None:
    assert minutes(text) == expected


@pytest.mark.parametrize("text", [0, -1, "soon", "", "1:2", "1-"])
def test_times_that_make_no_sense(text: int | str) -> None:
    with pytest.raises(ValueError, match="write minutes"):
        minutes(text)


def cluster(tmp_path: Path, text: str, profile: str = "paper") -> Cluster:
    path = tmp_path / "cluster.toml"
    path.write_text(text)
    return load_cluster(path, profile)


def test_the_file_overrides_the_profile_and_a_kind_overrides_the_default(tmp_path: Path) -> None:
    text = '[default]\npartition = "a"\ngpus = 4\n[kind.evaluation]\npartition = "b"\ntime = "1:00"'
    kinds = cluster(tmp_path, text).kinds
    assert (kinds["stage"].partition, kinds["stage"].gpus, kinds["stage"].tasks) == ("a", 4, 8)
    assert (kinds["evaluation"].partition, kinds["evaluation"].gpus) == ("b", 4)
    assert kinds["evaluation"].time == 60


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_has_defaults_with_the_threads_that_it_fixes(profile: str) -> None:
    threads = PROFILES[profile].threads
    assert all(threads in (None, resources.cpus) for resources in load_cluster(None, profile).kinds.values())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[default]\npartitio = "a"',
            r"\[default\]: unknown key 'partitio': did you mean 'partition'\? choices: acc",
        ),
        ("[kind.stage]\ngpu = 1", r"\[kind.stage\]: unknown key 'gpu': did you mean 'gpus'"),
        ("[kind.stages]\ngpus = 1", r"unknown kind 'stages': did you mean 'stage'"),
        ("[[kind]]\ngpus = 1", r"write \[kind.stage\], not \[\{'gpus': 1\}\] under kind"),
        ("[defaults]\ngpus = 1", r"unknown key 'defaults': did you mean 'default'"),
        ("[default]\ngpus = -1", r"gpus = -1"),
        ('[default]\nmemory = "a lot"', r"memory = 'a lot'"),
        ('[default]\ntime = "soon"', r"time = 'soon': write minutes"),
        ("default = 3", r"must be a table"),
        ("[default", r"cluster file .*cluster.toml: "),
    ],
)
def test_mistakes_are_named(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        cluster(tmp_path, text)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere.toml: No such file"):
        load_cluster(tmp_path / "nowhere.toml", "cpu")


def test_round_trip(tmp_path: Path) -> None:
    made = cluster(tmp_path, '[default]\nsetup = ["module load cuda"]\n[default.extra]\nexclude = "node1"')
    assert Cluster.restore(made.dump()).kinds == made.kinds


@pytest.mark.parametrize(
    ("text", "gpus", "memory"),
    [("", 1, "51200M"), ('memory = "9M"\ntasks = 2', 1, "4M"), ('memory = "1K"\ngpus = 0', 0, "1M")],
)
def test_the_share_of_one_process(tmp_path: Path, text: str, gpus: int, memory: str) -> None:
    share = cluster(tmp_path, f"[kind.stage]\n{text}").kinds["stage"].of_one_process()
    assert (share.nodes, share.tasks, share.gpus, share.memory) == (1, 1, gpus, memory)
