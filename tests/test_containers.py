"""docker-compose.yml: what its files promise, and what the running stack keeps of it."""

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from custom_model.packaging import requirements

ROOT = Path(__file__).resolve().parents[1]
STACK = ROOT / "docker-compose.yml"
WITH_USERS = ROOT / "docker-compose.auth.yml"
SERVICES: dict[str, Any] = yaml.safe_load(STACK.read_text())["services"]
MODELS = ("model-1", "model-2")

# --- the files ----------------------------------------------------------------------------------


def test_the_stack_is_a_database_a_tracking_server_and_two_model_servers_behind_nginx() -> None:
    assert set(SERVICES) == {"postgres", "tracking", *MODELS, "nginx"}


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_no_more_rights_than_it_needs(service: str) -> None:
    described = SERVICES[service]
    assert described["read_only"] is True
    assert described["cap_drop"] == ["ALL"]
    assert described["security_opt"] == ["no-new-privileges:true"]
    assert described["user"].split(":")[0] not in ("", "0", "root")
    assert not {"privileged", "cap_add", "network_mode", "pid", "devices"} & set(described)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_a_health_check_and_starts_again_by_itself(service: str) -> None:
    assert SERVICES[service]["healthcheck"]["test"]
    assert SERVICES[service]["restart"] == "unless-stopped"


@pytest.mark.parametrize("service", SERVICES)
def test_ports_are_published_on_the_loopback_address_unless_told_otherwise(service: str) -> None:
    for port in SERVICES[service].get("ports", []):
        assert port.startswith(("127.0.0.1:", "${BIND:-127.0.0.1}:"))


def test_only_nginx_and_the_tracking_server_can_be_reached_from_outside() -> None:
    assert {name for name, service in SERVICES.items() if "ports" in service} == {
        "nginx",
        "tracking",
    }
    assert {name for name, service in SERVICES.items() if "outside" in service["networks"]} == {
        "nginx",
        "tracking",
    }


def variables(*files: Path) -> dict[str, set[str]]:
    """What a compose file takes from the environment, each with what follows its name."""
    found: dict[str, set[str]] = {}
    for file in files:
        for name, rest in re.findall(r"\$\{(\w+)([^}]*)\}", file.read_text()):
            found.setdefault(name, set()).add(rest)
    return found


def example() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if re.match(r"\w+=", line))


def test_the_example_names_every_variable_and_its_default() -> None:
    used = variables(STACK, WITH_USERS)
    assert set(example()) == set(used)
    for name, rests in used.items():
        for rest in rests:
            assert rest.startswith(":?") or rest == f":-{example()[name]}"


def test_secrets_have_no_default_and_are_not_in_git() -> None:
    used = variables(STACK, WITH_USERS)
    required = {name for name, rests in used.items() if all(r.startswith(":?") for r in rests)}
    assert required == {
        "POSTGRES_PASSWORD",
        "SERVING_TOKEN",
        "MLFLOW_TRACKING_PASSWORD",
        "MLFLOW_FLASK_SERVER_SECRET_KEY",
    }
    assert {example()[name] for name in required} == {""}
    assert ".env" in (ROOT / ".gitignore").read_text().splitlines()


@pytest.mark.parametrize("image", ["tracking", "serving"])
def test_an_image_has_the_python_that_trains_and_hashes_of_all_it_installs(image: str) -> None:
    version = (ROOT / ".python-version").read_text().strip()
    dockerfile = (ROOT / "docker" / f"{image}.Dockerfile").read_text()
    assert f"FROM python:{version}-slim\n" in dockerfile
    assert f"--require-hashes -r /tmp/{image}.txt" in dockerfile


def pins(file: Path) -> dict[str, str]:
    found = re.findall(r"^([\w.-]+)==([^\s;]+)", file.read_text(), re.MULTILINE)
    return dict(found)


def test_a_model_server_has_the_versions_that_train_and_no_more_than_it_needs() -> None:
    serving, training = pins(ROOT / "docker" / "serving.txt"), pins(ROOT / "requirements.txt")
    assert serving.items() <= training.items()
    needed = dict(requirement.split("==") for requirement in requirements())
    # The model server is in the skinny package; the full one adds the tracking server.
    needed["mlflow-skinny"] = needed.pop("mlflow")
    assert needed.items() <= serving.items()
    assert not {"pytest", "ruff", "mypy", "hypothesis", "optuna", "matplotlib"} & set(serving)


def test_the_tracking_server_has_the_mlflow_that_trains() -> None:
    there, here = pins(ROOT / "docker" / "tracking.txt"), pins(ROOT / "requirements.txt")
    assert there["mlflow"] == here["mlflow"]


# --- the stack itself ---------------------------------------------------------------------------

TRACKING = "http://127.0.0.1:15000"
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
            "MAX_BODY": "1m",
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
            *("--token", self.token, "--concurrency", "8"),
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


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """From nothing to two model servers with the first version."""
    # the load of these tests is not what the limit is for; one test sets its own
    quick = (("RATE_LIMIT", "100000r/s"),)
    stack = Stack(find_compose(), secrets.token_hex(16), settings=quick)
    stack.run("down", "-v")  # what an interrupted run has left
    stack.run("build")  # `up` takes an older image as it finds it
    begun = time.monotonic()
    stack.start()
    print(f"tracking server after {time.monotonic() - begun:.0f} s")
    stack.step("main", "-P", "trials=3", "-P", "classifiers=logistic_regression")
    print(f"version in Production after {time.monotonic() - begun:.0f} s")
    stack.wait("nginx", lambda: stack.score().status == 200)
    print(f"scored request after {time.monotonic() - begun:.0f} s")
    stack.wait_for_models()
    yield stack
    stack.run("down", "-v")


@pytest.mark.container
def test_a_request_is_scored_by_the_version_in_production(stack: Stack) -> None:
    answer = stack.score()
    assert answer.status == 200, answer.text
    assert [row["prediction"] for row in json.loads(answer.text)["predictions"]] == ["setosa"]
    assert answer.version == "iris/1"
    version = stack.ask("/version")
    assert (version.status, version.version) == (200, "iris/1")


@pytest.mark.container
@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_healthy_by_its_own_check(stack: Stack, service: str) -> None:
    stack.inside(service, SERVICES[service]["healthcheck"]["test"])


@pytest.mark.container
@pytest.mark.parametrize("service", SERVICES)
def test_a_service_runs_without_root_capabilities_or_a_writable_image(
    stack: Stack, service: str
) -> None:
    status = stack.inside(service, "cat /proc/1/status")
    found = dict(line.split(":\t") for line in status.splitlines() if ":\t" in line)
    assert "0" not in found["Uid"].split()
    assert {int(found[name], 16) for name in ("CapPrm", "CapEff", "CapBnd")} == {0}
    assert found["NoNewPrivs"] == "1"
    written = stack.inside(service, "touch /usr/here 2>&1 || true")
    assert "Read-only file system" in written


@pytest.mark.container
@pytest.mark.parametrize("path", ["/invocations", "/version"])
@pytest.mark.parametrize("sent", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "x"}])
def test_without_the_token_nothing_is_answered(
    stack: Stack, path: str, sent: dict[str, str]
) -> None:
    body = FLOWER if path == "/invocations" else ""
    answer = ask(f"{SERVING}{path}", body, {**JSON, **sent})
    assert answer.status == 401
    assert json.loads(answer.text)["error_code"] == "UNAUTHENTICATED"
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.container
def test_health_needs_no_token_and_all_else_is_unknown(stack: Stack) -> None:
    assert ask(f"{SERVING}/health").status == 200
    assert stack.ask("/ui").status == 404


@pytest.mark.container
@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        ("x" * 1_100_000, JSON, 413),
        (FLOWER, {}, 415),
        (FLOWER, {"Content-Type": "application/xml"}, 415),
        (DEEP, JSON, 400),
        ("{", JSON, 400),
        (json.dumps({"inputs": [[5.1, 3.5, 1.4, None]]}), JSON, 400),
    ],
    ids=["too large", "no content type", "another content type", "deep", "broken", "null"],
)
def test_what_cannot_be_scored_is_the_clients_error_in_one_sentence(
    stack: Stack, body: str, headers: dict[str, str], status: int
) -> None:
    answer = stack.ask("/invocations", body, **headers)
    assert answer.status == status
    refusal = json.loads(answer.text)
    assert refusal["error_code"]
    assert refusal["message"]
    assert "Traceback" not in answer.text
    assert stack.score().status == 200


@pytest.mark.container
def test_the_access_log_has_status_time_and_version_but_neither_token_nor_data(
    stack: Stack,
) -> None:
    answer = stack.score()
    log = stack.run("logs", "--no-color", "nginx")
    lines = [json.loads(line[line.index("{") :]) for line in log.splitlines() if '{"time"' in line]
    line = next(line for line in lines if line["request"] == answer.headers["X-Request-ID"])
    assert (line["status"], line["model"], line["path"]) == (200, "iris/1", "/invocations")
    assert 0 < line["seconds"] < 60
    assert stack.token not in log
    assert "inputs" not in log


@pytest.mark.container
def test_nginx_counts_its_requests(stack: Stack) -> None:
    assert "server accepts handled requests" in ask(STATUS).text


@pytest.mark.container
def test_the_tracking_server_answers_to_its_own_names_only(stack: Stack) -> None:
    experiments = f"{TRACKING}/api/2.0/mlflow/experiments/search?max_results=1"
    assert ask(experiments).status == 200
    assert ask(experiments, headers={"Host": "elsewhere.example:5000"}).status == 403


@pytest.mark.container
def test_no_secret_is_in_an_image(stack: Stack) -> None:
    for service in SERVICES:
        image = stack.inspect(service, "{{.Image}}")
        described = stack.call("docker", "image", "inspect", image)
        described += stack.call("docker", "history", "--no-trunc", image)
        assert not [secret for secret in stack.secrets if secret in described]


@pytest.mark.container
def test_no_secret_is_an_argument_of_a_process(stack: Stack) -> None:
    for service in SERVICES:
        arguments = stack.inside(service, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
        assert not [secret for secret in stack.secrets if secret in arguments]


@pytest.mark.container
def test_more_requests_than_the_rate_allows_are_put_off(stack: Stack) -> None:
    slow = replace(stack, settings=(("RATE_LIMIT", "1r/s"),))
    slow.run("up", "-d", "--no-deps", "nginx")
    slow.wait("nginx", lambda: slow.score().status == 200)
    with slow.load() as found:
        time.sleep(5)
    stack.run("up", "-d", "--no-deps", "nginx")
    stack.wait("nginx", lambda: stack.score().status == 200)
    assert set(found["answers"]) == {"200 iris/1", "429 -"}
    assert 200 <= found["answers"]["200 iris/1"] <= 230


@pytest.mark.container
def test_a_promotion_and_a_rollback_are_rolled_over_without_a_failed_request(stack: Stack) -> None:
    stack.step("train", "-P", "C=0.5")
    stack.step("promote", "-P", "version=2", "-P", "force=true")
    assert stack.in_production() == "iris/2"
    assert stack.score().version == "iris/1", "what answers is what was loaded, not the alias"
    for move, before, after in [("", "iris/1", "iris/2"), ("rollback", "iris/2", "iris/1")]:
        if move:
            stack.step(move)
        with stack.load() as found:
            print(stack.call(str(ROOT / "docker" / "rollover.sh")))
        assert found["errors"] == {}
        assert set(found["answers"]) == {f"200 {before}", f"200 {after}"}
        assert [stack.loaded(model) for model in MODELS] == [after, after]
        assert stack.score().version == after == stack.in_production()


@pytest.mark.container
def test_a_model_server_told_to_stop_loses_no_request(stack: Stack) -> None:
    with stack.load() as found:
        stack.run("stop", "model-1")
        stack.run("start", "model-1")
        stack.wait_for_models()
    assert found["errors"] == {}
    assert set(found["answers"]) == {"200 iris/1"}


@pytest.mark.container
def test_a_killed_model_server_costs_no_request_and_is_back_by_itself(stack: Stack) -> None:
    victim = int(stack.inspect("model-1", "{{.State.Pid}}"))
    with stack.load() as found:
        try:
            os.kill(victim, 9)
        except (ProcessLookupError, PermissionError):
            pytest.skip("the engine's processes are not this user's to kill")
        time.sleep(1)
        stack.wait_for_models()
    assert int(stack.inspect("model-1", "{{.State.Pid}}")) != victim
    assert found["errors"] == {}
    assert set(found["answers"]) == {"200 iris/1"}


@pytest.mark.container
def test_a_killed_worker_costs_no_request_and_is_replaced(stack: Stack) -> None:
    two = replace(stack, settings=(("MODEL_WORKERS", "2"),))
    two.run("up", "-d", "--no-deps", "model-1")
    two.wait_for_models()

    def workers() -> set[str]:
        return set(two.inside("model-1", "grep -l [s]pawn_main /proc/[0-9]*/cmdline").split())

    def startups() -> int:
        return two.run("logs", "model-1").count("Application startup complete")

    two.wait("model-1", lambda: startups() == 2)
    before = workers()
    assert len(before) == 2
    with two.load() as found:
        two.inside("model-1", f"kill -9 {min(before).split('/')[2]}")
        two.wait("model-1", lambda: startups() == 3)
    assert len(workers()) == 2
    assert len(workers() & before) == 1
    stack.run("up", "-d", "--no-deps", "model-1")
    stack.wait_for_models()
    assert found["errors"] == {}
    assert set(found["answers"]) == {"200 iris/1"}


def recorded() -> tuple[Any, Any]:
    """All runs and registered versions that the tracking server knows."""
    body = json.dumps({"experiment_ids": ["0"]})
    runs = ask(f"{TRACKING}/api/2.0/mlflow/runs/search", body, JSON)
    versions = ask(f"{TRACKING}/api/2.0/mlflow/model-versions/search")
    assert (runs.status, versions.status) == (200, 200), (runs, versions)
    return json.loads(runs.text)["runs"], json.loads(versions.text)["model_versions"]


@pytest.mark.container
def test_a_stack_that_is_killed_and_started_again_has_lost_nothing(stack: Stack) -> None:
    before, answer = recorded(), stack.score()
    assert len(before[1]) == 2
    stack.run("kill")
    assert stack.score().status == 0
    stack.run("rm", "-f")  # only the volumes are left
    stack.start()
    assert recorded() == before
    stack.wait_for_models()
    again = stack.score()
    assert (again.text, again.version) == (answer.text, answer.version)


@pytest.mark.container
def test_every_service_ends_by_itself_when_told_to(stack: Stack) -> None:
    stack.run("stop")
    codes = {service: stack.inspect(service, "{{.State.ExitCode}}") for service in SERVICES}
    stack.run("start")
    stack.wait_for_models()
    assert "137" not in codes.values(), codes  # killed after the grace period


@pytest.mark.container
def test_with_users_the_tracking_server_asks_who_is_there_and_models_are_still_served(
    stack: Stack,
) -> None:
    guarded = replace(stack, files=(STACK, WITH_USERS))
    guarded.start()
    experiments = f"{TRACKING}/api/2.0/mlflow/experiments/search?max_results=1"
    assert ask(experiments).status == 401
    with_user = {
        **guarded.environment,
        "MLFLOW_TRACKING_URI": TRACKING,
        "MLFLOW_TRACKING_USERNAME": "admin",
    }
    program = near_the_ports(sys.executable, "-m", "mlflow", "experiments", "search")
    done = subprocess.run(program, cwd=ROOT, env=with_user, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    guarded.wait_for_models()
    assert guarded.score().version == "iris/1"
