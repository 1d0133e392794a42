"""Nox sessions: `nox -s tests` and `nox -s lint types smoke` run in CI; the longer ones are started by hand.

No session creates its own environment, because torch alone takes gigabytes: all use the one that nox runs in.
Create it with `python3 -m venv .venv && .venv/bin/pip install -e '.[dev]'`.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
import tempfile
from pathlib import Path

import nox

nox.options.default_venv_backend = "none"
nox.options.error_on_missing_interpreters = True
nox.options.sessions = ["lint", "types", "tests", "smoke"]

REQUIRED = ("sftok", "pytest", "pytest-benchmark", "pytest-timeout", "hypothesis", "ruff", "mypy")


@nox.session
def tests(session: nox.Session) -> None:
    """Run all tests; arguments after `--` go to pytest."""
    python(session, "-m", "pytest", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format without changing anything."""
    python(session, "-m", "ruff", "check")
    python(session, "-m", "ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Type-check sftok and experiments."""
    python(session, "-m", "mypy")


@nox.session
def smoke(session: nox.Session) -> None:
    """Run every spec of the registry at the smoke profile, in a temporary store."""
    with tempfile.TemporaryDirectory(prefix="sftok-smoke-") as store:
        run_everything(session, "--profile", "smoke", "--store", store)


@nox.session
def reproduce_all(session: nox.Session) -> None:
    """Run every spec in one plan, e.g. `nox -s reproduce_all -- --profile cpu --seeds 3`."""
    run_everything(session, *session.posargs)


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Time a training step, a decode and an evaluation pass, and compare the variants of each."""
    with tempfile.TemporaryDirectory(prefix="sftok-benchmarks-") as folder:
        report = Path(folder) / "benchmarks.json"
        options = ("--benchmark-enable", "--benchmark-only", "--benchmark-group-by=func", "--timeout=0")
        python(
            session,
            "-m",
            "pytest",
            "tests/benchmarks",
            *options,
            f"--benchmark-json={report}",
            *session.posargs,
        )
        print_ratios(json.loads(report.read_text())["benchmarks"])


@nox.session
def gpu(session: nox.Session) -> None:
    """Run the GPU tests; `nox -s gpu -- --device cpu` runs the same tests on the CPU."""
    name = device(session)
    python(session, "-m", "pytest", "tests/gpu", "--device", name, "--timeout=0", *without_device(session))


@nox.session
def gpu_benchmark(session: nox.Session) -> None:
    """Measure speed and memory on a GPU, as a table and JSON; see tests/benchmarks/gpu.py for its options."""
    name = device(session)
    python(session, "tests/benchmarks/gpu.py", "--device", name, *without_device(session))


def device(session: nox.Session) -> str:
    """Return the device to run on (the GPU unless `--device cpu` is given) and log it."""
    options = list(session.posargs)
    name = options[options.index("--device") + 1] if "--device" in options else "cuda"
    # Imported here: the other sessions should not wait for torch.
    from sftok.device import DeviceError, describe_device, require_device

    try:
        require_device(name)
    except DeviceError:
        instead = f"nox -s {session.name} -- --device cpu{' --tiny' * (session.name == 'gpu_benchmark')}"
        session.error(f"no GPU here; `{instead}` runs it on the CPU in its place")
    session.log(f"on {describe_device(name)}{' in place of a GPU' if name == 'cpu' else ''}")
    return name


def without_device(session: nox.Session) -> list[str]:
    """The session's options without `--device`."""
    options = list(session.posargs)
    if "--device" in options:
        del options[options.index("--device") : options.index("--device") + 2]
    return options


def run_everything(session: nox.Session, *options: str) -> None:
    """Run all specs in one plan: shared artifacts are made once; failures do not stop independent ones."""
    python(session, "-m", "experiments", "run", "all", "--yes", *options)


def print_ratios(measured: list[dict]) -> None:
    """Print the notes of each benchmark, and how its variants compare by their fastest rounds."""
    variants: dict[str, dict[str, float]] = {}
    for benchmark in measured:
        name, _, variant = benchmark["name"].partition("[")
        variants.setdefault(name, {})[variant.rstrip("]")] = benchmark["stats"]["min"]
        for note, value in benchmark["extra_info"].items():
            print(f"{name}: {note}: {value}")
    for name, times in variants.items():
        slowest = max(times, key=times.__getitem__)
        for variant, seconds in times.items():
            if variant != slowest:
                ratio = times[slowest] / seconds
                print(f"{name}: {variant} runs at {ratio:.2f} times the speed of {slowest}")


def python(session: nox.Session, *arguments: str) -> None:
    """Run this interpreter with `arguments`."""
    require_environment(session)
    session.run(sys.executable, *arguments, external=True)


def require_environment(session: nox.Session) -> None:
    """Refuse an interpreter without the package and its development tools."""
    installed = {distribution.name.lower() for distribution in importlib.metadata.distributions()}
    if missing := [name for name in REQUIRED if name not in installed]:
        session.error(
            f"{sys.executable} lacks {', '.join(missing)}; make the environment and use its nox: "
            "python3 -m venv .venv && .venv/bin/pip install -e '.[dev]' && .venv/bin/nox"
        )
