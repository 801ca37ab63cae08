"""docker-compose.yml: what it promises, and from an empty volume to an answer over HTTP."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
PROJECT = "mlflow-pipeline-test"  # the same each time, so that its images do not pile up

TRACKING = "http://localhost:5001"
MODEL = "http://localhost:5000"
FLOWER = {"inputs": [[5.1, 3.5, 1.4, 0.2]]}

# --- the files ----------------------------------------------------------------------------------


def test_the_stack_is_a_tracking_server_and_a_model_server() -> None:
    assert set(SERVICES) == {"tracking", "model"}


@pytest.mark.parametrize("service", SERVICES)
def test_ports_are_published_on_the_loopback_address_only(service: str) -> None:
    assert SERVICES[service]["ports"]
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[service]["ports"])


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_a_health_check_and_starts_again_by_itself(service: str) -> None:
    assert SERVICES[service]["healthcheck"]["test"]
    assert SERVICES[service]["restart"] == "unless-stopped"


def test_the_image_has_the_python_that_trains() -> None:
    version = (ROOT / ".python-version").read_text().strip()
    assert f"FROM python:{version}-slim\n" in (ROOT / "docker" / "Dockerfile").read_text()


# --- the stack itself ---------------------------------------------------------------------------

# Run as a program of its own: where the engine lives in a network namespace of its own
# (ENGINE_PID is a process in it), the published ports are there and not here.
ASK = """
import json, sys, requests
method, url, body, headers = sys.argv[1:]
options = {"json": json.loads(body), "headers": json.loads(headers), "timeout": 30}
answer = requests.request(method, url, **options)
print(json.dumps([answer.status_code, answer.text]))
"""


def near_the_ports(*command: str) -> list[str]:
    pid = os.environ.get("ENGINE_PID")
    return [*(("nsenter", "-t", pid, "-n") if pid else ()), *command]


def ask(method: str, url: str, body: Any = None, **headers: str) -> tuple[int, str]:
    """Status and text of the answer; 0 when nobody answers."""
    program = (sys.executable, "-c", ASK, method, url, json.dumps(body), json.dumps(headers))
    done = subprocess.run(near_the_ports(*program), capture_output=True, text=True)
    if done.returncode:
        return 0, done.stderr
    status, text = json.loads(done.stdout)
    return int(status), str(text)


@dataclass(frozen=True)
class Stack:
    """The services under a project name of their own.

    `start` asks the service itself whether it is up, and starts it without those it depends on: an
    engine that leaves health checks to others would let `service_healthy` wait for ever.
    """

    compose: tuple[str, ...]

    def run(self, *arguments: str) -> str:
        command = [*self.compose, "-p", PROJECT, "-f", str(ROOT / "docker-compose.yml"), *arguments]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-3000:]}{done.stderr}"
        return done.stdout

    def start(self, service: str, probe: str) -> None:
        self.run("up", "-d", "--no-deps", service)
        self.wait(service, lambda: ask("GET", probe)[0] == 200)

    def wait(self, service: str, up: Callable[[], bool]) -> None:
        end = time.monotonic() + 180
        while not up():
            if time.monotonic() > end:
                pytest.fail(f"{service} is not up:\n{self.run('logs', service)[-3000:]}")
            time.sleep(0.5)

    def inside(self, service: str, command: str) -> str:
        return self.run("exec", "-T", service, "sh", "-c", command)


def find_compose() -> tuple[str, ...]:
    """The command of Compose v2 or v1; skips the test where there is none or no engine."""
    if shutil.which("docker") is None:
        pytest.skip("needs a container engine: there is no `docker` command")
    daemon = subprocess.run(["docker", "version"], capture_output=True, text=True)
    if daemon.returncode:
        last_line = (daemon.stderr.strip() or "no reason given").splitlines()[-1]
        pytest.skip(f"needs a container engine: no docker daemon answers ({last_line})")
    if not subprocess.run(["docker", "compose", "version"], capture_output=True).returncode:
        return ("docker", "compose")
    if shutil.which("docker-compose") is None:
        pytest.skip("needs Compose: neither `docker compose` nor `docker-compose` is there")
    return ("docker-compose",)


@pytest.fixture
def stack() -> Iterator[Stack]:
    stack = Stack(find_compose())
    stack.run("down", "-v")  # what an interrupted run has left
    stack.run("build")  # `up` takes an older image as it finds it
    yield stack
    stack.run("down", "-v")


def run_main() -> None:
    """The README's command, on one family for speed."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
    environment["MLFLOW_TRACKING_URI"] = TRACKING
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    program = (
        *("mlflow", "run", ".", "-e", "main", "--env-manager", "local"),
        *("-P", "trials=3", "-P", "classifiers=logistic_regression"),
    )
    done = subprocess.run(
        near_the_ports(*program), cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def recorded() -> tuple[Any, Any]:
    """All runs and registered versions that the tracking server knows."""
    runs = ask("POST", f"{TRACKING}/api/2.0/mlflow/runs/search", {"experiment_ids": ["0"]})
    versions = ask("GET", f"{TRACKING}/api/2.0/mlflow/model-versions/search")
    assert (runs[0], versions[0]) == (200, 200), (runs, versions)
    return json.loads(runs[1]).get("runs"), json.loads(versions[1]).get("model_versions")


def scored() -> Any:
    status, text = ask("POST", f"{MODEL}/invocations", FLOWER)
    assert status == 200, text
    return json.loads(text)["predictions"]


@pytest.mark.container
def test_a_model_goes_to_production_is_served_and_outlives_its_containers(stack: Stack) -> None:
    stack.start("tracking", f"{TRACKING}/health")
    run_main()
    stack.start("model", f"{MODEL}/ping")
    answer = scored()
    assert [row["prediction"] for row in answer] == ["setosa"]

    for service, description in SERVICES.items():
        stack.inside(service, description["healthcheck"]["test"])
        assert stack.inside(service, "id -u").strip() != "0"
    experiments = f"{TRACKING}/api/2.0/mlflow/experiments/search?max_results=1"
    assert ask("GET", experiments)[0] == 200
    assert ask("GET", experiments, Host="elsewhere.example:5001")[0] == 403

    before = recorded()
    assert before[0]
    assert [version["current_stage"] for version in before[1]] == ["Production"]
    stack.run("restart", "tracking")
    stack.wait("tracking", lambda: ask("GET", f"{TRACKING}/health")[0] == 200)
    assert recorded() == before

    stack.run("down")  # only the volume is left
    stack.start("tracking", f"{TRACKING}/health")
    assert recorded() == before
    stack.start("model", f"{MODEL}/ping")
    assert scored() == answer
