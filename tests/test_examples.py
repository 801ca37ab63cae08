"""The examples print what lies beside them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.clones import copy_tracked, untouched_environment
from tests.conftest import ROOT
from tests.documents import same_output

NOTEBOOK = ROOT / "examples" / "walkthrough.ipynb"
SCRIPTS = sorted(p.stem for p in (ROOT / "examples").glob("*.out"))


def test_each_example_has_its_output_and_its_place_in_the_list() -> None:
    listed = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    files = {p.name for p in (ROOT / "examples").iterdir() if p.is_file()} - {"README.md"}
    assert SCRIPTS
    assert {f"{name}.sh" for name in SCRIPTS} == files & {"iris.sh", "penguins.sh", "energy.sh"}
    assert not {name for name in files if f"({name})" not in listed}


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
def test_an_example_prints_what_is_beside_it(tmp_path: Path, name: str) -> None:
    clone = tmp_path / "clone"
    copy_tracked(clone)
    examples = clone / "examples"
    ended = subprocess.run(
        ["bash", str(examples / f"{name}.sh")],
        cwd=tmp_path,
        env=untouched_environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    same_output(ended.stdout, (examples / f"{name}.out").read_text(encoding="utf-8"))
    assert not (clone / "mlflow.db").exists()
    assert not (clone / "mlruns").exists()


def code_of(notebook: Path) -> list[dict[str, Any]]:
    """The code cells of a notebook."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def text_of(output: dict[str, Any]) -> str:
    return "".join(output["text"] if "text" in output else output["data"]["text/plain"])


def test_the_notebook_was_run_from_top_to_bottom() -> None:
    code = code_of(NOTEBOOK)
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert {output["output_type"] for output in outputs} == {"stream", "execute_result"}
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert "/home/" not in NOTEBOOK.read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_notebook_shows_what_it_gives_now(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    copy_tracked(clone)
    subprocess.run(
        [sys.executable, "run_notebook.py", NOTEBOOK.name],
        cwd=clone / "examples",
        env=untouched_environment(tmp_path),
        check=True,
        timeout=600,
    )
    for cell, shown in zip(
        code_of(clone / "examples" / NOTEBOOK.name), code_of(NOTEBOOK), strict=True
    ):
        kinds = [[sorted(one.get("data", {})) for one in each["outputs"]] for each in (cell, shown)]
        assert kinds[0] == kinds[1]
        for output, before in zip(cell["outputs"], shown["outputs"], strict=True):
            same_output(text_of(output), text_of(before))
