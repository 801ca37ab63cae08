"""nginx and model servers as the stack starts them, without containers."""

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tabular.gate.prove import free_port
from tests.conftest import ROOT, Store
from tests.stack import example

TOKEN = "Letters.and+Digits/1234567890"
NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
CROWD = 1_100
REQUEST_LOG = ("request_log.conf", "request_log.js")
FLOWER = b'{"inputs": [[5.1, 3.5, 1.4, 0.2]]}'


@dataclass(frozen=True)
class Answer:
    """One answer as it came over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes


def request(
    start: str,
    body: bytes = b"",
    *,
    token: str = TOKEN,
    kind: str = "application/json",
    **headers: str,
) -> bytes:
    """A request as bytes; a header whose value is empty is left out."""
    sent = {
        "Host": "localhost",
        "Authorization": f"Bearer {token}" if token else "",
        "Content-Type": kind if body else "",
        "Content-Length": str(len(body)) if body else "",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    lines = [f"{start} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items() if value)]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


SCORE = request("POST /invocations", FLOWER)


@dataclass(frozen=True)
class Front:
    """A running nginx and the sockets of its model servers."""

    folder: Path
    port: int
    status_port: int
    process: subprocess.Popen[bytes]

    def connect(self, source: str = "127.0.0.1", *, port: int = 0) -> socket.socket:
        target = ("127.0.0.1", port or self.port)
        return socket.create_connection(target, timeout=70, source_address=(source, 0))

    def ask(self, raw: bytes, source: str = "127.0.0.1", *, port: int = 0) -> Answer:
        """Sends the bytes, and reads the answer while the connection stays open."""
        with self.connect(source, port=port) as connection:
            with suppress(BrokenPipeError, ConnectionResetError):  # refused before all was sent
                connection.sendall(raw)
            return read_answer(connection)


def read_answer(connection: socket.socket) -> Answer:
    got = bytearray()
    while b"\r\n\r\n" not in got and (piece := connection.recv(65536)):
        got += piece
    start = got.index(b"\r\n\r\n")
    first, *lines = got[:start].decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    body = got[start + 4 :]
    while len(body) < int(headers["content-length"]) and (piece := connection.recv(65536)):
        body += piece
    return Answer(int(first.split()[1]), headers, bytes(body))


@contextmanager
def nginx(folder: Path, **environment: str) -> Iterator[Front]:
    """The files of the stack, with this folder in the place of a container's, on free ports."""
    port, status_port = free_port(), free_port()
    places = {"/tmp/": f"{folder}/", "/run/serving/": f"{folder}/", "/etc/nginx/": f"{folder}/"}
    places["/var/log"] = str(folder)
    ports = {"listen 8080": f"listen 127.0.0.1:{port}", "listen 8081": f"listen {status_port}"}
    # As root it would take another user for its worker; in the container it is not root.
    user = {"worker_processes": "user root; worker_processes"} if os.getuid() == 0 else {}
    files = {"nginx.conf": "serving.conf", "nginx.sh": "serving.sh"}
    for source, target in (files | {name: name for name in REQUEST_LOG}).items():
        text = (ROOT / "docker" / source).read_text()
        for old, new in (places | ports | user).items():
            text = text.replace(old, new)
        (folder / target).write_text(text)
    settings = example() | {"SERVING_TOKEN": TOKEN, "RATE_LIMIT": "100000r/s"} | environment
    path = f"{Path(str(NGINX)).parent}{os.pathsep}{os.environ['PATH']}"
    with (folder / "nginx.log").open("wb") as log:
        process = subprocess.Popen(
            ["sh", "serving.sh"],
            cwd=folder,
            env=os.environ | settings | {"PATH": path},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    front = Front(folder, port, status_port, process)
    try:
        for _ in range(100):
            with suppress(ConnectionRefusedError), front.connect():
                break
            assert process.poll() is None, (folder / "nginx.log").read_text()
            time.sleep(0.1)
        yield front
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def model_server(
    store: Store, folder: Path, number: int, name: str = "iris", **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    """docker/serve.py with a socket in the folder."""
    settings = store.environment | {
        "MODEL_NAME": name,
        "PYTHONPATH": str(ROOT),  # in the image, `custom_model` lies beside serve.py
        "UVICORN_UDS": str(folder / f"model-{number}.sock"),
        "UVICORN_ACCESS_LOG": "false",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        **environment,
    }
    with (folder / f"model-{number}.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "docker" / "serve.py")],
            cwd=folder,
            env=settings,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(70)


def loaded(folder: Path, number: int) -> str:
    """What docker/ping.py, the health check of a model server, prints; empty where it fails."""
    environment = os.environ | {"UVICORN_UDS": str(folder / f"model-{number}.sock")}
    command = [sys.executable, str(ROOT / "docker" / "ping.py")]
    return subprocess.run(command, env=environment, capture_output=True, text=True).stdout.strip()


def is_up(folder: Path, number: int) -> bool:
    """Whether the health check of a model server is satisfied."""
    return bool(loaded(folder, number))


def wait_until(holds: Callable[[], object], seconds: float = 120) -> None:
    """Fails the test when it does not in this time."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.2)


@contextmanager
def crowd(front: Front, raw: bytes, source: str) -> Iterator[None]:
    """So many connections that send this and then nothing; one that is closed is opened anew."""
    stop = threading.Event()

    def opened() -> socket.socket:
        connection = front.connect(source)
        connection.sendall(raw)
        connection.setblocking(False)
        return connection

    def closed(connection: socket.socket) -> bool:
        try:
            while connection.recv(65536):
                pass
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True
        return True

    def keep() -> None:
        while not stop.wait(0.05):
            for i, connection in enumerate(connections):
                if closed(connection):
                    connection.close()
                    connections[i] = opened()

    connections = [opened() for _ in range(CROWD)]
    keeper = threading.Thread(target=keep)
    keeper.start()
    try:
        yield
    finally:
        stop.set()
        keeper.join()
        for connection in connections:
            connection.close()
