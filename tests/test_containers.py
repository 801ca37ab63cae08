"""What the running stack keeps of what docker-compose.yml promises."""

import json
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.stack import (
    DEEP,
    FLOWER,
    JSON,
    MODELS,
    ROOT,
    SERVICES,
    SERVING,
    STACK,
    STATUS,
    TRACKING,
    WITH_A_PASSWORD,
    WITH_USERS,
    Stack,
    ask,
    find_compose,
    near_the_ports,
    only_broken_off,
    recorded,
)

pytestmark = pytest.mark.container


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


def test_a_request_is_scored_by_the_version_in_production(stack: Stack) -> None:
    answer = stack.score()
    assert answer.status == 200, answer.text
    assert [row["prediction"] for row in json.loads(answer.text)["predictions"]] == ["setosa"]
    assert answer.version == "iris/1"
    version = stack.ask("/version")
    assert (version.status, version.version) == (200, "iris/1")


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_healthy_by_its_own_check(stack: Stack, service: str) -> None:
    stack.inside(service, SERVICES[service]["healthcheck"]["test"])


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


def test_health_needs_no_token_and_all_else_is_unknown(stack: Stack) -> None:
    assert ask(f"{SERVING}/health").status == 200
    assert stack.ask("/ui").status == 404


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        ("x" * 9_000_000, JSON, 413),
        (FLOWER, {}, 415),
        (FLOWER, {**JSON, "Authorization": "Bearer wrong"}, 401),
        (DEEP, JSON, 400),
        (json.dumps({"inputs": [[5.1, 3.5, 1.4, None]]}), JSON, 400),
    ],
    ids=["too large", "no content type", "no token", "deep", "null"],
)
def test_what_cannot_be_scored_is_refused_in_one_form(
    stack: Stack, body: str, headers: dict[str, str], status: int
) -> None:
    """All the others are in test_nginx.py."""
    answer = stack.ask("/invocations", body, **headers)
    assert answer.status == status
    assert {"error_code", "message"} <= set(json.loads(answer.text))
    assert stack.score().status == 200


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_may_use_no_more_memory_than_its_limit(stack: Stack, service: str) -> None:
    units = {"m": 2**20, "g": 2**30}
    limit = re.sub(r"\$\{\w+:-(\w+)\}", r"\1", SERVICES[service]["mem_limit"])
    expected = int(limit[:-1]) * units[limit[-1]]
    assert int(stack.inspect(service, "{{.HostConfig.Memory}}")) == expected


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


def test_nginx_counts_its_requests(stack: Stack) -> None:
    assert "server accepts handled requests" in ask(STATUS).text


def test_the_tracking_server_answers_to_its_own_names_only(stack: Stack) -> None:
    experiments = f"{TRACKING}/api/2.0/mlflow/experiments/search?max_results=1"
    assert ask(experiments).status == 200
    assert ask(experiments, headers={"Host": "elsewhere.example:5000"}).status == 403


def test_no_secret_is_in_an_image(stack: Stack) -> None:
    for service in SERVICES:
        image = stack.inspect(service, "{{.Image}}")
        described = stack.call("docker", "image", "inspect", image)
        described += stack.call("docker", "history", "--no-trunc", image)
        assert not [secret for secret in stack.secrets if secret in described]


def test_no_secret_is_an_argument_of_a_process(stack: Stack) -> None:
    for service in SERVICES:
        arguments = stack.inside(service, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
        assert not [secret for secret in stack.secrets if secret in arguments]


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


def test_servers_that_follow_change_over_without_a_failed_request(stack: Stack) -> None:
    following = replace(stack, settings=(*stack.settings, ("FOLLOW", "true")))
    following.call(str(ROOT / "docker" / "rollover.sh"))
    before = [following.container(model) for model in MODELS]
    for move, after in [("promote -P version=2 -P force=true", "iris/2"), ("rollback", "iris/1")]:
        with following.load() as found:
            following.step(*move.split())
            waited = [following.wait_for_version(model, after) for model in MODELS]
        print(f"{after} after {sum(waited):.0f} s")
        assert found["errors"] == {}
        assert set(found["answers"]) == {"200 iris/1", "200 iris/2"}
    assert [following.container(model) for model in MODELS] == before
    for model in MODELS:
        assert "zombie" not in following.inside(model, "cat /proc/[0-9]*/status")
    stack.call(str(ROOT / "docker" / "rollover.sh"))


def test_a_model_server_told_to_stop_loses_no_request(stack: Stack) -> None:
    with stack.load() as found:
        stack.run("stop", "model-1")
        stack.run("start", "model-1")
        stack.wait_for_models()
    assert found["errors"] == {}
    assert set(found["answers"]) == {"200 iris/1"}


def test_model_servers_killed_in_turn_are_back_by_themselves_and_requests_go_to_the_other(
    stack: Stack,
) -> None:
    with stack.load() as found:
        for model in (*MODELS, *MODELS):
            stack.kill(model)
            stack.wait_for_models()
    assert only_broken_off(found["errors"], kills=4)
    assert set(found["answers"]) == {"200 iris/1"}


def test_model_servers_killed_at_once_are_back_by_themselves(stack: Stack) -> None:
    with stack.load() as found:
        stack.kill(*MODELS)
        stack.wait_for_models()
    assert only_broken_off(found["errors"], kills=2)
    assert set(found["answers"]) == {"200 iris/1", "503 -"}
    assert stack.score().status == 200


def test_a_model_server_that_starts_without_a_registry_waits_for_it(stack: Stack) -> None:
    with stack.load() as found:
        stack.run("stop", "tracking")
        stack.run("up", "-d", "--no-deps", "--force-recreate", "model-1")
        stack.wait("model-1", lambda: "waiting: " in stack.run("logs", "model-1"))
        assert stack.score().version == "iris/1", "the other one needs no registry"
        assert not stack.loaded("model-1")
        stack.run("start", "tracking")
        stack.wait_for_models()
    assert found["errors"] == {}
    assert set(found["answers"]) == {"200 iris/1"}


def test_a_killed_worker_is_replaced_and_requests_go_to_the_other_server(stack: Stack) -> None:
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
    assert only_broken_off(found["errors"], kills=1)
    assert set(found["answers"]) == {"200 iris/1"}


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


def test_every_service_ends_by_itself_when_told_to(stack: Stack) -> None:
    stack.run("stop")
    codes = {service: stack.inspect(service, "{{.State.ExitCode}}") for service in SERVICES}
    stack.run("start")
    stack.wait_for_models()
    assert "137" not in codes.values(), codes  # killed after the grace period


def test_with_users_the_tracking_server_asks_who_is_there_and_models_are_still_served(
    stack: Stack,
) -> None:
    guarded = replace(stack, files=(STACK, WITH_USERS))
    guarded.start()
    for path in WITH_A_PASSWORD:
        assert ask(f"{TRACKING}{path}").status == 401, path
    user = {"MLFLOW_TRACKING_URI": TRACKING, "MLFLOW_TRACKING_USERNAME": "admin"}
    program = near_the_ports(sys.executable, "-m", "mlflow", "experiments", "search")
    done = subprocess.run(
        program, cwd=ROOT, env=guarded.environment | user, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    guarded.wait_for_models()
    assert guarded.score().version == "iris/1"
