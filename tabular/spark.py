"""A Spark session as its user has configured it, and the code that its executors need."""

import os
import signal
import sys
import threading
import uuid
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tabular.errors import BadInput

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PACKAGES = ("custom_model", "tabular")
OURS = {
    "spark.executorEnv.OMP_NUM_THREADS": "1",  # Spark runs one Python per core
    "spark.ui.showConsoleProgress": "false",  # commands show their own
}


@contextmanager
def session(name: str) -> Iterator["SparkSession"]:
    """A session: the open one, or a new one as Spark itself is configured.

    The master and all else come from `spark-defaults.conf`, `PYSPARK_SUBMIT_ARGS` and Spark's other
    own settings; with nothing set it is `local[*]`, all cores of this machine. A session that was
    open before stays open.

    Raises:
        BadInput: Spark is not installed, or does not start.
    """
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        raise BadInput(
            "engine spark needs PySpark; install it with: pip install -r requirements-spark.txt"
        ) from None
    if os.environ.get("SPARK_REMOTE"):
        raise BadInput(
            f"SPARK_REMOTE is {os.environ['SPARK_REMOTE']!r}: engine spark runs its tasks itself, "
            "which Spark Connect cannot do; unset it and set spark.master"
        )
    opened = SparkSession.getActiveSession()
    if opened is not None:
        yield opened
        return
    builder = SparkSession.builder.appName(name)
    for option, value in OURS.items():
        builder = builder.config(option, value)
    interrupted = signal.getsignal(signal.SIGINT)
    try:
        spark = builder.getOrCreate()
    except Exception as error:  # py4j's, the JVM's and the operating system's
        raise BadInput(f"Spark does not start: {reason_of(error)}") from None
    try:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, interrupted)  # Spark's own handler outlives its session
        _use_this_python(spark)
        yield spark
    finally:
        spark.stop()


def _use_this_python(spark: "SparkSession") -> None:
    """On this machine alone the packages are those of this process, whatever `python3` is."""
    context = spark.sparkContext
    chosen = os.environ.get("PYSPARK_PYTHON") or context.getConf().get("spark.pyspark.python")
    if not chosen and str(context.master).startswith("local"):
        context.pythonExec = sys.executable


def reason_of(error: BaseException) -> str:
    """The line of Spark's many (PySpark's, py4j's, the JVM's) that says what went wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    own = [line for line in lines if not line.startswith(("at ", "File ", "Traceback", "Caused"))]
    python = [
        line for line in own if line.partition(":")[0].endswith("Error") and "py4j" not in line
    ]
    java = [line for line in own if "Exception: " in line]
    for found in (python, java[::-1], own):
        if found:
            return found[0][:500]
    return type(error).__name__


def pack_code(folder: Path) -> Path:
    """Packs the project's modules into a folder, for executors that have no checkout."""
    root = Path(__file__).resolve().parents[1]
    archive = folder / f"code-{uuid.uuid4().hex}.zip"
    with zipfile.ZipFile(archive, "w") as code:
        for package in PACKAGES:
            for file in (root / package).rglob("*.py"):
                code.write(file, str(file.relative_to(root)))
    return archive
