"""A real MLflow store for each test, and model servers that live for the whole session."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import pytest
import requests
from hypothesis import settings
from requests.adapters import HTTPAdapter
from urllib3 import Retry

from steps import train
from tabular.gate.prove import free_port
from tabular.jobs import promote as promotion
from tabular.store import production
from tests.catalog import use_catalog
from tests.tables import mixed_table

ROOT = Path(__file__).resolve().parents[1]

# As for most users, whatever the environment says: Python writes bytecode, in every process.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A test gives the same result twice; `pytest --hypothesis-profile=random` looks for new examples.
settings.register_profile("repeatable", derandomize=True, database=None)
settings.register_profile("random", derandomize=False)
settings.load_profile("repeatable")


@dataclass(frozen=True)
class Store:
    """A migrated SQLite store of one test."""

    uri: str
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """For a process that shall use this store and these packages."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return {
            **os.environ,
            "PATH": path,
            "MLFLOW_TRACKING_URI": self.uri,
            "MLFLOW_EXPERIMENT_NAME": "tests",
        }


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store; migrating takes seconds, copying does not."""
    file = tmp_path_factory.mktemp("migrated") / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{file}").search_experiments()
    return file


def use_store(folder: Path, migrated: Path) -> Store:
    shutil.copy(migrated, folder / "mlflow.db")
    store = Store(f"sqlite:///{folder}/mlflow.db", folder)
    mlflow.set_tracking_uri(store.uri)
    client = mlflow.MlflowClient()
    experiment = client.create_experiment("tests", artifact_location=str(folder / "artifacts"))
    mlflow.set_experiment(experiment_id=experiment)
    return store


@pytest.fixture
def store(tmp_path: Path, migrated: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.chdir(tmp_path)
    before = mlflow.get_tracking_uri()
    yield use_store(tmp_path, migrated)
    while mlflow.active_run():
        mlflow.end_run()
    mlflow.set_tracking_uri(before)


@contextmanager
def tracking_server(backend: str, folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """`mlflow server` on this port until the block ends."""
    env = Store("", folder).environment | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", backend]
    command += ["--artifacts-destination", str(folder), "--port", str(port), "--workers", "2"]
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=env, stdout=log, stderr=log, start_new_session=True
        )
    session = requests.Session()
    session.mount("http://", HTTPAdapter(max_retries=Retry(100, backoff_factor=1, backoff_max=1)))
    try:
        session.get(f"http://127.0.0.1:{port}/health", timeout=60).raise_for_status()
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture(scope="session")
def served_store(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Iterator[str]:
    """URI of an `mlflow server` that lives as long as the session."""
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(migrated, folder / "mlflow.db")
    port = free_port()
    with tracking_server(f"sqlite:///{folder}/mlflow.db", folder, port):
        yield f"http://127.0.0.1:{port}"


def use_registry(kind: str, store: Store, patch: pytest.MonkeyPatch) -> None:
    """The store's own registry (`stages`), or one without stages (`aliases only`).

    `patch` is the test's own: of two, the one that is undone last would leave what the other set.
    """
    if kind == "aliases only":
        use_catalog()
        patch.setenv("MLFLOW_REGISTRY_URI", store.uri.replace("sqlite:", "catalog:", 1))


@pytest.fixture
def unproven(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out the model server, whose proof has tests of its own."""
    monkeypatch.setattr(promotion, "prove", lambda *_: None)


SLOW = [pytest.param(kind, marks=pytest.mark.slow) for kind in ("aliases only", "server")]


@pytest.fixture(params=["stages", SLOW[0]])
def with_or_without_stages(
    request: pytest.FixtureRequest, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_registry(request.param, store, monkeypatch)


@pytest.fixture(params=["stages", *SLOW])
def each_registry(
    request: pytest.FixtureRequest, store: Store, monkeypatch: pytest.MonkeyPatch
) -> str:
    """SQLite, a registry without stages, and a server; gives a name that no model has yet."""
    if request.param == "server":
        mlflow.set_tracking_uri(request.getfixturevalue("served_store"))
        mlflow.set_experiment(store.folder.name)
    use_registry(request.param, store, monkeypatch)
    return f"m{time.monotonic_ns()}"


@dataclass(frozen=True)
class Server:
    """A running `mlflow models serve`."""

    url: str
    log: Path
    process: subprocess.Popen[bytes]

    def post(self, body: Any = None, **options: Any) -> requests.Response:
        """POST /invocations: a JSON body, or `data` and `headers`."""
        if body is not None:
            options["json"] = body
        return requests.post(f"{self.url}/invocations", timeout=60, **options)

    def healthy(self) -> bool:
        return requests.get(f"{self.url}/ping", timeout=10).status_code == 200


@contextmanager
def serving(command: str, folder: Path, env: dict[str, str]) -> Iterator[Server]:
    """Runs a command that serves a model (or `mlflow ui`), on a free port, until the block ends.

    Args:
        command: a line of shell, `mlflow models serve ...`.
        folder: where to run it.
        env: its environment.
    """
    port = free_port()
    log = folder / f"server-{port}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["bash", "-c", f"exec {command}"],
            cwd=folder,
            env=env | {"MLFLOW_PORT": str(port)},
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = Server(f"http://127.0.0.1:{port}", log, process)
    try:
        wait_until_healthy(server)
        yield server
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def wait_until_healthy(server: Server) -> None:
    deadline = time.monotonic() + 600  # an environment may have to be built first
    while time.monotonic() < deadline and server.process.poll() is None:
        try:
            if requests.get(f"{server.url}/health", timeout=10).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.2)
    raise RuntimeError(f"the server did not start:\n{server.log.read_text()[-3000:]}")


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Iterator[Store]:
    """A store with `iris` and `mixed` in production."""
    folder = tmp_path_factory.mktemp("served")
    before = mlflow.get_tracking_uri()
    store = use_store(folder, migrated)
    mixed_table().to_csv(folder / "mixed.csv", index=False)
    train.main([])
    train.main(["--data", str(folder / "mixed.csv"), "--target", "label"])
    for name in ("iris", "mixed"):
        production.put_forward(name, 1, reason="the only one", by="tests")
    yield store
    mlflow.set_tracking_uri(before)


@pytest.fixture
def folder(served: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, with the store of `served`."""
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(served.uri)
    mlflow.set_experiment("tests")
    return tmp_path


@pytest.fixture(scope="session")
def iris_server(served: Store) -> Iterator[Server]:
    command = "mlflow models serve -m models:/iris/Production --env-manager local"
    with serving(command, served.folder, served.environment) as server:
        yield server


@pytest.fixture(scope="session")
def mixed_server(served: Store) -> Iterator[Server]:
    command = "mlflow models serve -m models:/mixed/Production --env-manager local"
    with serving(command, served.folder, served.environment) as server:
        yield server


def tool(name: str) -> str:
    """A program of PostgreSQL; Debian keeps them out of PATH."""
    found = [*sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}")), shutil.which(name)]
    if found == [None]:
        pytest.skip(f"PostgreSQL's {name} is neither in PATH nor in /usr/lib/postgresql/*/bin")
    return str(found[-1] or found[-2])


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URI of an empty database of PostgreSQL."""
    pytest.importorskip("psycopg", reason="the driver psycopg is not installed")
    initdb, pg_ctl = tool("initdb"), tool("pg_ctl")
    port = free_port()
    who: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        if os.geteuid() == 0:  # which PostgreSQL refuses
            owner = pwd.getpwnam("postgres")
            os.chown(folder, owner.pw_uid, owner.pw_gid)
            who = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
        data, log = f"{folder}/data", f"{folder}/log"
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"

        def run(*command: str) -> None:
            subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, **who)

        run(initdb, "-D", data, "-A", "trust", "-U", "mlflow", "--no-sync")
        run(pg_ctl, "-D", data, "-w", "-l", log, "-o", options, "start")
        try:
            yield f"postgresql+psycopg://mlflow@127.0.0.1:{port}/postgres"
        finally:
            run(pg_ctl, "-D", data, "-m", "immediate", "stop")


@pytest.fixture
def still_healthy(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each test the servers that it used are healthy, and no answer was a 5xx."""
    yield
    for name in ("iris_server", "mixed_server"):
        if name in request.fixturenames:
            assert request.getfixturevalue(name).healthy()
