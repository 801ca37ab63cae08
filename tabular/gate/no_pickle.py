"""Forbids unpickling in the process that imports this file, and writes down what was tried.

The proof of serving copies it as `sitecustomize.py` to a folder that only its server's Python looks
into. A pickle that could run code names a function or class, and Python announces each such name.
"""

import sys
from pathlib import Path
from typing import Any

TRIED = Path(__file__).with_name("unpickled.txt")


def forbid(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook."""
    if event == "pickle.find_class":
        with TRIED.open("a", encoding="utf-8") as file:
            file.write(".".join(map(str, arguments)) + "\n")
        raise RuntimeError("unpickling is forbidden here")


if __name__ == "sitecustomize":
    sys.addaudithook(forbid)
