"""Ending a long command early without losing what it has found."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

TOGETHER = 2.0  # seconds; `mlflow run` sends SIGTERM right after the terminal's own SIGINT


@contextmanager
def stop_on_signal(said: Callable[[], None]) -> Iterator[Callable[[], bool]]:
    """Turns the first Ctrl-C (or SIGTERM) into a wish; a later one ends the command.

    Args:
        said: is called at the first signal.

    Yields:
        Whether the wish was uttered.

    Raises:
        KeyboardInterrupt: at a further signal.
    """
    first: list[float] = []

    def wish(_: int, __: FrameType | None) -> None:
        if first and time.monotonic() - first[0] > TOGETHER:
            raise KeyboardInterrupt
        if not first:
            first.append(time.monotonic())
            said()

    if threading.current_thread() is not threading.main_thread():  # where signals cannot be heard
        yield lambda: False
        return
    before = {number: signal.signal(number, wish) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(first)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
