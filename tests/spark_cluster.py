"""A real Spark cluster on this machine: a standalone master and workers, as processes."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tabular.gate.prove import free_port

START = 240.0  # seconds, of a busy machine


@dataclass
class Cluster:
    """A running cluster, whose executors have no checkout of the project."""

    url: str
    folder: Path
    workers: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """What a user of this cluster has in the environment."""
        return _environment(self.folder)

    @property
    def settings(self) -> dict[str, str]:
        """Of these, the variables that Spark reads."""
        return _settings(self.folder)

    def executors(self) -> list[int]:
        """Process ids of the executors."""
        return [pid for worker in self.workers for pid in children(worker.pid)]


@contextmanager
def standalone_cluster(folder: Path, *, n_workers: int) -> Iterator[Cluster]:
    """Starts a master and workers of one core each, and stops them.

    Args:
        folder: for configuration, logs and the workers' own folders.
        n_workers: how many.
    """
    port = free_port()
    cluster = Cluster(f"spark://127.0.0.1:{port}", folder)
    (folder / "spark-defaults.conf").write_text(
        f"spark.master {cluster.url}\nspark.executor.memory 512m\nspark.ui.enabled false\n"
    )
    master = _start(folder, "master.Master", "--port", str(port), "--webui-port", "0")
    processes = [master]
    try:
        _wait_for(folder / "master.Master.log", "I have been elected leader", 1)
        for number in range(n_workers):
            own = folder / f"worker-{number}"
            cluster.workers.append(
                _start(
                    folder, "worker.Worker", "--cores", "1", "--memory", "1g",
                    "--webui-port", "0", "--work-dir", str(own), cluster.url,
                )
            )  # fmt: skip
        processes += cluster.workers
        _wait_for(folder / "master.Master.log", "Registering worker", n_workers)
        yield cluster
    finally:
        for process in processes[::-1]:
            for pid in [*children(process.pid), process.pid]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait()


def forget_the_jvm() -> None:
    """Ends this process's JVM, which has read its configuration when it started."""
    from pyspark import SparkContext

    if SparkContext._gateway is not None:
        SparkContext._gateway.shutdown()
        SparkContext._gateway.proc.stdin.close()
        SparkContext._gateway.proc.wait(60)
        SparkContext._gateway = SparkContext._jvm = None


def children(pid: int) -> list[int]:
    """Process ids of a process's children that are alive.

    Spark's launcher is a shell that becomes the JVM: what the shell has started stays a zombie.
    """
    found: list[int] = []
    for thread in Path(f"/proc/{pid}/task").glob("*"):
        with suppress(OSError):
            found += map(int, (thread / "children").read_text().split())
    return [child for child in found if _alive(child)]


def _alive(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def _environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return kept | _settings(folder)


def _settings(folder: Path) -> dict[str, str]:
    return {
        "SPARK_CONF_DIR": str(folder),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_PYTHON": sys.executable,
    }


def _start(folder: Path, name: str, *arguments: str) -> "subprocess.Popen[bytes]":
    import pyspark

    command = Path(pyspark.__file__).parent / "bin" / "spark-class"
    with (folder / f"{name}.log").open("ab") as log:
        return subprocess.Popen(
            [command, f"org.apache.spark.deploy.{name}", "--host", "127.0.0.1", *arguments],
            cwd=folder,
            env=_environment(folder),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _wait_for(log: Path, text: str, times: int) -> None:
    deadline = time.monotonic() + START
    while len(re.findall(text, log.read_text())) < times:
        if time.monotonic() > deadline:
            raise RuntimeError(f"the cluster did not start:\n{log.read_text()[-3000:]}")
        time.sleep(0.2)
