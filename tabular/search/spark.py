"""Where configurations are evaluated on a Spark cluster: a Spark job of one task for each.

The search asks and tells in this process, as it does for worker processes. What an executor runs
depends on nothing but the task and the folds, so that a task which Spark runs again, because an
executor was lost, has the same result. Executors import this file, so it does without MLflow.
"""

import atexit
import functools
import math
import queue
import shutil
import tempfile
import time
import uuid
import zipfile
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import sklearn

from tabular.errors import BadInput
from tabular.families.classifiers import Form, installed
from tabular.search.cross_validation import FoldFiles, Task, Trial, evaluate_configuration
from tabular.spark import pack_code, reason_of, session

if TYPE_CHECKING:
    from pyspark import SparkContext

    from tabular.search.folds import Folds

START_SECONDS = 300.0  # until a cluster has to have run a first task
SETTLE_SECONDS = 3.0  # without a further core, then the cluster counts as complete
LONGEST_WAIT = 3600.0  # a queue does not take infinity


@dataclass(eq=False)
class _Job:
    task: Task
    limit: float
    group: str
    since: float = math.inf


class SparkEngine:
    """Evaluates on the executors of a Spark cluster; an `Engine`.

    The code and the folds are sent once to each executor, whose Python processes map the folds'
    files and so share one copy. A task whose executor is lost is run again, up to
    `spark.task.maxFailures` times. A job that is ended is over at once for the search; its Python
    process is killed by Spark, whatever it does, within `spark.python.task.killTimeout` (2 s) of
    Spark's next look (every 2 s), and by then its core is free.

    Args:
        folds: the training side.
        jobs: how many jobs side by side; -1 for the cluster's default parallelism.

    Raises:
        BadInput: Spark is not installed or does not start, or its executors cannot evaluate.
    """

    def __init__(self, folds: "Folds", jobs: int) -> None:
        self.use(folds)
        self._waiting: deque[_Job] = deque()
        self._running: dict[str, _Job] = {}
        self._outcomes: queue.SimpleQueue[tuple[_Job, Trial | Exception]] = queue.SimpleQueue()
        with ExitStack() as stack:
            spark = stack.enter_context(session("sweep"))
            self._context: SparkContext = spark.sparkContext
            self._folder = Path(tempfile.mkdtemp(prefix="sweep-"))
            # a session that was open before goes on to ask for what it was given
            atexit.register(shutil.rmtree, self._folder, ignore_errors=True)
            self._context.addPyFile(str(pack_code(self._folder)))
            self.classifiers = _try_executors(self._context)
            self.slots = _cores(self._context) if jobs == -1 else jobs
            self._threads = ThreadPoolExecutor(self.slots, "spark-job")
            stack.callback(self._threads.shutdown, cancel_futures=True)
            stack.callback(self.end, "the sweep has ended")
            self._stack = stack.pop_all()

    def use(self, folds: "Folds") -> None:
        """See `Engine`."""
        self.folds, self._sent = folds, dict[Form, tuple[str, FoldFiles]]()

    def submit(self, task: Task, limit: float) -> None:
        """See `Engine`; the limit counts from when the job is handed to Spark."""
        self._waiting.append(_Job(task, limit, f"sweep-{uuid.uuid4().hex}"))
        self._hand_out()

    def finished(self, timeout: float) -> list[Trial]:
        """See `Engine`.

        Raises:
            ConnectionError: the cluster is gone.
        """
        until = time.monotonic() + timeout
        trials: list[Trial] = []
        while not trials:
            nearest = min([until, *(job.since + job.limit for job in self._running.values())])
            trials += self._received(max(0.0, nearest - time.monotonic()))
            now = time.monotonic()
            late = [job for job in self._running.values() if now >= job.since + job.limit]
            trials += [self._cancel(job, "took too long") for job in late]
            self._hand_out()
            if now >= until:
                break
        return trials

    def end(self, reason: str) -> list[Trial]:
        """See `Engine`."""
        self._waiting.clear()
        return [self._cancel(job, reason) for job in list(self._running.values())]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _hand_out(self) -> None:
        while self._waiting and len(self._running) < self.slots:
            job = self._waiting.popleft()
            archive, files = self._send(job.task.form)
            run = functools.partial(_evaluate, archive=archive, files=files)
            self._running[job.group] = job
            job.since = time.monotonic()
            self._threads.submit(self._run, job, run)

    def _run(self, job: _Job, evaluate: Any) -> None:
        """One job, in a thread of its own; its result goes to `_outcomes`."""
        about = f"t{job.task.number:03d} {job.task.classifier}"
        try:
            self._context.setJobGroup(job.group, about, interruptOnCancel=True)
            (trial,) = self._context.parallelize([job.task], 1).map(evaluate).collect()
            self._outcomes.put((job, trial))
        except Exception as error:  # whatever Spark says, the search has to hear of it
            self._outcomes.put((job, error))

    def _received(self, timeout: float) -> list[Trial]:
        try:
            job, outcome = self._outcomes.get(timeout=min(timeout, LONGEST_WAIT))
        except queue.Empty:
            return []
        if self._running.pop(job.group, None) is None:
            return []  # it was ended, and has been told of
        if isinstance(outcome, Trial):
            return [outcome]
        if not _alive(self._context):
            raise ConnectionError(f"the Spark application has ended: {reason_of(outcome)}")
        seconds = time.monotonic() - job.since
        return [job.task.failed(f"Spark: {reason_of(outcome)}", seconds)]

    def _cancel(self, job: _Job, reason: str) -> Trial:
        """Ends a job; its task has failed."""
        del self._running[job.group]
        _cancel_group(self._context, job.group)
        seconds = time.monotonic() - job.since
        return job.task.failed(f"{reason} ({seconds:.1f} s)", seconds)

    def _send(self, form: Form) -> tuple[str, FoldFiles]:
        """Sends the folds to the executors, once for each kind of classifier."""
        if form not in self._sent:
            name = f"folds-{uuid.uuid4().hex}"
            files = self.folds.write(tempfile.mkdtemp(dir=self._folder), form)
            archive = _zip(self._folder / f"{name}.zip", Path(files.folder))
            self._context.addArchive(f"{archive}#{name}")
            shutil.rmtree(files.folder)
            self._sent[form] = (name, files)
        return self._sent[form]


def _evaluate(task: Task, archive: str, files: FoldFiles) -> Trial:
    """What an executor runs."""
    from pyspark import SparkFiles

    return evaluate_configuration(task, replace(files, folder=SparkFiles.get(archive)))


def _cancel_group(context: "SparkContext", group: str) -> None:
    """Ends a job, also one that its thread has not come to starting.

    The latter only Spark's own method can do, which PySpark does not have.
    """
    if _alive(context):
        context._jsc.sc().cancelJobGroupAndFutureJobs(group)


def _alive(context: "SparkContext") -> bool:
    try:
        return context._jsc is not None and not context._jsc.sc().isStopped()
    except Exception:  # the JVM is gone
        return False


def _installed_there(_: int) -> tuple[str, list[str]]:
    return str(sklearn.__version__), installed()


def _try_executors(context: "SparkContext") -> list[str]:
    """Has a first task run, so that what is wrong with the cluster is said before a run is opened.

    Returns:
        The classifiers that can be fitted where it ran.

    Raises:
        BadInput: no executor came, or it lacks the packages.
    """
    group = f"sweep-{uuid.uuid4().hex}"

    def first() -> tuple[str, list[str]]:
        context.setJobGroup(group, "first task", interruptOnCancel=True)
        (there,) = context.parallelize([0], 1).map(_installed_there).collect()
        return there

    with ThreadPoolExecutor(1) as thread:
        try:
            version, classifiers = thread.submit(first).result(START_SECONDS)
        except FutureTimeout:
            raise BadInput(
                f"the Spark cluster {context.master} ran no task within {START_SECONDS:.0f} s; "
                "see on its page whether it has executors and free cores"
            ) from None
        except Exception as error:
            raise BadInput(
                f"the Spark executors cannot evaluate: {reason_of(error)}; their Python "
                "(PYSPARK_PYTHON) needs scikit-learn, numpy and threadpoolctl of requirements.txt"
            ) from None
        finally:
            _cancel_group(context, group)  # after Ctrl-C, too, or its thread would be waited for
    if version != sklearn.__version__:
        raise BadInput(
            f"the Spark executors have scikit-learn {version}, and this machine has "
            f"{sklearn.__version__}; install the same on both"
        )
    return classifiers


def _cores(context: "SparkContext") -> int:
    """The default parallelism, once all executors have come."""
    seen, since = context.defaultParallelism, time.monotonic()
    settle = 0.0 if str(context.master).startswith("local") else SETTLE_SECONDS
    while time.monotonic() - since < settle:
        time.sleep(0.1)
        if (now := context.defaultParallelism) != seen:
            seen, since = now, time.monotonic()
    return int(seen)


def _zip(archive: Path, folder: Path) -> Path:
    """Files as they are: packing them tightly would take longer than sending them."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as packed:
        for file in folder.iterdir():
            packed.write(file, file.name)
    return archive
