"""Model servers that follow the registry, behind nginx: what clients and the log see of it.

The tests go one after the other through the life of two servers. The second one has two processes.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import mlflow
import pytest

from custom_model.artifact import bundle_sha256
from steps import train
from tabular.gate.prove import free_port
from tabular.store import production
from tests.conftest import ROOT, Store, tracking_server
from tests.front import NGINX, TOKEN, Front, is_up, loaded, model_server, nginx, wait_until
from tests.stack import only_broken_off

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(NGINX is None, reason="needs nginx (apt-get install nginx-light)"),
]
NUMBERS = (1, 2)


@dataclass(frozen=True)
class Followers:
    """Two model servers with FOLLOW=true behind nginx, and a tracking server to be stopped."""

    front: Front
    servers: tuple[subprocess.Popen[bytes], ...]
    registry: ExitStack
    start_registry: Callable[[], Any]

    def log(self, number: int) -> str:
        return (self.front.folder / f"model-{number}.log").read_text()

    def wait_for(self, version: str) -> None:
        """Until both answer with a version; they never change over at the same time."""

        def both() -> bool:
            unknown = {path.name[:7] for path in self.front.folder.glob("model-*.sock.*")}
            assert len(unknown) < 2, unknown
            return {loaded(self.front.folder, number) for number in NUMBERS} == {version}

        begun = time.monotonic()
        wait_until(both)
        print(f"both answer with {version} after {time.monotonic() - begun:.0f} s")

    def wait_for_line(self, line: str) -> None:
        for number in NUMBERS:
            wait_until(partial(lambda number: line in self.log(number), number))

    @contextmanager
    def load(self) -> Iterator[dict[str, Any]]:
        """Requests without a pause while the block runs; what came back is there afterwards."""
        url = f"http://127.0.0.1:{self.front.port}/invocations"
        command = [sys.executable, "-m", "benchmarks.load", url, "--token", TOKEN]
        result: dict[str, Any] = {}
        with subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as clients:
            yield result
            out, _ = clients.communicate()
        result.update(json.loads(out))
        print(out)


@pytest.fixture(scope="module")
def followers(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Followers]:
    folder = tmp_path_factory.mktemp("follow")
    shutil.copy(migrated, folder / "mlflow.db")
    port, before = free_port(), mlflow.get_tracking_uri()
    uri = f"http://127.0.0.1:{port}"
    with ExitStack() as stack, ExitStack() as registry:

        def start_registry() -> None:
            backend = f"sqlite:///{folder}/mlflow.db"
            registry.enter_context(tracking_server(backend, folder / "artifacts", port))

        (folder / "artifacts").mkdir()
        start_registry()
        mlflow.set_tracking_uri(uri)
        stack.callback(mlflow.set_tracking_uri, before)
        mlflow.set_experiment("tests")
        train.main([])
        train.main(["--C", "0.5"])
        production.put_forward("iris", 1, reason="the first one", by="tests")
        settings = {"FOLLOW": "true", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
        settings["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
        store = Store(uri, folder)
        servers = tuple(
            stack.enter_context(model_server(store, folder, number, **settings, **processes))
            for number, processes in [(1, {}), (2, {"MLFLOW_MODELS_WORKERS": "2"})]
        )
        front = stack.enter_context(nginx(folder))
        both = Followers(front, servers, registry, start_registry)
        wait_until(lambda: all(is_up(folder, number) for number in NUMBERS), 240)
        yield both


def test_a_promotion_and_a_rollback_are_followed_without_a_failed_request(
    followers: Followers,
) -> None:
    with followers.load() as result:
        production.put_forward("iris", 2, reason="a better one", by="tests")
        followers.wait_for("iris/2")
        production.put_back("iris", reason="it was not", by="tests")
        followers.wait_for("iris/1")
    assert result["errors"] == {}
    assert set(result["answers"]) == {"200 iris/1", "200 iris/2"}
    assert sum(result["answers"].values()) > 1000
    for number in NUMBERS:
        assert "serving iris version 2, no longer 1\n" in followers.log(number)
        assert "serving iris version 1, no longer 2\n" in followers.log(number)


def break_a_file(path: Path) -> None:
    """It is not what was registered: the hash was made before."""
    (path / "artifacts" / "served" / "more.py").touch()


def break_the_model(path: Path) -> None:
    (path / "artifacts" / "pipeline.skops").write_bytes(b"no archive")


def break_the_answer(path: Path) -> None:
    file = path / "artifacts" / "bundle.json"
    spec = json.loads(file.read_text())
    spec["example_proba"][0] = spec["example_proba"][0][::-1]
    file.write_text(json.dumps(spec))


SENTENCES: dict[Callable[[Path], None], str] = {
    break_a_file: "is not what was registered: a file of its artifact was changed",
    break_the_model: "does not load; the lines above say why",
    break_the_answer: "answers its example rows otherwise than when it was registered",
}


def put_unfit_forward(damage: Callable[[Path], None], folder: Path) -> str:
    """The number of a new version, a damaged one; its hash is right, but of a changed file."""
    client = mlflow.MlflowClient()
    path = Path(mlflow.artifacts.download_artifacts("models:/iris/2", dst_path=str(folder)))
    (path / "registered_model_meta").unlink()
    before = bundle_sha256(path)
    damage(path)
    tags = {"bundle_sha256": before if damage is break_a_file else bundle_sha256(path)}
    with mlflow.start_run() as run:
        mlflow.log_artifacts(str(path), "model")
    source = f"{run.info.artifact_uri}/model"
    version = client.create_model_version("iris", source, run.info.run_id, tags=tags)
    client.set_registered_model_alias("iris", "champion", version.version)
    return str(version.version)


def test_an_unfit_version_leaves_the_old_one_serving_and_the_log_says_so_once(
    followers: Followers, tmp_path: Path
) -> None:
    lines = []
    for damage, sentence in SENTENCES.items():
        version = put_unfit_forward(damage, tmp_path / damage.__name__)
        lines.append(f"iris version 1 goes on: version {version} {sentence}")
        followers.wait_for_line(lines[-1])
        followers.wait_for("iris/1")
    mlflow.MlflowClient().set_registered_model_alias("iris", "champion", "2")
    followers.wait_for("iris/2")
    for number in NUMBERS:
        assert [followers.log(number).count(line) for line in lines] == [1, 1, 1]


def children(process: int) -> list[int]:
    return [int(c) for c in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def has_others(process: int, before: list[int]) -> bool:
    return bool(now := children(process)) and not set(now) & set(before)


def test_without_a_registry_nothing_changes_and_a_killed_server_is_started_again(
    followers: Followers,
) -> None:
    followers.registry.close()
    followers.wait_for_line("iris version 2 goes on: API request to http")
    with followers.load() as result:
        for parent in followers.servers:
            before = children(parent.pid)
            os.kill(before[0], signal.SIGKILL)
            wait_until(partial(has_others, parent.pid, before))
            followers.wait_for("iris/2")
    assert only_broken_off(result["errors"], kills=2)
    assert set(result["answers"]) == {"200 iris/2"}
    followers.start_registry()
    mlflow.MlflowClient().set_registered_model_alias("iris", "champion", "1")
    followers.wait_for("iris/1")


def test_a_follower_told_to_stop_loses_no_request_and_leaves_nothing_behind(
    followers: Followers,
) -> None:
    first, _ = followers.servers
    with followers.load() as result:
        first.terminate()
        assert first.wait(60) == 0
    assert result["errors"] == {}
    assert set(result["answers"]) == {"200 iris/1"}
    assert not list(followers.front.folder.glob("model-1.sock.*"))
