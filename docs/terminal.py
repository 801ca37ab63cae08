"""A command in a pseudo-terminal, and its screen as a page of HTML."""

import fcntl
import os
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Sequence
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import Any

import pyte

COLUMNS, LINES = 112, 40


def run(
    command: Sequence[str], folder: Path, env: dict[str, str], moment: str = ""
) -> tuple[str, str]:
    """Runs a command in a pseudo-terminal.

    Args:
        command: to run.
        folder: where.
        env: its environment.
        moment: text on the screen at which the first of the pages is taken.

    Returns:
        The screen at that moment and at the end, as pages of HTML.
    """
    screen = pyte.Screen(COLUMNS, LINES)
    stream = pyte.ByteStream(screen)
    typed = " ".join(command)
    if len(typed) > COLUMNS - 4:  # as one would type it
        typed = typed.replace(" -P ", " \\\r\n    -P ", 1)
    stream.feed(f"\x1b[1m$ {typed}\x1b[0m\r\n".encode())
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    process = subprocess.Popen(
        command, cwd=folder, env=env, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    then = ""
    with suppress(OSError):  # how Linux says that the other side is closed
        while received := os.read(ours, 4096):
            for part in re.split(rb"(?<=\r)", received):  # a bar draws each state after a return
                stream.feed(part)
                if moment and not then and any(moment in line for line in screen.display):
                    then = _page(screen.buffer)
    os.close(ours)
    page = _page(screen.buffer)
    if process.wait() or (moment and not then):
        sys.exit(f"{' '.join(command)}\n" + "\n".join(screen.display))
    return then, page


def _page(buffer: Any) -> str:
    """What is on a terminal's screen, without the empty lines at its end."""
    rows = []
    for number in range(LINES):
        cells = [buffer[number][column] for column in range(COLUMNS)]
        rows.append(
            "".join(
                f"<b>{escape(cell.data)}</b>" if cell.bold else escape(cell.data) for cell in cells
            ).rstrip()
        )
    while not rows[-1]:
        rows.pop()
    text = "\n".join(rows).replace("</b><b>", "")
    return (
        "<!doctype html><meta charset=utf-8><style>body{margin:0;background:#1e1e1e;color:#ddd}"
        "pre{margin:0;padding:14px 18px;font:14px/1.25 'DejaVu Sans Mono',monospace}</style>"
        f"<pre>{text}</pre>"
    )
