"""The hash of an artifact covers every file that decides an answer, and no other."""

import importlib.util
import py_compile
import shutil
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest

from custom_model import packaging
from custom_model.artifact import bundle_sha256
from tabular.models.load import load_model
from tests.conftest import Store
from tests.custom_model.conftest import local


def register(packed: packaging.Packed) -> None:
    mlflow.register_model(packed.info.model_uri, "iris")
    mlflow.MlflowClient().set_model_version_tag("iris", "1", "bundle_sha256", packed.sha256)


def plant_bytecode(beside: Path, folder: Path) -> None:
    """Puts bytecode that Python would run in the place of a file, whatever is in it."""
    planted = folder / "planted.py"
    planted.write_text("raise SystemExit('the planted bytecode has run')")
    place = importlib.util.cache_from_source(str(beside))
    unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(str(planted), place, invalidation_mode=unchecked)


def test_the_artifact_holds_no_pickle(packed: packaging.Packed) -> None:
    names = sorted(p.relative_to(local(packed)).as_posix() for p in local(packed).rglob("*.*"))
    assert "bundle.py" in names
    assert "artifacts/pipeline.skops" in names
    assert not [name for name in names if name.endswith((".pkl", ".pickle", ".joblib"))]


def test_the_hash_covers_every_file_of_the_artifact(
    packed: packaging.Packed, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(local(packed), tmp_path / "artifact"))
    assert bundle_sha256(folder) == packed.sha256
    (folder / "registered_model_meta").unlink()  # MLflow's, of the download
    shutil.rmtree(folder / "__pycache__", ignore_errors=True)
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert len(files) > 15
    for file in files:
        before = file.read_bytes()
        file.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
        assert bundle_sha256(folder) != packed.sha256, file
        file.unlink()
        assert bundle_sha256(folder) != packed.sha256, file
        file.write_bytes(before)
    for name in ("more.py", "artifacts/more.json", "artifacts/served/columns.cpython-312.so"):
        (folder / name).write_text("")
        assert bundle_sha256(folder) != packed.sha256, name
        (folder / name).unlink()
    assert bundle_sha256(folder) == packed.sha256


def test_what_mlflow_writes_beside_a_version_does_not_change_its_hash(
    packed: packaging.Packed, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    mlflow.register_model(packed.info.model_uri, "iris")
    folder = Path(mlflow.artifacts.download_artifacts("models:/iris/1"))
    mlflow.pyfunc.load_model(str(folder))
    assert (folder / "registered_model_meta").exists()
    assert bundle_sha256(folder) == packed.sha256
    served = sorted(file.name for file in (folder / "artifacts" / "served").iterdir())
    assert served == sorted(file.name for file in packaging.SERVED_FOLDER.glob("*.py"))


def test_bytecode_that_was_left_in_the_store_is_never_run(
    packed: packaging.Packed, store: Store, tmp_path: Path
) -> None:
    register(packed)
    plant_bytecode(local(packed) / "bundle.py", tmp_path)
    with pytest.raises(SystemExit, match="planted"):
        mlflow.pyfunc.load_model(str(local(packed)))
    assert load_model("models:/iris/1", str(tmp_path)).classes[0] == "setosa"


LOAD = "import mlflow, sys; mlflow.pyfunc.load_model(sys.argv[1])"


def test_loaded_where_it_lies_a_version_neither_runs_nor_writes_bytecode_of_the_served_package(
    packed: packaging.Packed, store: Store, tmp_path: Path
) -> None:
    register(packed)
    first, *others = sorted((local(packed) / "artifacts" / "served").glob("*.py"))
    for file in others:
        plant_bytecode(file, tmp_path)
    subprocess.run([sys.executable, "-c", LOAD, local(packed)], check=True)
    assert [*local(packed).glob("__pycache__/bundle.*.pyc")], "MLflow writes that of bundle.py"
    assert not [*local(packed).glob(f"artifacts/**/{first.stem}.*.pyc")]
    assert load_model("models:/iris/1", str(tmp_path)).classes[0] == "setosa"
