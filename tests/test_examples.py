"""The examples print what lies beside them."""

import subprocess
from pathlib import Path

import pytest

from tests.clones import copy_tracked, untouched_environment
from tests.conftest import ROOT
from tests.documents import same_output

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
