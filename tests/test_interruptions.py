"""Moves of the registry that are killed, raced or lose their server, in real databases."""

import itertools
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import connection, get_context
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from tabular.errors import BadInput
from tabular.gate.prove import free_port
from tabular.store import production, registry
from tests.conftest import ROOT, Store, tracking_server

pytestmark = [pytest.mark.slow, pytest.mark.alone]

KILLS, ROUNDS, AT_ONCE = 30, 10, 8

PROCESSES = get_context("forkserver")
PROCESSES.set_forkserver_preload([__name__, "psycopg"])


@pytest.fixture(scope="module", autouse=True)
def findable() -> Iterator[None]:
    """The server of forks imports once, without pytest's path, what every process then has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        yield


@pytest.fixture(scope="module")
def postgres(postgres_server: str) -> str:
    """URI of a migrated database."""
    MlflowClient(postgres_server).search_experiments()
    return postgres_server


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, store: Store) -> str:
    uri = store.uri if request.param == "sqlite" else str(request.getfixturevalue("postgres"))
    mlflow.set_tracking_uri(uri)
    return uri


def make_versions(name: str, n: int) -> None:
    client = MlflowClient()
    client.create_registered_model(name)
    for _ in range(n):
        client.create_model_version(name, "somewhere/m")


def faults(name: str) -> list[str]:
    """What is not as it is when every move has ended."""
    aliases = {a: int(v) for a, v in MlflowClient().get_registered_model(name).aliases.items()}
    live = [c.number for c in registry.candidates(name) if c.stage == "Production"]
    moves = production.history(name)
    targets = [move.target for move in moves]
    compared = {
        "in production": (live, [aliases.get("champion")]),
        "last move to": (targets[-1:], [aliases.get("champion")]),
        "previous": (aliases.get("previous"), production.version_before(name)),
        "moves from": ([move.source for move in moves], [None, *targets[:-1]]),
        "moments": (len({move.at for move in moves}), len(moves)),
    }
    return [f"{what} {found}, not {due}" for what, (found, due) in compared.items() if found != due]


def act(name: str, version: int) -> None:
    """A promotion, or with version 0 a rollback."""
    if version:
        production.put_forward(name, version, reason=f"to {version}", by="tests")
    else:
        production.put_back(name, reason="back", by="tests")


def fork_moves(uri: str, name: str, pipe: connection.Connection) -> None:
    """Forks a process for each move asked for, and kills it after a delay if one is given."""
    os.environ["MLFLOW_SQLALCHEMYSTORE_POOLCLASS"] = "NullPool"  # no connection is inherited
    mlflow.set_tracking_uri(uri)
    production.champion(name)
    while True:
        version, delay = pipe.recv()
        started = time.monotonic()
        child = os.fork()
        if child == 0:
            act(name, version)
            os._exit(0)
        if delay is not None:
            time.sleep(delay)
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        pipe.send(time.monotonic() - started)


@contextmanager
def forking_moves(uri: str, name: str) -> Iterator[connection.Connection]:
    ours, theirs = PROCESSES.Pipe()
    process = PROCESSES.Process(target=fork_moves, args=(uri, name, theirs))
    process.start()
    with ours, theirs:
        yield ours
        process.kill()
        process.join()


def move(pipe: connection.Connection, version: int, delay: float | None = None) -> float:
    pipe.send((version, delay))
    return float(pipe.recv())


def wait_until_gone(uri: str) -> None:
    """PostgreSQL may still be ending what a killed process has asked for."""
    import psycopg

    query = "SELECT FROM pg_stat_activity WHERE application_name = 'mover'"
    query += " AND pid <> pg_backend_pid()"
    with psycopg.connect(uri.replace("+psycopg", ""), autocommit=True) as link:
        while link.execute(query).fetchall():
            time.sleep(0.005)


def test_a_move_that_is_killed_at_any_moment_is_mended_by_the_next_call(database: str) -> None:
    rng = random.Random(0)
    make_versions("killed", 6)
    uri = database + "?application_name=mover" * database.startswith("postgresql")
    halfway = moved = 0
    with forking_moves(uri, "killed") as pipe:
        spent = [(version > 0, move(pipe, version)) for version in [1, 2, 3, 4, 5, 6, 1, 0, 2, 0]]
        seconds = {kind: max(s for k, s in spent[4:] if k == kind) for kind in (True, False)}
        assert faults("killed") == []
        for kill in range(KILLS):
            champion, before = production.champion("killed"), production.history("killed")
            target = production.version_before("killed")
            other = rng.choice([v for v in range(1, 7) if v != champion])
            promotes = kill % 2 == 0 or target is None
            move(pipe, other if promotes else 0, rng.uniform(0, 1.2 * seconds[promotes]))
            if uri.startswith("postgresql"):
                wait_until_gone(uri)
            now = production.champion("killed") or 0
            moved += now != champion
            halfway += bool(faults("killed"))
            if kill % 4 < 2:
                production.repair("killed")
            else:
                production.put_forward("killed", now % 6 + 1, reason="the next one", by="tests")
            assert faults("killed") == [], kill
            moves = [(m.action, m.target) for m in production.history("killed")[len(before) :]]
            expected = [("promote", other) if promotes else ("rollback", target)]
            mended = [("promote", now % 6 + 1)] * (kill % 4 >= 2)
            assert moves == expected * (now != champion) + mended, kill
    print(f"\n{seconds[True]:.3f} s to promote, {seconds[False]:.3f} s to roll back")
    print(f"{KILLS} kills, {moved} after the alias moved, {halfway} halfway")
    assert halfway > 0


start: threading.Barrier  # of a process of the pool


def join_race(uri: str, barrier: threading.Barrier) -> None:
    global start
    start = barrier
    mlflow.set_tracking_uri(uri)
    MlflowClient().search_registered_models()


def race(name: str, version: int) -> str:
    start.wait(60)
    try:
        act(name, version)
    except BadInput as error:
        return str(error)
    return ""


def test_of_eight_moves_at_once_one_wins_everywhere(store: Store, postgres: str) -> None:
    mlflow.set_tracking_uri(postgres)
    port = free_port()
    joined = (f"http://127.0.0.1:{port}", PROCESSES.Barrier(AT_ONCE))
    every = {"same": [1] * AT_ONCE, "different": [*range(1, AT_ONCE + 1)], "back": [0] * AT_ONCE}
    with (
        tracking_server(postgres, store.folder, port),
        ProcessPoolExecutor(AT_ONCE, PROCESSES, join_race, joined) as pool,
    ):
        for number, kind in itertools.product(range(ROUNDS), every):
            name = f"race-{number}"
            if kind == "back" and number % 5:
                continue
            if kind == "same":
                make_versions(name, AT_ONCE)
            refused = {said for said in pool.map(race, [name] * AT_ONCE, every[kind]) if said}
            assert faults(name) == [], (number, kind)
            if kind == "same":
                assert [move.target for move in production.history(name)] == [1]
            assert all(kind == "back" and "no version to go back" in said for said in refused)


def promote_until_it_fails(uri: str, name: str) -> None:
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "1"
    mlflow.set_tracking_uri(uri)
    for version in itertools.cycle((1, 2, 3)):
        act(name, version)


def test_promotions_go_on_after_the_tracking_server_was_killed(store: Store, postgres: str) -> None:
    mlflow.set_tracking_uri(postgres)
    make_versions("stopped", 3)
    rng, port = random.Random(1), free_port()
    url = f"http://127.0.0.1:{port}"
    with ProcessPoolExecutor(1, PROCESSES) as pool:
        for _ in range(2):
            with tracking_server(postgres, store.folder, port) as server:
                mlflow.set_tracking_uri(url)
                act("stopped", 2 if production.champion("stopped") == 1 else 1)
                mlflow.set_tracking_uri(postgres)
                assert faults("stopped") == []
                ended = pool.submit(promote_until_it_fails, url, "stopped")
                time.sleep(rng.uniform(1, 2))
                os.killpg(server.pid, signal.SIGKILL)
                assert isinstance(ended.exception(120), MlflowException)
    production.repair("stopped")
    assert faults("stopped") == []


def test_a_step_without_its_tracking_server_says_so_in_one_line(tmp_path: Path) -> None:
    env = Store(f"http://127.0.0.1:{free_port()}", tmp_path).environment
    env |= {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "steps.promote", "--model_name", "any"]
    ended = subprocess.run(
        command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: ") and ended.stderr.count("\n") == 1, ended.stderr
