"""The project from a clean copy: environments that MLflow builds, and the README's commands."""

import json
import os
import re
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, Store, serving

pytestmark = pytest.mark.slow

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The tracked files, as they are now, in an empty folder."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        target = tmp_path / "clone" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
    return tmp_path / "clone"


def environment(folder: Path) -> dict[str, str]:
    """MLflow's defaults, but environments in a folder of their own."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
    path = Store("", folder).environment["PATH"]
    return kept | {"PATH": path, "MLFLOW_ENV_ROOT": str(folder / "envs")}


def run(command: str, folder: Path, env: dict[str, str]) -> str:
    ended = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, f"{command}\n{ended.stdout[-3000:]}\n{ended.stderr[-3000:]}"
    return ended.stdout


@pytest.mark.parametrize("manager", ["", " --env-manager uv"], ids=["pyenv", "uv"])
def test_the_commands_run_word_for_word_in_a_new_environment(clone: Path, manager: str) -> None:
    tool = "uv" if manager else "pyenv"
    env = environment(clone.parent)
    if shutil.which(tool, path=env["PATH"]) is None:
        pytest.skip(f"{tool} is not installed")
    out = run(f"mlflow run . -e sweep{manager}", clone, env)
    assert "iris version 1: f1_macro" in out
    out = run(f"mlflow run . -e promote{manager}", clone, env)
    assert "iris version 1 goes to Production" in out
    serve = f"mlflow models serve -m models:/iris/Production{manager}"
    with serving(serve, clone, env) as server:
        answer = server.post({"inputs": [[5.1, 3.5, 1.4, 0.2]]})
    assert answer.json()["predictions"][0]["prediction"] == "setosa"


def test_every_command_of_the_readme_does_what_it_says(clone: Path) -> None:
    env = environment(clone.parent)
    with ExitStack() as servers:
        url = ""
        for (kind, text), (next_kind, shown) in zip(BLOCKS, [*BLOCKS[1:], ("", "")], strict=True):
            if kind != "sh" or text == "pytest\n":
                continue
            if text.startswith("python3.12 -m venv"):
                text = text.split("&&")[-1]  # the packages are those of this test
            if "mlflow models serve" in text:
                url = servers.enter_context(serving(text.strip(), clone, env)).url
                continue
            out = run(text.replace("localhost:5000", url.removeprefix("http://")), clone, env)
            if next_kind == "json":
                same_answer(json.loads(out), json.loads(shown))


def same_answer(found: Any, shown: Any) -> None:
    """Equal, but for a search on another number of cores: probabilities within 0.1."""
    if "predictions" not in shown:
        assert found == shown
        return
    for row, expected in zip(found["predictions"], shown["predictions"], strict=True):
        assert list(row) == list(expected)
        assert row["prediction"] == expected["prediction"]
        for name in list(expected)[1:]:
            assert row[name] == pytest.approx(expected[name], abs=0.1)
