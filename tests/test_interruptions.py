"""Moves of the registry that are killed, raced, or lose their server: real processes and databases."""

import json
import os
import pwd
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import connection, get_context
from pathlib import Path
from typing import Any

import mlflow
import pytest
import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from tabular import registry
from tabular.errors import BadInput
from tests.conftest import ROOT, Store, free_port

pytestmark = pytest.mark.slow

KILLS = 50
ROUNDS = 20
AT_ONCE = 8

PROCESSES = get_context("forkserver")
PROCESSES.set_forkserver_preload(["mlflow", "tabular.registry"])


def tool(name: str) -> str:
    """A program of PostgreSQL; Debian keeps them out of PATH."""
    newest = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))[-1:]
    found = shutil.which(name) or "".join(map(str, newest))
    if not found:
        pytest.skip(f"PostgreSQL's {name} is neither in PATH nor in /usr/lib/postgresql/*/bin")
    return found


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """URI of a migrated database on a server that lives as long as this module's tests."""
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
            with open(os.devnull, "w") as nowhere:
                subprocess.run(command, cwd=folder, check=True, stdout=nowhere, **who)

        run(initdb, "-D", data, "-A", "trust", "-U", "mlflow", "--no-sync")
        run(pg_ctl, "-D", data, "-w", "-l", log, "-o", options, "start")
        try:
            uri = f"postgresql+psycopg://mlflow@127.0.0.1:{port}/postgres"
            MlflowClient(uri).search_experiments()
            yield uri
        finally:
            run(pg_ctl, "-D", data, "-m", "immediate", "stop")


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, store: Store) -> str:
    if request.param == "sqlite":
        return store.uri
    uri = str(request.getfixturevalue("postgres"))
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
    live = [c.version for c in registry.candidates(name) if c.stage == "Production"]
    moves = registry.history(name)
    targets = [move.target for move in moves]
    champion = aliases.get("champion")
    told = {
        f"champion {champion}, in production {live}": live == [champion],
        f"champion {champion}, moves to {targets}": targets[-1:] == [champion],
        f"previous {aliases.get('previous')}, moves to {targets}": (
            aliases.get("previous") == registry.version_before(name)
        ),
        f"moves from {[move.source for move in moves]} to {targets}": (
            [move.source for move in moves] == [None, *targets[:-1]]
        ),
        f"times {[move.at for move in moves]}": len({move.at for move in moves}) == len(moves),
    }
    return [fault for fault, right in told.items() if not right]


def act(name: str, version: int) -> None:
    """A promotion, or with version 0 a rollback."""
    if version:
        registry.promote(name, version, reason=f"to {version}", by="tests")
    else:
        registry.rollback(name, reason="back", by="tests")


def mover(uri: str, name: str, versions: list[int], pipe: connection.Connection) -> None:
    mlflow.set_tracking_uri(uri)
    registry.champion(name)
    for version in versions:
        pipe.send(0.0)
        started = time.monotonic()
        act(name, version)
        pipe.send(time.monotonic() - started)


@contextmanager
def moving(uri: str, name: str, versions: list[int]) -> Iterator[tuple[Any, connection.Connection]]:
    ours, theirs = PROCESSES.Pipe()
    process = PROCESSES.Process(target=mover, args=(uri, name, versions, theirs))
    process.start()
    theirs.close()
    ours.recv()
    yield process, ours
    process.join()
    ours.close()


def seconds_of_moves(uri: str, name: str, versions: list[int]) -> dict[bool, float]:
    """How long the last promotion and the last rollback take, by whether it is a promotion."""
    seconds = {}
    with moving(uri, name, versions) as (_, pipe):
        for i, version in enumerate(versions):
            if i:
                pipe.recv()
            seconds[version > 0] = pipe.recv()
    return seconds


def wait_until_gone(uri: str) -> None:
    """PostgreSQL may still be ending what a killed process has asked for."""
    if not uri.startswith("postgresql"):
        return
    import psycopg

    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'mover'"
    with psycopg.connect(uri.replace("+psycopg", "")) as link:
        while link.execute(query).fetchone() != (0,):
            time.sleep(0.005)


def test_a_move_that_is_killed_at_any_moment_is_mended_by_the_next_call(database: str) -> None:
    rng = random.Random(0)
    make_versions("killed", 6)
    uri = database + "?application_name=mover" * database.startswith("postgresql")
    seconds = seconds_of_moves(uri, "killed", [1, 2, 3, 4, 5, 6, 1, 2, 0, 3, 0])
    assert faults("killed") == []
    halfway = moved = 0
    for kill in range(KILLS):
        champion, before = registry.champion("killed"), registry.history("killed")
        target = registry.version_before("killed")
        other = rng.choice([v for v in range(1, 7) if v != champion])
        promotes = kill % 2 == 0 or target is None
        with moving(uri, "killed", [other if promotes else 0]) as (process, _):
            time.sleep(rng.uniform(0, 1.2 * seconds[promotes]))
            process.kill()
        wait_until_gone(uri)
        halfway += bool(faults("killed"))
        now = registry.champion("killed")
        moved += now != champion
        if kill % 4 < 2:
            registry.repair("killed")
        else:
            registry.promote("killed", now % 6 + 1, reason="the next one", by="tests")
        assert faults("killed") == [], kill
        moves = [(move.action, move.target) for move in registry.history("killed")]
        added = [("promote", other) if promotes else ("rollback", target)] * (now != champion)
        added += [("promote", now % 6 + 1)] * (kill % 4 >= 2)
        assert moves == [(move.action, move.target) for move in before] + added, kill
    print(f"\n{database.split(':')[0]}: {seconds[True]:.3f} s to promote, {seconds[False]:.3f} s to"
          f" roll back; {KILLS} kills, {moved} after the alias moved, {halfway} halfway")  # fmt: skip
    assert halfway > 0


@contextmanager
def tracking_server(backend: str, folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    env = Store("", folder).environment | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", backend]
    command += ["--artifacts-destination", str(folder), "--port", str(port), "--workers", "2"]
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=env, stdout=log, stderr=log, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            with suppress(requests.ConnectionError):
                if requests.get(f"http://127.0.0.1:{port}/health", timeout=10).ok:
                    break
            time.sleep(0.1)
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def join_race(uri: str, barrier: threading.Barrier) -> None:
    global start  # of a process of the pool
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


start: threading.Barrier


def test_of_eight_moves_at_once_one_wins_everywhere(
    store: Store, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow.set_tracking_uri(postgres)
    port = free_port()
    refused = []
    seconds: dict[str, float] = {"same": 0.0, "different": 0.0, "rollbacks": 0.0}
    started_with = (f"http://127.0.0.1:{port}", PROCESSES.Barrier(AT_ONCE))
    with (
        tracking_server(postgres, store.folder, port),
        ProcessPoolExecutor(AT_ONCE, PROCESSES, join_race, started_with) as pool,
    ):
        for number in range(ROUNDS):
            name = f"race-{number}"
            make_versions(name, AT_ONCE)
            for kind, versions in {
                "same": [1] * AT_ONCE,
                "different": list(range(1, AT_ONCE + 1)),
                "rollbacks": [0] * AT_ONCE,
            }.items():
                began = time.monotonic()
                said = list(pool.map(race, [name] * AT_ONCE, versions))
                seconds[kind] += time.monotonic() - began
                assert faults(name) == [], (number, kind)
                if kind == "same":
                    assert [move.target for move in registry.history(name)] == [1]
                    assert "previous" not in MlflowClient().get_registered_model(name).aliases
                if kind != "rollbacks":
                    assert not any(said), said
                assert all(len(text.splitlines()) < 2 for text in said)
                refused += [text for text in said if text]
    rounds = {kind: round(total / ROUNDS, 2) for kind, total in seconds.items()}
    print(f"\nseconds a round: {json.dumps(rounds)}; {len(refused)} rollbacks refused")
    assert all("no version to go back to" in text for text in refused)
