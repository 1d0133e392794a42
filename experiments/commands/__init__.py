"""The commands of `python -m experiments`, one file each; `dispatch` turns their errors into exit codes.

A command is a function whose signature defines its command line. Its module is imported when the command is
called, and slow libraries (torch, MLflow, Matplotlib) inside the function, so that `--help` and errors in
options appear at once.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cyclopts import App, CycloptsError, Parameter
from cyclopts.exceptions import MissingArgumentError, UnusedCliTokensError

from experiments.commands.wiring import Wiring
from sftok.config import ConfigError, choices_hint

if TYPE_CHECKING:
    from cyclopts.help import DefaultFormatter

__all__ = ["COMMANDS", "Wiring", "application", "dispatch"]

PROGRAM = "python -m experiments"
FAILED, WRONG_INPUT, INTERRUPTED = 1, 2, 130

COMMANDS = {
    "list": ("listing:list_specs", "list the experiments and studies"),
    "show": ("show:show", "print the rows, claims and configuration of an experiment"),
    "run": ("run:run", "train, evaluate and report; finished work is never repeated"),
    "sweep": ("sweep:sweep", "run an experiment over a grid or a list of configuration values"),
    "study": ("study:study", "search for the best values; several processes can share a study"),
    "status": ("status:status", "show what is done, running, waiting or failed, and why"),
    "report": ("report:report", "rebuild the HTML pages from the stored results"),
    "evaluate": ("evaluate:evaluate", "measure a tokenizer, a codec or images under one protocol"),
    "compare": ("compare:compare", "print two evaluations side by side, and how their protocols differ"),
    "merge": ("merge:merge", "copy the results of other stores into one"),
    "results": ("results:results", "print the stored numbers, one per line"),
    "verdicts": ("verdicts:verdicts", "print the verdict on each claim"),
    "logs": ("logs:logs", "print the log of an artifact's latest job"),
    "cancel": ("cancel:cancel", "cancel the cluster jobs of an experiment"),
    "retry": ("retry:retry", "queue failed cluster jobs again, from their last checkpoints"),
    "collect": ("collect:collect", "update the report and MLflow with the results of cluster jobs"),
}  # fmt: skip
"""The location of each command, and a one-line summary."""

DETAILS = {
    "sweep": "Replaces the rows of EXPERIMENT with one row per combination of values. Overrides that all its "
    "rows have in common are kept; every other value comes from the profile or --set, so a key in which its "
    "rows differ can be swept too. Artifacts with the same keys are shared with other experiments.",
    "study": "The study's sampler chooses the values of each trial. Trials are measured on the validation "
    "split. To add a worker, run the same command in another terminal; to resume a study, run it again.",
}

_INPUT_ERRORS = (
    "sftok.config:ConfigError",
    "sftok.checkpoints:CheckpointError",
    "sftok.data:DataError",
    "sftok.evaluation.subjects.base:SubjectError",
    "experiments.planning.needed_weights:MissingWeightsError",
)
_FAILURES = (
    "experiments.store:StoreError",
    "experiments.executors.queue:SlurmError",
    "experiments.executors.local:WorkerError",
    "sftok.distributed:WorldBroken",
)
_INTERRUPTIONS = ("experiments.executors.stop:Interrupted",)

_WRONG_PLACE = (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP)
"""System errors about a path that the user chose or blocked."""


def application(help_formatter: Any = "plain") -> App:
    """The command line."""
    app = App(
        name=PROGRAM,
        help="Reproduce the tables and figures of the SFTok paper, run ablations and measure tokenizers.",
        help_epilogue=f"Start with: {PROGRAM} run table4",
        help_format="plaintext",
        help_formatter=help_formatter,
        version_flags=(),
        default_parameter=Parameter(negative=()),
        suppress_keyboard_interrupt=False,
    )
    for position, (name, (place, summary)) in enumerate(COMMANDS.items()):
        app.command(
            f"experiments.commands.{place}",
            name=name,
            help=summary,
            help_epilogue=DETAILS.get(name, ""),
            sort_key=position,
        )
    return app


def _help_formatter() -> DefaultFormatter:
    """A formatter for help in two columns without frames."""
    # Imported here, because only help needs Rich, which takes a tenth of a second to import.
    from cyclopts.help import DefaultFormatter, PanelSpec
    from rich.box import Box

    blank = Box("\n".join(["    "] * 8) + "\n")
    return DefaultFormatter(panel_spec=PanelSpec(box=blank, padding=0))


def dispatch(argv: Sequence[str], wiring: Wiring) -> int:
    """Run the command of a command line and return the exit code.

    Errors that a user can fix are printed as one line on stderr; bugs keep their traceback.
    """
    command = argv[0] if argv else ""
    try:
        return _run(argv, wiring)
    except CycloptsError as error:
        return _complain(command, _wording(error), WRONG_INPUT)
    except Exception as error:
        code, message = _code(error)
        if code is None:
            raise
        return _complain(command, message, code)


def _run(argv: Sequence[str], wiring: Wiring) -> int:
    helps = not argv or not {"-h", "--help"}.isdisjoint(argv)
    app = application(_help_formatter() if helps else "plain")
    if not argv or argv[0] in ("-h", "--help"):
        app.help_print([])
        return 0 if argv else WRONG_INPUT
    if argv[0] not in COMMANDS:
        raise ConfigError(f"unknown command; {choices_hint(argv[0], COMMANDS)}")
    command, bound, ignored = app.parse_args(
        list(argv), exit_on_error=False, print_error=False, verbose=False
    )
    more: dict[str, Any] = {"wiring": wiring} if "wiring" in ignored else {}
    return command(*bound.args, **bound.kwargs, **more) or 0


def _wording(error: CycloptsError) -> str:
    """Describe an error in the command line, in one line."""
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        return f"unexpected argument {error.unused_tokens[0]!r}"
    if isinstance(error, MissingArgumentError) and error.argument is not None:
        return f"{error.keyword} needs a value" if error.keyword else f"{error.argument.name} is missing"
    return " ".join(str(error).split())


def _code(error: Exception) -> tuple[int | None, str]:
    """The exit code (None for a bug) and the message of an error."""
    for names, code in ((_INPUT_ERRORS, WRONG_INPUT), (_FAILURES, FAILED), (_INTERRUPTIONS, INTERRUPTED)):
        if isinstance(error, _loaded(names)):
            return code, str(error)
    if isinstance(error, OSError):
        from experiments.store import CANNOT_WRITE, DENIED

        if error.filename is not None and error.errno in _WRONG_PLACE:
            return FAILED, str(error)
        if error.errno in (*CANNOT_WRITE, *DENIED):
            return FAILED, f"{error}; free some space or choose another --store; finished work is kept"
    return None, ""


def _loaded(names: Sequence[str]) -> tuple[type[Exception], ...]:
    """The exception classes whose modules are loaded; others cannot have been raised."""
    places = [name.split(":") for name in names]
    return tuple(getattr(sys.modules[module], name) for module, name in places if module in sys.modules)


def _complain(command: str, message: str, code: int) -> int:
    print(f"{command}: {message}", file=sys.stderr)
    return code
