"""How a long command ends early: at a signal without losing what it has, and with its parent."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

TOGETHER = 2.0  # seconds; `mlflow run` sends SIGTERM right after the terminal's own SIGINT


@contextmanager
def stop_on_signal(notify: Callable[[], None]) -> Iterator[Callable[[], bool]]:
    """Turns the first Ctrl-C (or SIGTERM) into a wish; a later one ends the command.

    Yields:
        Whether there was a signal; `notify` was called at the first.

    Raises:
        KeyboardInterrupt: at a further signal.
    """
    first: list[float] = []

    def wish(_: int, __: FrameType | None) -> None:
        if first and time.monotonic() - first[0] > TOGETHER:
            raise KeyboardInterrupt
        if not first:
            first.append(time.monotonic())
            notify()

    if threading.current_thread() is not threading.main_thread():  # where signals cannot be heard
        yield lambda: False
        return
    before = {number: signal.signal(number, wish) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(first)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def when_orphaned(parent: int, act: Callable[[], None]) -> None:
    """Calls `act`, in a thread, within a second after the process `parent` has ended."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        act()

    threading.Thread(target=watch, daemon=True).start()
