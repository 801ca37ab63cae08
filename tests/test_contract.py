"""MLproject, steps, the environment files and the layers of the code agree with one another."""

import ast
import importlib
import re
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT

PROJECT = yaml.safe_load((ROOT / "MLproject").read_text())
STEPS = sorted(p.stem for p in (ROOT / "steps").glob("*.py") if p.stem != "__init__")
CODE = [p for name in ("custom_model", "tabular", "steps") for p in (ROOT / name).rglob("*.py")]


def defaults_of(step: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The options that a step declares, with the text of each default."""
    import steps

    seen: dict[str, str] = {}
    real = steps.Parser.option

    def spy(self: steps.Parser, name: str, default: object, *rest: object) -> None:
        seen[name] = str(default).lower() if isinstance(default, bool) else str(default)
        real(self, name, default, *rest)

    monkeypatch.setattr(steps.Parser, "option", spy)
    with pytest.raises(SystemExit):
        importlib.import_module(f"steps.{step}").main(["--help"])
    return seen


def test_every_step_is_an_entry_point_and_every_entry_point_a_step() -> None:
    assert sorted(PROJECT["entry_points"]) == STEPS


@pytest.mark.parametrize("step", STEPS)
def test_an_entry_point_has_the_parameters_and_defaults_of_its_step(
    step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = PROJECT["entry_points"][step]
    declared = {name: spec["default"] for name, spec in entry["parameters"].items()}
    in_code = defaults_of(step, monkeypatch)
    assert list(declared) == list(in_code)
    for name, default in declared.items():
        assert default == in_code[name].removesuffix(".0")
    words = entry["command"].split()
    assert words[:4] == ["exec", "python", "-m", f"steps.{step}"]
    expected = [word for name in declared for word in (f"--{name}", f"{{{name}}}")]
    assert words[4:] == expected


def test_the_readme_has_one_line_for_each_entry_point() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = text.split("\n## Commands\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| ", commands, re.MULTILINE)
    assert sorted(rows) == STEPS
    assert len(text.splitlines()) <= 130


@pytest.mark.parametrize("step", STEPS)
def test_the_reference_names_each_parameter_with_its_default(step: str) -> None:
    reference = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    section = reference.split(f"\n### {step}\n")[1].split("\n##")[0]
    if "Takes the parameters of [sweep](#sweep)" in section:
        section = reference.split("\n### sweep\n")[1].split("\n##")[0] + section
    rows = re.findall(r"^\| `(\w+)` \| (?:`(.*?)`)? ?\| ", section, re.MULTILINE)
    parameters = PROJECT["entry_points"][step]["parameters"]
    assert rows == [(name, spec["default"]) for name, spec in parameters.items()]


@pytest.mark.parametrize("step", STEPS)
def test_a_step_opens_with_the_command_that_runs_it(step: str) -> None:
    text = importlib.import_module(f"steps.{step}").__doc__ or ""
    assert f"mlflow run . -e {step}" in text


@pytest.mark.parametrize("file", CODE, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_one_way(file: Path) -> None:
    allowed = {
        "custom_model": {"custom_model"},
        "tabular": {"custom_model", "tabular"},
        "steps": {"custom_model", "tabular", "steps"},
    }[file.relative_to(ROOT).parts[0]]
    if file.name == "bundle.py" or file.parent.name == "served":
        allowed = set()
    for node in ast.walk(ast.parse(file.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        ours = {name.split(".")[0] for name in names} & {"custom_model", "tabular", "steps"}
        assert ours <= allowed, f"{file.name} imports {ours}"


def test_two_modules_talk_to_the_registry() -> None:
    pattern = re.compile(r"registered_model|model_version|transition_model")
    users = {p.name for p in CODE if pattern.search(p.read_text())}
    assert users == {"production.py", "registry.py"}


def test_the_environment_files_refer_to_the_one_pinned_list() -> None:
    conda = yaml.safe_load((ROOT / "conda.yaml").read_text())
    python_env = yaml.safe_load((ROOT / "python_env.yaml").read_text())
    version = (ROOT / ".python-version").read_text().strip()
    assert python_env == {"python": version, "dependencies": ["-r requirements.txt"]}
    assert f"python={version}" in conda["dependencies"]
    assert {"pip": ["-r requirements.txt"]} in conda["dependencies"]
    assert PROJECT["python_env"] == "python_env.yaml"


def test_the_list_is_pinned_with_hashes_and_names_no_index() -> None:
    text = (ROOT / "requirements.txt").read_text()
    assert "://" not in text
    pinned = re.findall(r"^([A-Za-z0-9_.-]+)(?:\[[^\]]*\])?==[^ ]+", text, re.MULTILINE)
    blocks = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
    assert len(pinned) == len(blocks) > 50
    assert all("--hash=sha256:" in block for block in blocks)
    wanted = re.findall(r"^([A-Za-z0-9-]+)", (ROOT / "requirements.in").read_text(), re.MULTILINE)
    assert {name.lower() for name in wanted} <= {name.lower() for name in pinned}


def test_no_generated_file_is_tracked() -> None:
    import subprocess

    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    bad = re.compile(r"(^|/)(mlruns|mlartifacts|mlflow\.db|__pycache__|uv\.lock|\.venv)(/|$)")
    assert not [name for name in listed.stdout.splitlines() if bad.search(name)]
