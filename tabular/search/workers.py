"""Where configurations are evaluated on this machine: in this process, or in processes of its own.

An engine takes tasks and gives back trials, in any order. `SparkEngine` in
`tabular/search/spark.py` is one more.
"""

import contextlib
import ctypes
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

from tabular.search.cross_validation import FoldFiles, Task, Trial, evaluate_configuration

if TYPE_CHECKING:  # a worker process needs neither the preprocessing nor MLflow
    from tabular.search.folds import Folds


PREFIX = "folds-"  # of a search's folder of matrices, before its process id
PR_SET_PDEATHSIG = 1  # of <linux/prctl.h>


class Engine(Protocol):
    """What the search needs of the place where configurations are evaluated."""

    slots: int
    """How many are evaluated side by side."""

    def submit(self, task: Task, limit: float) -> None:
        """Takes a task; one that takes longer than `limit` seconds is ended and has failed.

        Args:
            task: the configuration.
            limit: seconds.
        """

    def finished(self, timeout: float) -> list[Trial]:
        """Trials that have ended since the last call; waits at most `timeout` seconds for one."""

    def end(self, reason: str) -> list[Trial]:
        """Ends what is being evaluated, and gives it back as failed for this reason."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class InProcess:
    """Evaluates in this process, one after the other: right where a fit takes milliseconds."""

    slots = 1

    def __init__(self, folds: "Folds") -> None:
        self.folds = folds
        self._waiting: deque[tuple[Task, float]] = deque()

    def submit(self, task: Task, limit: float) -> None:
        """See `Engine`; it is ended between two folds, as a fit of a small table is short."""
        self._waiting.append((task, limit))

    def finished(self, timeout: float) -> list[Trial]:
        """See `Engine`."""
        if not self._waiting or timeout <= 0:
            return []
        task, limit = self._waiting.popleft()
        return [evaluate_configuration(task, self.folds, limit)]

    def end(self, reason: str) -> list[Trial]:
        """See `Engine`; nothing has begun."""
        self._waiting.clear()
        return []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class _Worker:
    """One worker process, begun when it is first needed, and what it does."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.pipe: Connection[tuple[Task, FoldFiles], Trial | None] | None = None
        self.task: Task | None = None
        self.since, self.limit = 0.0, math.inf

    def begin(self, task: Task, files: FoldFiles, limit: float) -> None:
        """Sends a task."""
        self.since = time.monotonic()
        if self.pipe is None:
            self._start()
            self.since = math.inf  # its imports do not count
        self.task, self.limit = task, limit
        with contextlib.suppress(OSError):  # it has died; seen when its answer is awaited
            self.pipe.send((task, files))  # type: ignore[union-attr]

    def result(self) -> Trial | None:
        """What it has sent; None if that is only that it has begun."""
        try:
            trial = self.pipe.recv()  # type: ignore[union-attr]
        except (EOFError, OSError):
            return self.give_up("its process was killed, perhaps for want of memory")
        if trial is None:
            self.since = time.monotonic()
        else:
            self.task = None
        return trial

    def give_up(self, reason: str) -> Trial:
        """Kills the process; the task has failed."""
        task, seconds = self.task, max(0.0, time.monotonic() - self.since)
        assert task is not None
        self.kill()
        return task.failed(f"{reason} ({seconds:.1f} s)", seconds)

    def kill(self) -> None:
        """Ends the process, whatever it does."""
        if self.process and self.pipe:
            self.process.kill()
            self.process.wait()
            self.pipe.close()
        self.process = self.pipe = self.task = None

    def _start(self) -> None:
        here, there = Pipe()
        root = str(Path(__file__).resolve().parents[2])
        paths = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tabular.search.workers", str(there.fileno())],
            env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
            pass_fds=[there.fileno()],
            start_new_session=True,  # Ctrl-C reaches the search alone, which decides what it means
        )
        there.close()
        self.pipe = here


class Processes:
    """Evaluates in worker processes, each of which can be ended on its own.

    Processes, because threads would share Python's lock in half of the families; fresh ones that
    run this file, because OpenMP does not survive a fork and a spawned child of `multiprocessing`
    would import the command, and so MLflow, again. Each runs its fits on one thread: boosting on
    two threads was measured nine times slower than on one.

    Args:
        folds: the training side; workers map its files.
        n_workers: how many.
    """

    def __init__(self, folds: "Folds", n_workers: int) -> None:
        self.folds, self.slots = folds, n_workers
        _remove_orphans()
        self._folder = tempfile.TemporaryDirectory(prefix=f"{PREFIX}{os.getpid()}-")
        self._waiting: deque[tuple[Task, float]] = deque()
        self._workers = [_Worker() for _ in range(n_workers)]

    def submit(self, task: Task, limit: float) -> None:
        """See `Engine`."""
        self._waiting.append((task, limit))
        self._hand_out()

    def finished(self, timeout: float) -> list[Trial]:
        """See `Engine`."""
        until = time.monotonic() + timeout
        trials: list[Trial] = []
        while not trials:
            busy = {worker.pipe: worker for worker in self._workers if worker.task and worker.pipe}
            nearest = min([until, *(worker.since + worker.limit for worker in busy.values())])
            ready = wait(list(busy), max(0.0, nearest - time.monotonic()))
            for pipe, worker in busy.items():
                if pipe in ready:
                    trials += filter(None, [worker.result()])
                elif time.monotonic() >= worker.since + worker.limit:
                    trials.append(worker.give_up("took too long"))
            self._hand_out()
            if time.monotonic() >= until:
                break
        return trials

    def end(self, reason: str) -> list[Trial]:
        """See `Engine`."""
        self._waiting.clear()
        return [worker.give_up(reason) for worker in self._workers if worker.task]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.kill()
        self._folder.cleanup()

    def _hand_out(self) -> None:
        for worker in self._workers:
            if self._waiting and not worker.task:
                task, limit = self._waiting.popleft()
                files = self.folds.write(self._folder.name, task.for_trees)
                worker.begin(task, files, limit)


def _remove_orphans() -> None:
    """Removes the folders of searches that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*-*"):
        try:
            os.kill(int(folder.name.split("-")[1]), 0)
        except ProcessLookupError:
            shutil.rmtree(folder, ignore_errors=True)
        except (ValueError, OSError):  # not ours
            continue


def _die_with_the_search() -> None:
    """Has Linux end this process when the search is killed; elsewhere its fit ends first."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _serve(file_descriptor: int) -> None:
    """A worker's life: evaluates what it is sent, until its pipe closes."""
    _die_with_the_search()
    with contextlib.suppress(EOFError, OSError):
        pipe: Connection[Trial | None, tuple[Task, FoldFiles]] = Connection(file_descriptor)
        pipe.send(None)
        while True:
            task, files = pipe.recv()
            pipe.send(evaluate_configuration(task, files))


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
