"""Where configurations are evaluated on this machine: in this process, or in processes of its own.

An engine takes tasks and gives back trials, in any order. `SparkEngine` in
`tabular/search/spark.py` is one more.
"""

import contextlib
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import deque
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

from tabular.search.cross_validation import FoldFiles, Task, Trial, evaluate_configuration
from tabular.search.stopping import when_orphaned

if TYPE_CHECKING:  # a worker process needs neither the preprocessing nor MLflow
    from tabular.search.folds import Folds


PREFIX = "folds-"  # of a search's folder of matrices, before its process id


class Engine(Protocol):
    """What the search needs of the place where configurations are evaluated."""

    slots: int
    """How many are evaluated side by side."""

    def submit(self, task: Task, limit: float) -> None:
        """Takes a task; one that takes longer than `limit` seconds is ended and has failed."""

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
    """A worker process and what it does."""

    def __init__(self) -> None:
        self.pipe, there = Pipe()
        root = str(Path(__file__).resolve().parents[2])
        paths = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tabular.search.workers", str(there.fileno())],
            env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
            pass_fds=[there.fileno()],
            start_new_session=True,  # Ctrl-C reaches the search alone, which decides what it means
        )
        there.close()
        self.task: Task | None = None
        self.since, self.limit = math.inf, math.inf  # its imports do not count

    def begin(self, task: Task, files: FoldFiles, limit: float) -> None:
        """Sends a task."""
        if self.since < math.inf:
            self.since = time.monotonic()
        self.task, self.limit = task, limit
        with contextlib.suppress(OSError):  # it has died; seen when its result is awaited
            self.pipe.send((task, files))

    def received(self) -> list[Trial]:
        """The trial that it has sent; none if that is only that it has started."""
        try:
            trial = self.pipe.recv()
        except (EOFError, OSError):
            return [self.kill("its process was killed, perhaps for want of memory")]
        if trial is None:
            self.since = time.monotonic()
            return []
        self.task = None
        return [trial]

    def kill(self, reason: str) -> Trial:
        """Ends the process, whatever it does; its task has failed."""
        self.process.kill()
        self.process.wait()
        self.pipe.close()
        task, self.task = self.task, None
        assert task is not None
        seconds = max(0.0, time.monotonic() - self.since)
        return task.failed(f"{reason} ({seconds:.1f} s)", seconds)


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
        self._workers: list[_Worker] = []

    def submit(self, task: Task, limit: float) -> None:
        """See `Engine`."""
        self._waiting.append((task, limit))
        self._hand_out()

    def finished(self, timeout: float) -> list[Trial]:
        """See `Engine`."""
        until = time.monotonic() + timeout
        trials: list[Trial] = []
        while not trials:
            busy = {worker.pipe: worker for worker in self._workers if worker.task}
            nearest = min([until, *(worker.since + worker.limit for worker in busy.values())])
            ready = wait(list(busy), max(0.0, nearest - time.monotonic()))
            for pipe, worker in busy.items():
                if pipe in ready:
                    trials += worker.received()
                elif time.monotonic() >= worker.since + worker.limit:
                    trials.append(worker.kill("took too long"))
            self._hand_out()
            if time.monotonic() >= until:
                break
        return trials

    def end(self, reason: str) -> list[Trial]:
        """See `Engine`."""
        self._waiting.clear()
        return [worker.kill(reason) for worker in self._workers if worker.task]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.process.kill()
            worker.process.wait()
        self._folder.cleanup()

    def _hand_out(self) -> None:
        self._workers = [worker for worker in self._workers if not worker.pipe.closed]
        for _ in range(len(self._waiting)):
            idle = next((worker for worker in self._workers if not worker.task), None)
            if not idle:
                if len(self._workers) == self.slots:
                    return
                self._workers.append(idle := _Worker())
            task, limit = self._waiting.popleft()
            idle.begin(task, self.folds.write(self._folder.name, task.form), limit)


def _remove_orphans() -> None:
    """Removes the folders of searches that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*-*"):
        try:
            os.kill(int(folder.name.split("-")[1]), 0)
        except ProcessLookupError:
            shutil.rmtree(folder, ignore_errors=True)
        except (ValueError, OSError):  # not ours
            continue


def _serve(file_descriptor: int) -> None:
    """A worker's life: evaluates what it is sent, until its pipe closes or the search has died."""
    when_orphaned(os.getppid(), lambda: os._exit(1))
    with contextlib.suppress(EOFError, OSError):
        pipe: Connection[Trial | None, tuple[Task, FoldFiles]] = Connection(file_descriptor)
        pipe.send(None)
        while True:
            task, files = pipe.recv()
            pipe.send(evaluate_configuration(task, files))


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
