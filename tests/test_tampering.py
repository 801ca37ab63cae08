"""A registered version whose files were changed is refused by whatever loads it.

Of `promote`, tests/tabular/jobs/test_promote.py tells the same.
"""

import importlib.util
import py_compile
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
import pytest

from custom_model.artifact import bundle_sha256
from steps import evaluate, monitor, score
from tabular.errors import BadInput
from tabular.models.load import load_model
from tabular.store.artifacts import fetch_model
from tests.conftest import ROOT, Store

MODEL = "models:/iris/Production"
COMMANDS = {
    "score": lambda: score.main(["--model", MODEL, "--data", "iris", "--output", "out.csv"]),
    "evaluate": lambda: evaluate.main(["--model", MODEL, "--data", "iris"]),
    "monitor": lambda: monitor.main(["--model", MODEL, "--data", "iris"]),
}


def change(file: Path) -> None:
    before = file.read_bytes()
    file.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))


def add(file: Path) -> None:
    file.with_name(f"{file.stem}_more{file.suffix}").write_bytes(file.read_bytes())


@pytest.fixture
def artifact(folder: Path) -> Iterator[Path]:
    """Where the store keeps the version in production; it is put back afterwards."""
    kept = Path(mlflow.artifacts.download_artifacts(MODEL))
    shutil.copytree(kept, folder / "before")
    yield kept
    shutil.rmtree(kept)
    shutil.copytree(folder / "before", kept)


@pytest.mark.parametrize("how", [change, add, Path.unlink], ids=["changed", "added", "removed"])
def test_a_version_with_any_file_changed_added_or_removed_is_not_loaded(
    artifact: Path, folder: Path, how: Callable[[Path], None]
) -> None:
    before = folder / "before"
    fetch_model(MODEL, folder / "untouched")
    names = [file.relative_to(before) for file in before.rglob("*") if file.is_file()]
    names = [n for n in names if n.name != "registered_model_meta" and n.suffix != ".pyc"]
    assert len(names) > 15
    for name in names:
        how(artifact / name)
        target = folder / "fetched" / name
        target.mkdir(parents=True)
        with pytest.raises(BadInput, match=r"models:/iris/1 (is not what was|cannot be)"):
            fetch_model(MODEL, target)
        shutil.rmtree(artifact)
        shutil.copytree(before, artifact)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_refuses_a_changed_version(
    artifact: Path, folder: Path, command: str, capfd: pytest.CaptureFixture[str]
) -> None:
    change(artifact / "artifacts" / "profile.json")
    with pytest.raises(BadInput, match="models:/iris/1 is not what was registered"):
        COMMANDS[command]()
    assert not (folder / "out.csv").exists()


def image(folder: Path) -> Path:
    """What docker/serving.Dockerfile copies into the image's /srv."""
    text = (ROOT / "docker" / "serving.Dockerfile").read_text()
    for files, place in re.findall(r"^COPY (.+) /srv/(\S*)$", text, re.MULTILINE):
        (folder / place).mkdir(parents=True, exist_ok=True)
        for file in files.split():
            shutil.copy(ROOT / file, folder / place)
    return folder


def test_the_model_server_of_the_stack_refuses_a_changed_version(
    artifact: Path, folder: Path, served: Store
) -> None:
    change(artifact / "artifacts" / "profile.json")
    environment = served.environment | {
        "MODEL_NAME": "iris",
        "UVICORN_UDS": str(folder / "model.sock"),
    }
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [sys.executable, str(image(folder / "srv") / "serve.py")],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "models:/iris/1 is not what was registered: a file of its artifact was changed, added or "
        "removed"
    )
    assert "serving" not in done.stdout


def test_the_images_may_take_what_they_copy() -> None:
    allowed = [
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if "!" in line
    ]
    for file in (ROOT / "docker").glob("*.Dockerfile"):
        for names in re.findall(r"^COPY (.+) \S+$", file.read_text(), re.MULTILINE):
            for name in names.split():
                assert any(Path(name).match(one) for one in allowed), name


def test_bytecode_in_the_store_is_never_run(artifact: Path, folder: Path, tmp_path: Path) -> None:
    """MLflow itself leaves some there, so it is no part of the hash."""
    source = tmp_path / "bundle.py"
    lines = f"import pathlib; pathlib.Path({str(folder / 'ran')!r}).touch()\n"
    source.write_text(lines + (artifact / "bundle.py").read_text())
    file = importlib.util.cache_from_source(str(artifact / "bundle.py"))
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(str(source), cfile=file, invalidation_mode=mode)
    assert bundle_sha256(artifact) == bundle_sha256(folder / "before")
    load_model(MODEL, str(folder))
    assert not (folder / "ran").exists()
    mlflow.pyfunc.load_model(str(artifact))
    assert (folder / "ran").exists(), "it would be run"
