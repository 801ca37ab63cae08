"""Model servers under load: started, asked by wrk or ab, their processor time and memory read."""

import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import requests

from tabular.gate.prove import free_port

ROOT = Path(__file__).resolve().parents[1]


class Server(NamedTuple):
    """A running server: where to post to, and its process."""

    url: str
    pid: int


class Target(NamedTuple):
    """A server and the body of a request to it."""

    server: Server
    body: Any


@contextmanager
def server(command: list[str], folder: Path, path: str) -> Iterator[Server]:
    """Runs a server on a free port."""
    port = free_port()
    env = {**os.environ, "HAND_WRITTEN": str(folder), "PYTHONPATH": str(ROOT)}
    env |= {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    with (folder / f"{port}.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--port", str(port)],
            cwd=folder, env=env, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(1200):
            with suppress(requests.ConnectionError):
                requests.get(f"{url}/ping", timeout=5)
                break
            time.sleep(0.1)
        yield Server(f"{url}{path}", process.pid)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def serve(name: str, folder: Path) -> Any:
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", f"models:/{name}/1"]
    return server([*command, "--env-manager", "local", "-w", "1"], folder, "/invocations")


def processes(pid: int) -> Iterator[Path]:
    """A process and all below it, in /proc."""
    below = [pid]
    while below:
        process = Path("/proc", str(below.pop()))
        with suppress(OSError):
            below += map(int, (process / "task" / process.name / "children").read_text().split())
            yield process


def worker_memory(pid: int, field: str) -> float:
    """MB of `VmRSS` or `VmHWM` (the peak) of the largest process below."""
    sizes = [
        re.search(rf"{field}:\s+(\d+) kB", (process / "status").read_text())
        for process in processes(pid)
    ]
    return max(int(found[1]) / 1024 if found else 0.0 for found in sizes)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and all below it."""
    ticks = 0
    for process in processes(pid):
        fields = (process / "stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


class Load(NamedTuple):
    """What one run of wrk found.

    Args:
        rate: requests per second.
        cpu: milliseconds of the server's CPU for each.
    """

    rate: float
    cpu: float


def load(target: Target, folder: Path, *, clients: int, seconds: float = 2) -> Load:
    script = folder / "post.lua"
    script.write_text(
        'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\n'
        f"wrk.body = [==[{json.dumps(target.body)}]==]\n"
    )
    command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "-s", str(script), target.server.url]
    before = cpu_seconds(target.server.pid)
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    spent = cpu_seconds(target.server.pid) - before
    if "Non-2xx" in said or "Socket errors" in said:
        raise RuntimeError(said)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    count = re.search(r"(\d+) requests in", said)
    assert rate and count, said
    return Load(float(rate[1]), 1000 * spent / int(count[1]))


def median(loads: list[Load]) -> Load:
    rates, cpus = zip(*loads, strict=True)
    return Load(statistics.median(rates), statistics.median(cpus))


def median_time(call: Callable[[], Any], repeats: int = 300) -> float:
    """CPU milliseconds of a call in this process, median."""
    call()
    seconds = []
    for _ in range(repeats):
        started = time.thread_time()
        call()
        seconds.append(time.thread_time() - started)
    return statistics.median(seconds) * 1000
