"""A version goes between two servers; whenever that is killed, it is there once."""

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack
from multiprocessing import connection, get_context

import mlflow
import pytest
from mlflow import MlflowClient

from steps import sweep
from tabular.gate.prove import free_port
from tabular.jobs import publish as job
from tests.conftest import ROOT, Store, tracking_server
from tests.published import assert_whole, at, publish_iris, runs

KILLS = 10

PROCESSES = get_context("forkserver")
PROCESSES.set_forkserver_preload([__name__, "psycopg"])


@pytest.fixture(scope="module")
def servers(
    postgres_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """URIs of two `mlflow server`s, each on a database of PostgreSQL of its own."""
    import psycopg

    urls = []
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))  # for the server of forks, as in test_interruptions
        for name in ("team", "company"):
            with psycopg.connect(postgres_server.replace("+psycopg", ""), autocommit=True) as link:
                link.execute(f"CREATE DATABASE {name}")
            folder, port = tmp_path_factory.mktemp(name), free_port()
            database = f"{postgres_server.rpartition('/')[0]}/{name}"
            MlflowClient(database).search_experiments()
            stack.enter_context(tracking_server(database, folder, port))
            urls.append(f"http://127.0.0.1:{port}")
        yield urls[0], urls[1]


def publish_from(source: str, to: str, pipe: connection.Connection) -> None:
    """Publishes; the pipe gets a word when all is read, and nothing written."""
    mlflow.set_tracking_uri(source)
    job.publish(model="models:/iris/1", to=to, name="", say=pipe.send)


def killed(source: str, to: str, delay: float | None = None) -> float:
    """Publishes in a process that is killed while it writes; seconds that it wrote."""
    ours, theirs = PROCESSES.Pipe()
    process = PROCESSES.Process(target=publish_from, args=(source, to, theirs))
    process.start()
    ours.recv()
    started = time.monotonic()
    process.join(delay)
    process.kill()
    process.join()
    return time.monotonic() - started


def clear(uri: str) -> None:
    """Deletes what was published, as a person does."""
    client = at(uri)
    client.delete_registered_model("iris")
    for run in runs(uri):
        client.delete_run(run.info.run_id)
    for model in client.search_logged_models(
        [one.experiment_id for one in client.search_experiments()]
    ):
        client.delete_logged_model(model.model_id)


@pytest.mark.slow
def test_between_two_servers_a_version_is_there_once_whenever_it_was_killed(
    store: Store, servers: tuple[str, str]
) -> None:
    source, to = servers
    mlflow.set_tracking_uri(source)
    mlflow.set_experiment("flowers")
    sweep.main(["--trials", "3", "--jobs", "1", "--classifiers", "naive_bayes"])
    for _ in range(2):  # the second one is warm
        spent = killed(source, to)
        publish_iris(to)
        assert_whole(source, to)
        clear(to)
    rng, left_open = random.Random(0), 0
    for _ in range(KILLS):
        killed(source, to, rng.uniform(0, spent))
        left_open += any(run.info.status == "RUNNING" for run in runs(to))
        publish_iris(to)
        assert_whole(source, to)
        clear(to)
    print(f"\n{spent:.1f} s to write; {left_open} of {KILLS} kills left a run open")
    assert left_open > 0
