"""The project from a clean copy, in environments that MLflow builds."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.clones import copy_tracked, untouched_environment
from tests.conftest import serving

pytestmark = pytest.mark.slow


def run(command: str, folder: Path, env: dict[str, str]) -> str:
    ended = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, f"{command}\n{ended.stdout[-3000:]}\n{ended.stderr[-3000:]}"
    return ended.stdout


@pytest.mark.parametrize("manager", ["", " --env-manager uv"], ids=["pyenv", "uv"])
def test_the_commands_run_word_for_word_in_a_new_environment(tmp_path: Path, manager: str) -> None:
    tool = "uv" if manager else "pyenv"
    env = untouched_environment(tmp_path)
    if shutil.which(tool, path=env["PATH"]) is None:
        pytest.skip(f"{tool} is not installed")
    clone = tmp_path / "clone"
    copy_tracked(clone)
    out = run(f"mlflow run . -e sweep{manager}", clone, env)
    assert "iris version 1: f1_macro" in out
    out = run(f"mlflow run . -e promote{manager}", clone, env)
    assert "iris version 1 goes to Production" in out
    serve = f"mlflow models serve -m models:/iris/Production{manager}"
    with serving(serve, clone, env) as server:
        answer = server.post({"inputs": [[5.1, 3.5, 1.4, 0.2]]})
    assert answer.json()["predictions"][0]["prediction"] == "setosa"
