"""docker-compose.yml and what belongs to it: what the files promise."""

import re
from pathlib import Path

import pytest

from custom_model.packaging import requirements
from tests.stack import MODELS, ROOT, SERVICES, STACK, WITH_USERS, example


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
def test_a_service_has_a_limit_of_memory(service: str) -> None:
    assert re.search(r"\b\d+[mg]\b", SERVICES[service]["mem_limit"])


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


def test_the_example_names_every_variable_and_its_default() -> None:
    used = variables(STACK, WITH_USERS)
    assert set(example()) == set(used)
    for name, rests in used.items():
        for rest in rests:
            if name == "MODEL_VERIFYING_KEY" and rest in (":-/dev/null", ":-/etc/no-key"):
                continue  # the place of a file that is not given
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
