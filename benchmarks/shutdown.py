"""What SIGTERM and SIGKILL cost `mlflow models serve` itself, without containers or nginx.

    python -m benchmarks.shutdown models:/iris/Production

Eight clients ask without a pause; besides, one large request is under way when the signal comes.
Lost is a request that was taken and got no whole answer; a refused connection comes after the end.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import requests

from benchmarks.load import FLOWER, Tally, ask_until, summary
from tabular.gate.prove import free_port

ROWS_OF_LARGE_REQUEST = 200_000


def children(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def tree(pid: int) -> list[int]:
    """All processes below one."""
    return [found for child in children(pid) for found in (child, *tree(child))]


def is_up(url: str) -> bool:
    try:
        return requests.get(f"{url}/ping", timeout=5).status_code == 200
    except requests.RequestException:
        return False


def measure(model: str, act: Callable[[int], None]) -> dict[str, object]:
    """Serves a model with two workers, acts upon the command's process under load, and counts."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", model]
    command += ["--env-manager", "local", "-p", str(port), "-w", "2"]
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "UVICORN_ACCESS_LOG": "false",
    }
    server = subprocess.Popen(
        command, env=environment, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        while not is_up(url):
            time.sleep(0.2)
        time.sleep(5)  # the second worker
        stop, tallies = threading.Event(), [Tally() for _ in range(8)]
        large, once = Tally(), threading.Event()
        body = json.dumps({"inputs": [[5.1, 3.5, 1.4, 0.2]] * ROWS_OF_LARGE_REQUEST})
        clients = [
            threading.Thread(target=ask_until, args=(stop, f"{url}/invocations", "", FLOWER, t))
            for t in tallies
        ]
        large_client = threading.Thread(
            target=ask_until, args=(once, f"{url}/invocations", "", body, large)
        )
        for client in (*clients, large_client):
            client.start()
        once.set()  # after its first request
        time.sleep(1)
        begun = time.perf_counter()
        act(server.pid)
        time.sleep(8)
        alive = is_up(url)
        stop.set()
        for client in (*clients, large_client):
            client.join()
        found = summary(tallies, time.perf_counter() - begun)
        return {
            "answers": found["answers"],
            "errors": found["errors"],
            "large request": dict(large.answers + large.errors),
            "serves afterwards": alive,
        }
    finally:
        for pid in (*tree(server.pid), server.pid) if server.poll() is None else ():
            os.kill(pid, signal.SIGKILL)
        server.wait()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model", nargs="?", default="models:/iris/Production")
    model = parser.parse_args().model
    acts: dict[str, Callable[[int], None]] = {
        "SIGTERM to the command": lambda pid: os.kill(pid, signal.SIGTERM),
        "SIGTERM to its uvicorn": lambda pid: os.kill(children(pid)[0], signal.SIGTERM),
        "SIGKILL to a worker": lambda pid: os.kill(children(children(pid)[0])[-1], signal.SIGKILL),
    }
    for name, act in acts.items():
        print(name, json.dumps(measure(model, act)))


if __name__ == "__main__":
    main()
