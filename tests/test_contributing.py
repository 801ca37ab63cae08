"""CONTRIBUTING's map is complete, and the workflows run what there is."""

import re
import subprocess
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
MAP = TEXT.split("## Where things are")[1].split("\n## ")[0]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
SCRIPTED = [file for file in WORKFLOWS if file.stem != "audit"]
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def load(file: Any) -> Any:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def test_the_map_has_twenty_questions_and_places_that_are_there() -> None:
    rows = re.findall(r"^\| (.+\?) \| (.+) \|$", MAP, re.MULTILINE)
    assert len(rows) == 20
    for question, places in rows:
        named = re.findall(r"`([\w./]+)`", places)
        assert named, question
        assert not [name for name in named if not (ROOT / name).exists()], question


def test_every_room_is_introduced() -> None:
    rooms = {folder.parent.name for folder in (ROOT / "tabular").glob("*/__init__.py")}
    assert not [room for room in rooms if f"`{room}`" not in MAP and f"tabular/{room}" not in MAP]


def test_the_command_that_pins_is_the_one_of_the_requirements() -> None:
    def flags(text: str) -> set[str]:
        found = re.search(r"uv pip compile [^\n]*?requirements\.in", text)
        assert found
        return set(re.findall(r"--[\w-]+", found[0])) - {"--upgrade-package"}

    weekly = (ROOT / ".github" / "workflows" / "weekly.yml").read_text().replace("\\\n", " ")
    assert flags(TEXT) == flags((ROOT / "requirements.in").read_text()) == flags(weekly)
    pinned = (ROOT / "requirements.txt").read_text()
    ours = re.findall(r"^(mlflow[\w-]*)==", pinned, re.MULTILINE)
    assert ours == re.findall(r"--upgrade-package (\S+)", weekly)


@pytest.mark.parametrize("file", SCRIPTED, ids=lambda file: file.stem)
def test_a_workflow_runs_parts_of_the_one_script(file: Any) -> None:
    parts = {"fast", "slow", "container", "spark"}
    for job in load(file)["jobs"].values():
        if "uses" in job:
            continue
        commands = [step["run"] for step in job["steps"] if ".ci/run" in step.get("run", "")]
        assert commands
        asked = {command.split()[-1] for command in commands if "${{" not in command}
        assert asked <= parts
        if not asked:
            assert set(job["strategy"]["matrix"]["part"]) == parts
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert f"({', '.join(['fast', 'slow', 'container', 'spark'])})" in script


def test_known_vulnerabilities_are_asked_for_at_each_change_and_weekly() -> None:
    workflows = ROOT / ".github" / "workflows"
    assert load(workflows / "ci.yml")["jobs"]["audit"] == {"uses": "./.github/workflows/audit.yml"}
    audit = load(workflows / "audit.yml")
    assert {"schedule", "workflow_call"} <= set(audit[True])  # YAML reads `on` as true
    [command] = [
        s["run"] for s in audit["jobs"]["audit"]["steps"] if "pip-audit" in s.get("run", "")
    ]
    [patterns] = re.findall(r"for file in (.+); do", command)
    audited = {file for pattern in patterns.split() for file in ROOT.glob(pattern)}
    listed = subprocess.run(["git", "ls-files", "*.txt"], cwd=ROOT, capture_output=True, text=True)
    pinned = {
        ROOT / name for name in listed.stdout.split() if "--hash=" in (ROOT / name).read_text()
    }
    assert audited == pinned


@pytest.mark.parametrize("file", FORMS, ids=lambda file: file.stem)
def test_a_form_asks_something(file: Any) -> None:
    form = load(file)
    if file.stem == "config":
        assert set(form) <= {"blank_issues_enabled", "contact_links"}
        return
    assert {"name", "description", "body"} <= set(form)
    ids = [one["id"] for one in form["body"]]
    assert len(ids) == len(set(ids))
    assert all(one["attributes"]["label"] for one in form["body"])
