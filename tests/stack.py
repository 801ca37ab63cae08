"""The running stack, for the tests with containers."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
STACK = ROOT / "docker-compose.yml"
WITH_USERS = ROOT / "docker-compose.auth.yml"
SERVICES: dict[str, Any] = yaml.safe_load(STACK.read_text())["services"]
MODELS = ("model-1", "model-2")
CLIENTS = 8

TRACKING = "http://127.0.0.1:15000"
WITH_A_PASSWORD = [
    "/",
    "/api/2.0/mlflow/experiments/search?max_results=1",
    "/api/2.0/mlflow/registered-models/search",
    "/api/2.0/mlflow-artifacts/artifacts?path=0",
    "/ajax-api/2.0/mlflow/experiments/search?max_results=1",
    "/graphql",
    "/get-artifact?path=x&run_uuid=y",
    "/model-versions/get-artifact?path=MLmodel&name=iris&version=1",
]
SERVING = "http://127.0.0.1:18080"
STATUS = "http://127.0.0.1:18081/status"
FLOWER = json.dumps({"inputs": [[5.1, 3.5, 1.4, 0.2]]})
DEEP = '{"inputs": ' + "[" * 100_000 + "]" * 100_000 + "}"
JSON = {"Content-Type": "application/json"}

# Run as a program of its own: where the engine lives in a network namespace of its own
# (ENGINE_PID is a process in it), the published ports are there and not here.
ASK = """
import json, sys, requests
method, url, headers = json.loads(sys.argv[1])
prepared = requests.Request(method, url, data=sys.stdin.buffer.read() or None).prepare()
prepared.headers.update(headers)
answer = requests.Session().send(prepared, timeout=60)
print(json.dumps([answer.status_code, answer.text, dict(answer.headers)]))
"""


def example() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if re.match(r"\w+=", line))


@dataclass(frozen=True)
class Answer:
    """Status 0 means that nobody answered."""

    status: int
    text: str
    headers: dict[str, str]

    @property
    def version(self) -> str:
        lower = {name.lower(): value for name, value in self.headers.items()}
        return lower.get("x-model-version", "")


def near_the_ports(*command: str) -> list[str]:
    pid = os.environ.get("ENGINE_PID")
    return [*(("nsenter", "-t", pid, "-n") if pid else ()), *command]


def ask(url: str, body: str = "", headers: dict[str, str] | None = None) -> Answer:
    """GET, or POST when there is a body."""
    request = json.dumps(["POST" if body else "GET", url, headers or {}])
    program = near_the_ports(sys.executable, "-c", ASK, request)
    done = subprocess.run(program, input=body, capture_output=True, text=True)
    if done.returncode:
        return Answer(0, done.stderr, {})
    return Answer(*json.loads(done.stdout))


def wait_until(holds: Callable[[], object], why: Callable[[], str], seconds: float = 240) -> float:
    """Seconds that it took."""
    begun = time.monotonic()
    while not holds():
        if time.monotonic() - begun > seconds:
            pytest.fail(why())
        time.sleep(0.5)
    return time.monotonic() - begun


@dataclass(frozen=True)
class Stack:
    """The services under a project name of their own, on ports of their own."""

    compose: tuple[str, ...]
    token: str
    files: tuple[Path, ...] = (STACK,)
    settings: tuple[tuple[str, str], ...] = ()

    @property
    def environment(self) -> dict[str, str]:
        return {
            **{k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "AWS_"))},
            **example(),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "COMPOSE_PROJECT_NAME": "mlflow-pipeline-test",  # the same each time: images stay few
            "COMPOSE_FILE": os.pathsep.join(map(str, self.files)),
            "TRACKING_PORT": "15000",
            "SERVING_PORT": "18080",
            "STATUS_PORT": "18081",
            "POSTGRES_PASSWORD": f"p@ss/w:rd%{self.token}",  # what a URL would stumble over
            "SERVING_TOKEN": self.token,
            "MLFLOW_TRACKING_PASSWORD": f"users-{self.token}",
            "MLFLOW_FLASK_SERVER_SECRET_KEY": f"key-{self.token}",
            **dict(self.settings),
        }

    @property
    def secrets(self) -> list[str]:
        return [self.environment[name] for name in ("POSTGRES_PASSWORD", "SERVING_TOKEN")]

    def run(self, *arguments: str) -> str:
        return self.call(*self.compose, *arguments)

    def call(self, *command: str) -> str:
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout

    def container(self, service: str) -> str:
        return self.run("ps", "-q", service).strip()

    def inspect(self, service: str, form: str) -> str:
        return self.call("docker", "inspect", "-f", form, self.container(service)).strip()

    def inside(self, service: str, command: str) -> str:
        return self.run("exec", "-T", service, "sh", "-c", command)

    def wait(self, service: str, up: Callable[[], object]) -> float:
        return wait_until(up, lambda: f"{service}:\n{self.run('logs', service)[-3000:]}")

    def loaded(self, service: str) -> str:
        """The version that a model server answers with; empty while it does not."""
        command = [*self.compose, "exec", "-T", service, "python", "/srv/ping.py"]
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True
        )
        return done.stdout.strip()

    def wait_for_version(self, service: str, version: str) -> float:
        return self.wait(service, lambda: self.loaded(service) == version)

    def kill(self, *services: str) -> None:
        """As the kernel does; returns when the engine's restart policy has begun new processes."""

        def processes() -> dict[str, int]:
            form = "{{.State.Pid}}"
            return {service: int(self.inspect(service, form)) for service in services}

        victims = processes()
        try:
            for victim in victims.values():
                os.kill(victim, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pytest.skip("the engine's processes are not this user's to kill")
        self.wait(services[0], lambda: not set(processes().values()) & {0, *victims.values()})

    def start(self) -> None:
        self.run("up", "-d")
        self.wait("tracking", lambda: ask(f"{TRACKING}/health").status == 200)

    def wait_for_models(self) -> None:
        for model in MODELS:
            self.wait(model, partial(self.loaded, model))

    def ask(self, path: str, body: str = "", **headers: str) -> Answer:
        return ask(f"{SERVING}{path}", body, {"Authorization": f"Bearer {self.token}", **headers})

    def score(self) -> Answer:
        return self.ask("/invocations", FLOWER, **JSON)

    def step(self, *arguments: str) -> None:
        """`mlflow run` on this machine, told of the stack by MLFLOW_TRACKING_URI alone."""
        environment = {**self.environment, "MLFLOW_TRACKING_URI": TRACKING}
        command = ("mlflow", "run", ".", "--env-manager", "local", "-e", *arguments)
        done = subprocess.run(
            near_the_ports(*command), cwd=ROOT, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def in_production(self) -> str:
        url = f"{TRACKING}/api/2.0/mlflow/registered-models/alias?name=iris&alias=champion"
        return f"iris/{json.loads(ask(url).text)['model_version']['version']}"

    @contextmanager
    def load(self) -> Iterator[dict[str, Any]]:
        """Requests without a pause while the block runs; what came back is there afterwards."""
        command = near_the_ports(
            *(sys.executable, "-m", "benchmarks.load", f"{SERVING}/invocations"),
            *("--token", self.token, "--concurrency", str(CLIENTS)),
        )
        found: dict[str, Any] = {}
        with subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as clients:
            time.sleep(2)
            yield found
            time.sleep(2)
            out, _ = clients.communicate()
        found.update(json.loads(out))
        print(out)


def only_broken_off(errors: dict[str, int], kills: int) -> bool:
    """Whether requests failed only where a killed server had sent half of its answer."""
    return set(errors) <= {"IncompleteRead"} and sum(errors.values()) <= CLIENTS * kills


def recorded() -> tuple[Any, Any]:
    """All runs and registered versions that the tracking server knows."""
    body = json.dumps({"experiment_ids": ["0"]})
    runs = ask(f"{TRACKING}/api/2.0/mlflow/runs/search", body, JSON)
    versions = ask(f"{TRACKING}/api/2.0/mlflow/model-versions/search")
    assert (runs.status, versions.status) == (200, 200), (runs, versions)
    return json.loads(runs.text)["runs"], json.loads(versions.text)["model_versions"]


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
