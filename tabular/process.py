"""The process of a command: what started it, its signals during the imports, who reads its output.

Imported before all else, as the imports take seconds.
"""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, TextIO

PARENT = os.getppid()
"""Process id of `mlflow run`, where that has started this process."""

BEGAN = time.monotonic() if sys.argv[0] == "-m" else None
"""When this process began to be a command, of `time.monotonic`; None where it is none."""

# OpenMP's threads wait for each other with their cores held: where other processes compute too, a
# small prediction of boosting was measured fifty times slower. Set before numpy is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _stopped(*_: object) -> None:
    os.write(2, b"stopped\n")
    os._exit(130)


if sys.argv[0] == "-m":  # so it is while `python -m steps.…` looks for its module; nothing is open
    signal.signal(signal.SIGINT, _stopped)


class Output:
    """A stream whose reader may leave (`| head -1`): what is printed after that goes nowhere."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Writes, and at the end of a line passes it on."""
        try:
            self._stream.write(text)  # stderr passes on every line at once
        except BrokenPipeError:
            self._drop()
        if "\n" in text:
            self.flush()
        return len(text)

    def flush(self) -> None:
        """Passes on what was written."""
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._drop()

    def _drop(self) -> None:
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
