"""Follows the registry: serves each version that goes into production, one after the other.

MLflow's server of a version is a process of its own. The next one starts beside it, on a socket
that nobody knows. When it has answered the rows that its artifact carries, its socket gets the name
of the old one, which ends when it has answered what it was asked. Whatever goes wrong before, the
old one goes on.
"""

import fcntl
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mlflow.entities.model_registry import ModelVersion
from ping import Connection
from registry import SECONDS_BETWEEN_LOOKS, fetch, server_of, version_in_production

from custom_model.artifact import Changed

SECONDS_TO_START = 120
SECONDS_TO_FINISH = 65  # MLflow gives a request at most 60
TOLERANCE = 1e-9  # as between a version's registration and its promotion

running: list[subprocess.Popen[bytes]] = []
"""Servers that are to be stopped when this process is."""


class Unfit(Exception):
    """A version that does not serve as it should; the message says which and why."""


@dataclass(frozen=True)
class Server:
    """A version that is served.

    Args:
        version: of the registry.
        path: of its files.
        process: of uvicorn.
    """

    version: ModelVersion
    path: Path
    process: subprocess.Popen[bytes]


def follow(version: ModelVersion, path: Path, socket: str) -> None:
    """Serves a version and its successors until this process is told to stop.

    Args:
        version: to begin with.
        path: of its files.
        socket: path of the Unix socket to listen on.
    """
    try:
        server = start(version, path, socket)
        print(f"serving {version.name} version {version.version}", flush=True)
        _keep(server, socket)
    except Unfit as error:
        sys.exit(f"{version.name} {error}")
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for process in running:
            process.terminate()
        for process in list(running):
            _end(process)


def _keep(server: Server, socket: str) -> None:
    """Looks after the server and into the registry by turns."""
    name, unfit, logged = server.version.name, "", ""
    while True:
        with suppress(subprocess.TimeoutExpired):
            server.process.wait(SECONDS_BETWEEN_LOOKS)
        with suppress(ChildProcessError):  # process 1 gets the children of those that end first
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        served = server.version.version
        if server.process.poll() is not None:
            print(f"the server of {name} version {served} ended and is started again", flush=True)
            _end(server.process)
            server = start(server.version, server.path, socket)
        try:
            version = version_in_production(name)
            if version.version == served:
                unfit = logged = ""
            if version.version in (served, unfit):
                continue
            # the kernel takes the lock from whoever ends
            with Path(socket).with_name("change.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                before, server = server, _change_to(version, socket)
        except BlockingIOError:  # the other server changes over; this one is next
            continue
        except Unfit as error:
            unfit, why = version.version, str(error)
        except Exception as error:  # of the registry and the store, which raise many kinds
            why = str(error).splitlines()[0]
        else:
            print(f"serving {name} version {version.version}, no longer {served}", flush=True)
            _end(before.process)
            shutil.rmtree(before.path)
            continue
        if why != logged:
            print(f"{name} version {served} goes on: {why}", flush=True)
            logged = why


def _change_to(version: ModelVersion, socket: str) -> Server:
    """Starts a version where its files are what was registered.

    Raises:
        Unfit: they are not, or the version does not serve.
        Exception: of the registry or the store; another time it may work.
    """
    try:
        path = fetch(version)
    except Changed as error:
        version_in_production(version.name)  # raises while the registry, and a signature, are away
        raise Unfit(f"version {version.version} {error}") from None
    return start(version, path, socket)


def start(version: ModelVersion, path: Path, socket: str) -> Server:
    """Starts MLflow's server of a version, and lets it take the socket when it has proved itself.

    Args:
        version: of the registry.
        path: of its files; removed where it does not.
        socket: path of the Unix socket, which another server may listen on until then.

    Raises:
        Unfit: it does not start, or does not answer its example rows as it should.
    """
    unknown = f"{socket}.{version.version}"
    arguments, environment = server_of(version, path, unknown)
    command = [sys.executable, "-m", "uvicorn", *arguments]
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    running.append(process)
    try:
        _wait_until_up(process, unknown)
        _ask_example(path, unknown)
    except Exception as error:
        _end(process, seconds=0)
        Path(unknown).unlink(missing_ok=True)
        shutil.rmtree(path)
        broken_off = f"does not answer its example rows: {error!r}"
        why = error if isinstance(error, Unfit) else broken_off
        raise Unfit(f"version {version.version} {why}") from None
    Path(unknown).rename(socket)
    return Server(version, path, process)


def _wait_until_up(process: subprocess.Popen[bytes], socket: str) -> None:
    end = time.monotonic() + SECONDS_TO_START
    several = os.environ.get("MLFLOW_MODELS_WORKERS", "1") != "1"
    children, workers = Path(f"/proc/{process.pid}/task/{process.pid}/children"), set[str]()
    while process.poll() is None and time.monotonic() < end:
        with suppress(OSError, http.client.HTTPException):
            if _ask(socket, "/ping", timeout=5)[0] == 200:
                return
        with suppress(OSError):
            alive = set(children.read_text().split()) if several else set()
            if workers - alive:  # one that ended; uvicorn would start another one for ever
                break
            workers |= alive
        time.sleep(0.1)
    raise Unfit("does not load; the lines above say why")


def _ask_example(path: Path, socket: str) -> None:
    """Asks the rows in the artifact; compares with the probabilities in it, if there are any."""
    example, bundle = path / "serving_input_example.json", path / "artifacts" / "bundle.json"
    if not example.exists():
        return
    status, text = _ask(socket, "/invocations", example.read_bytes(), timeout=SECONDS_TO_FINISH)
    if status != 200:
        raise Unfit(f"refuses its example rows: {text.decode(errors='replace')[:200]}")
    expected = bundle.exists() and json.loads(bundle.read_text("utf-8")).get("example_proba")
    if expected:
        rows = json.loads(text)["predictions"]
        proba = [[row[name] for name in row if name.startswith("probability_")] for row in rows]
        if not np.allclose(proba, expected, rtol=0, atol=TOLERANCE):
            raise Unfit("answers its example rows otherwise than when it was registered")


def _ask(
    socket: str, target: str, body: bytes | None = None, *, timeout: float
) -> tuple[int, bytes]:
    """GET, or POST when there is a body."""
    with closing(Connection(socket, timeout)) as connection:
        method = "POST" if body else "GET"
        connection.request(method, target, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()


def _end(process: subprocess.Popen[bytes], seconds: float = SECONDS_TO_FINISH) -> None:
    """Lets a server finish what it was asked, but not for longer than this."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    with suppress(ProcessLookupError):  # and workers that a killed one has left behind
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    running.remove(process)
