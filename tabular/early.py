"""What a command has to do before its imports, which take seconds."""

import os
import signal
import sys

PARENT = os.getppid()
"""Process id of `mlflow run`, where that has started this process."""


def _stopped(*_: object) -> None:
    os.write(2, b"stopped\n")
    os._exit(130)


if sys.argv[0] == "-m":  # so it is while `python -m steps.…` looks for its module; nothing is open
    signal.signal(signal.SIGINT, _stopped)
