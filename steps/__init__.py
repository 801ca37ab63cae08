"""Entry points, one module each: parse, call, print. This file is what they parse with."""

import argparse
import logging
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from tabular.process import PARENT, Output

# isort: split

import psutil
from mlflow.exceptions import MlflowException
from requests import RequestException
from sqlalchemy.exc import SQLAlchemyError

from tabular.errors import BadInput, choices, first_line
from tabular.search.stopping import when_orphaned
from tabular.store.runs import fail_if_running
from tabular.table.addresses import BUILT_IN

PROJECT = Path(__file__).resolve().parents[1]


class Parser(argparse.ArgumentParser):
    """An argument parser whose every complaint is one line and exit code 2."""

    def __init__(self, description: str | None) -> None:
        super().__init__(
            description=description,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def error(self, message: str) -> NoReturn:
        """Ends the process; argparse would print its usage too."""
        self.exit(2, f"error: {message}\n")

    def option(self, name: str, default: Any, read: Callable[[str], Any], text: str) -> None:
        """Declares `--name value`.

        Args:
            name: as in MLproject.
            default: its value where it is not given; MLproject has the same as text.
            read: from text to value; raises `argparse.ArgumentTypeError`.
            text: what it is, in a few words: `--help` and docs/reference.md show them.
        """
        self.add_argument(f"--{name}", default=default, type=read, help=f"{text} ({default!r})")

    def read(self, arguments: Sequence[str] | None, *, extra: bool = False) -> argparse.Namespace:
        """Parses; what is not declared is an error, or with `extra` a dict under that name.

        Raises:
            SystemExit: with code 2, after one line on stderr.
        """
        known, rest = self.parse_known_args(arguments)
        names = [action.dest for action in self._actions if action.dest != "help"]
        pairs = {}
        while rest:
            name = rest.pop(0)
            if not name.startswith("--"):
                self.error(f"unexpected argument {name!r}; parameters are written --name value")
            name, equals, value = name[2:].partition("=")
            if not extra:
                self.error(f"unknown parameter {name!r}; {choices(name, names)}")
            if not equals and not rest:
                self.error(f"parameter {name!r} has no value; write --{name} value")
            pairs[name] = value if equals else rest.pop(0)
        if extra:
            known.extra = pairs
        return known


def one_of(*possible: str) -> Callable[[str], str]:
    """Reads one of some names."""

    def read(text: str) -> str:
        if text not in possible:
            names = [name for name in possible if name]
            raise argparse.ArgumentTypeError(f"unknown value {text!r}; {choices(text, names)}")
        return text

    return read


def names_of(*possible: str) -> Callable[[str], list[str]]:
    """Reads `all` (as no names) or a comma list of names."""

    def read(text: str) -> list[str]:
        names = [name.strip() for name in text.split(",") if name.strip()]
        return [] if names in ([], ["all"]) else [one_of(*possible)(name) for name in names]

    return read


def headings(text: str) -> list[str]:
    """Reads a comma list of headings."""
    return [name.strip() for name in text.split(",") if name.strip()]


TABLE = (
    f"{', '.join(BUILT_IN)}; or the path or URI of a table: CSV, TSV, Parquet, Feather, ORC, JSON, "
    "Excel, a folder of these, or a database with ?query="
)
TABLE_OR_LOG = f"{TABLE}; or a log of requests, one file or the folder"
LABELS = "table of labels that came later, as data takes one; empty for none"
KEY = "columns of both (comma list) that say which label is of which row"
NAME = "the model in the registry; empty for the name of the data set or file"


def add_structure(parser: Parser) -> None:
    """Declares the columns with a role in place of a feature."""
    inherited = "empty for that of the model's newest version, none for none"
    for name, text in (
        ("group", "columns (comma list) whose equal values say that rows belong together"),
        ("time", "column that says when a row was; the newest rows are held out"),
        ("weight", "column that says how much a row counts"),
    ):
        parser.option(name, "", str, f"{text}; {inherited}")


LARGEST = 2**32 - 1  # of a seed, for numpy


def whole(low: int, *, also: int | None = None) -> Callable[[str], int]:
    """Reads an integer from `low` to 2**32 - 1, or `also`, such as -1."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"expected a whole number, found {text!r}") from None
        if not low <= value <= LARGEST and value != also:
            wanted = f"{low} to {LARGEST}" + (f", or {also}" if also is not None else "")
            raise argparse.ArgumentTypeError(f"expected {wanted}, found {text[:40]}")
        return value

    return read


def real(low: float, high: float, *, empty: bool = False) -> Callable[[str], float | None]:
    """Reads a number from `low` to `high`; with `empty` no text is None."""

    def read(text: str) -> float | None:
        if empty and not text:
            return None
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"expected {low:g} to {high:g}, found {text!r}")
        return value

    return read


def seconds(text: str) -> float:
    """Reads a number of seconds, at least 0."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected seconds, 0 or more, found {text!r}")
    return value


def registry_name(text: str) -> str:
    """Reads a name that MLflow's registry takes."""
    plain = text.isprintable() and not any(sign in text for sign in "/:'\"")
    if text and (not plain or not text.strip(" .") or len(text) > 200):
        raise argparse.ArgumentTypeError(
            f"expected at most 200 characters without '/', ':' and quotes, found {text[:60]!r}"
        )
    return text


def truth(text: str) -> bool:
    """Reads true or false."""
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"expected true or false, found {text!r}")
    return text.lower() == "true"


def _complain(error: Exception) -> None:
    text = " ".join(str(error).split("\n")) if isinstance(error, BadInput) else first_line(error)
    print(f"error: {text}", file=sys.stderr)


def where_the_user_stands() -> Path:
    """The folder in which the command was given; paths are meant from there.

    `mlflow run` starts a step in the project's folder, which may be a clone in a temporary one,
    and hands no other on. So it is the folder of the process that started `mlflow run`'s run: the
    nearest ancestor that is not in this run itself.
    """
    here, run = Path.cwd(), os.environ.get("MLFLOW_RUN_ID")
    if not run or here != PROJECT:
        return here
    for process in psutil.Process().parents():
        try:
            environment = process.environ()
            if environment and environment.get("MLFLOW_RUN_ID") != run:
                return Path(process.cwd())
        except (psutil.Error, OSError):  # somebody else's
            continue
    return here


ORPHANED = signal.SIGUSR1  # this process sends it to itself
GRACE = 4  # seconds to close runs in


def _leaving() -> Callable[..., None]:
    """A signal handler that ends the step so that open runs are closed, and waits while they are.

    A further signal after that time ends it once more: an exception in the midst of Python's own
    callbacks is lost.
    """
    last = [-math.inf]

    def leave(*_: object) -> None:
        if time.monotonic() - last[0] > GRACE:
            last[0] = time.monotonic()
            sys.exit(143)

    return leave


def _end_orphan(run_id: str) -> None:
    """Ends this process as SIGTERM does; where no signal is heard, with its children, at once."""
    os.kill(os.getpid(), ORPHANED)
    time.sleep(GRACE)
    for child in psutil.Process().children(recursive=True):
        child.kill()
    fail_if_running(run_id)
    os._exit(143)


def _run(step: Callable[[], None]) -> int:
    """Runs a step's work; its exit code."""
    try:
        step()
    except BadInput as error:
        _complain(error)
        return 2
    except (MlflowException, RequestException, SQLAlchemyError, OSError) as error:
        _complain(error)  # the store or the disk, not the command
        return 1
    except MemoryError as error:
        print(f"error: there is too little memory: {first_line(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    return 0


def run_step(step: Callable[[], None]) -> NoReturn:
    """Runs a step's work and ends the process.

    What the user got wrong ends in one line and exit code 2; a store or a disk that fails, and too
    little memory, in one line and 1. After Ctrl-C, SIGTERM and the death of `mlflow run` no run is
    left open.
    """
    os.chdir(where_the_user_stands())
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_UV_AUTO_DETECT", "false")
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    streams, run_id = (sys.stdout, sys.stderr), os.environ.get("MLFLOW_RUN_ID")
    heard = [signal.SIGTERM, signal.SIGHUP, ORPHANED]
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # as nohup has it
        heard.remove(signal.SIGHUP)
    leave = _leaving()
    before = {number: signal.signal(number, leave) for number in heard}
    before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.stdout, sys.stderr = map(Output, streams)
    try:
        if run_id:  # of `mlflow run`, which hands no signal on
            when_orphaned(PARENT, lambda: _end_orphan(run_id))
        code = _run(step)
    finally:
        sys.stdout, sys.stderr = streams
        if run_id and os.getppid() != PARENT:
            fail_if_running(run_id)
        for number, handler in before.items():
            signal.signal(number, handler)
    sys.exit(code)
