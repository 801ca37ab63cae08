"""Where configurations are evaluated on this machine: in this process, or in processes of its own.

An engine takes tasks and gives back trials, in any order. `SparkEngine` in
`tabular/search/spark.py` is one more.
"""

import contextlib
import functools
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from tabular.families.classifiers import Form, installed
from tabular.search.cross_validation import Task, Trial, evaluate_configuration
from tabular.search.stopping import TimeUp, time_limit, when_orphaned

if TYPE_CHECKING:  # a worker process needs neither the preprocessing nor MLflow
    from tabular.search.folds import Folds


PREPARATION_LIMITS = 2.0  # times the limit of one configuration, for the columns of all of a kind
PREFIX = "folds-"  # of a search's folder of matrices, before its process id


class Engine(Protocol):
    """What the search needs of the place where configurations are evaluated."""

    slots: int
    """How many are evaluated side by side."""

    classifiers: list[str]
    """That can be fitted there."""

    def submit(self, task: Task, limit: float) -> None:
        """Takes a task; one that takes longer than `limit` seconds is ended and has failed."""

    def use(self, folds: "Folds") -> None:
        """Evaluates on other folds from now on; nothing may be under way."""

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
        self.folds, self.classifiers = folds, installed()
        self._waiting: deque[tuple[Task, float]] = deque()

    def use(self, folds: "Folds") -> None:
        """See `Engine`."""
        self.folds = folds

    def submit(self, task: Task, limit: float) -> None:
        """See `Engine`; a fit is ended between two of its steps in Python, or after it."""
        self._waiting.append((task, limit))

    def finished(self, timeout: float) -> list[Trial]:
        """See `Engine`."""
        if not self._waiting or timeout <= 0:
            return []
        task, limit = self._waiting.popleft()
        with contextlib.suppress(TimeUp), time_limit(limit):
            return [evaluate_configuration(task, self.folds, limit)]
        return [task.failed("took too long", limit)]

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
        self.task: Task | int | None = None  # what its result is of
        self.since, self.limit = math.inf, math.inf  # its imports do not count

    def begin(self, task: Task | int, work: Callable[[], Any], limit: float) -> None:
        """Sends work: a function of a module with its arguments."""
        if self.since < math.inf:
            self.since = time.monotonic()
        self.task, self.limit = task, limit
        with contextlib.suppress(OSError):  # it has died; seen when its result is awaited
            self.pipe.send(work)

    def received(self) -> list[Any]:
        """The result that it has sent; none if that is only that it has started."""
        try:
            result = self.pipe.recv()
        except (EOFError, OSError):
            return [self.kill("its process was killed, perhaps for want of memory")]
        if self.since == math.inf:
            self.since = time.monotonic()
            return []
        self.task = None
        return [result]

    def kill(self, reason: str) -> Trial | None:
        """Ends the process, whatever it does; its task has failed."""
        self.process.kill()
        self.process.wait()
        self.pipe.close()
        task, self.task = self.task, None
        seconds = max(0.0, time.monotonic() - self.since)
        failed = f"{reason} ({seconds:.1f} s)", seconds
        return task.failed(*failed) if isinstance(task, Task) else None


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
        self.slots, self.classifiers = n_workers, installed()
        _remove_orphans()
        self._folder = tempfile.TemporaryDirectory(prefix=f"{PREFIX}{os.getpid()}-")
        self.folder = Path(self._folder.name)
        self.use(folds)
        self._waiting: deque[tuple[Task, float]] = deque()
        self._workers: list[_Worker] = []
        self._failed: list[Trial] = []

    def use(self, folds: "Folds") -> None:
        """See `Engine`; the files of the folds before are removed."""
        self.folds, self._unprepared = folds, dict[Form, str]()
        self._files = self.folder / "folds"
        shutil.rmtree(self._files, ignore_errors=True)
        self._files.mkdir()

    def submit(self, task: Task, limit: float) -> None:
        """See `Engine`."""
        self._waiting.append((task, limit))
        self._hand_out()

    def finished(self, timeout: float) -> list[Trial]:
        """See `Engine`."""
        until = time.monotonic() + timeout
        trials, self._failed = self._failed, []
        while not trials:
            busy = {worker.pipe: worker for worker in self._workers if worker.task is not None}
            nearest = min([until, *(worker.since + worker.limit for worker in busy.values())])
            ready = wait(list(busy), max(0.0, nearest - time.monotonic()))
            for pipe, worker in busy.items():
                if pipe in ready:
                    trials += worker.received()
                elif time.monotonic() >= worker.since + worker.limit:
                    trials += filter(None, [worker.kill("took too long")])
            self._hand_out()
            if time.monotonic() >= until:
                break
        return trials

    def end(self, reason: str) -> list[Trial]:
        """See `Engine`; other processes start in the place of those that are ended."""
        self._waiting.clear()
        busy = [worker for worker in self._workers if worker.task is not None]
        ended = [trial for worker in busy if (trial := worker.kill(reason))]
        self._workers = [worker for worker in self._workers if not worker.pipe.closed]
        self._workers += [_Worker() for _ in busy]
        return ended

    def run[T](self, works: Sequence[Callable[[], T]], until: float) -> list[T | None]:
        """Has work done side by side; what is not done by `until` is ended.

        Args:
            works: functions of modules with their arguments, the most urgent first.
            until: of `time.monotonic`.

        Returns:
            Their results, in the same order; None of one that was ended or has failed.
        """
        results: list[T | None] = [None] * len(works)
        waiting = deque(range(len(works)))
        while True:
            while waiting and (worker := self._idle()):
                number = waiting.popleft()
                worker.begin(number, works[number], math.inf)
            busy = {w.pipe: w for w in self._workers if w.task is not None}
            left = until - time.monotonic()
            if not busy or left <= 0:
                break
            for pipe in wait(list(busy), None if math.isinf(left) else left):
                worker = busy[pipe]  # type: ignore[index]
                number = worker.task  # type: ignore[assignment]
                for result in worker.received():
                    results[number] = result
        self.end("its time was up")
        return results

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.process.kill()
            worker.process.wait()
        self._folder.cleanup()

    def _hand_out(self) -> None:
        for _ in range(len(self._waiting)):
            idle = self._idle()
            if not idle:
                return
            task, limit = self._waiting.popleft()
            if reason := self._unprepared.get(task.form):
                self._failed.append(task.failed(reason, 0.0))
                continue
            try:
                with time_limit(PREPARATION_LIMITS * limit):
                    files = self.folds.write(str(self._files), task.form)
            except TimeUp:
                self._unprepared[task.form] = "its columns took too long to prepare"
                self._failed.append(task.failed(self._unprepared[task.form], 0.0))
                continue
            idle.begin(task, functools.partial(evaluate_configuration, task, files), limit)

    def _idle(self) -> _Worker | None:
        """A worker that has nothing to do, started where there is a place for one."""
        self._workers = [worker for worker in self._workers if not worker.pipe.closed]
        idle = next((worker for worker in self._workers if worker.task is None), None)
        if not idle and len(self._workers) < self.slots:
            self._workers.append(idle := _Worker())
        return idle


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
    """A worker's life: does what it is sent, until its pipe closes or the search has died."""
    when_orphaned(os.getppid(), lambda: os._exit(1))
    with contextlib.suppress(EOFError, OSError):
        pipe: Connection[Any, Callable[[], Any]] = Connection(file_descriptor)
        pipe.send(None)
        while True:
            work, result = pipe.recv(), None
            with contextlib.suppress(Exception):  # what fails has no result
                result = work()
            pipe.send(result)


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
