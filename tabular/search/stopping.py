"""How a long command ends early: at a signal, when its time is up, and with its parent."""

import math
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

AGAIN = 0.2  # seconds until what has swallowed the end of its time is told once more
# Python calls these whenever it frees an object, and passes over what they raise.
CALLBACKS = ("sqlalchemy", "weakref", "_weakrefset", "importlib")
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


class TimeUp(Exception):
    """A piece of work was ended because its time was up."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Ends what is inside after so many seconds, between two steps of Python.

    Only the main thread can be ended in this way; in another one nothing is. What is inside should
    only compute: an exception in the midst of a write leaves half of it.

    Raises:
        TimeUp: the time was up.
    """
    if math.isinf(seconds) or threading.current_thread() is not threading.main_thread():
        yield
        return
    over = False
    outer = {frame for frame, _ in traceback.walk_stack(None)}

    def end(_: int, frame: FrameType | None) -> None:
        if not over and not _in_callback(frame, outer):
            raise TimeUp

    before = signal.signal(signal.SIGALRM, end)
    try:
        signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-3), AGAIN)
        yield
    finally:
        over = True
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _in_callback(frame: FrameType | None, outer: set[FrameType]) -> bool:
    """Whether Python is freeing an object in a call from `outer`: an exception would be lost."""
    while frame and frame not in outer:
        module = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if module in CALLBACKS or frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


class Deadline:
    """When a command has to be over, and what it leaves out for that.

    Args:
        at: of `time.monotonic`; infinite for never.

    Attributes:
        left_out: what was not done, in words.
    """

    def __init__(self, at: float = math.inf) -> None:
        self.at = at
        self.left_out: list[str] = []

    def left(self) -> float:
        """Seconds until then; below 0 when it is past."""
        return self.at - time.monotonic()

    @property
    def notes(self) -> list[str]:
        """What was left out, in a sentence; none where nothing was."""
        if not self.left_out:
            return []
        return [f"Left out, as the time was up: {', '.join(dict.fromkeys(self.left_out))}."]

    def within[T, U](self, what: str, seconds: float, work: Callable[[], T], otherwise: U) -> T | U:
        """Does a piece of work, if that takes no more than so many seconds.

        Args:
            what: the work, in words.
            seconds: that it may take, from now.
            work: only computes.
            otherwise: the result where it was left out.
        """
        try:
            if seconds <= 0:
                raise TimeUp
            with time_limit(seconds):
                return work()
        except TimeUp:
            self.left_out.append(what)
            return otherwise


def when_orphaned(parent: int, act: Callable[[], None]) -> None:
    """Calls `act`, in a thread, within a second after the process `parent` has ended."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        act()

    threading.Thread(target=watch, daemon=True).start()
