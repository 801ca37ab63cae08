"""The proof of serving: no pickle, and the answers of a server of its own."""

import pickle
import shutil
import zipfile
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from tabular.errors import BadInput
from tabular.gate.prove import prove
from tests.conftest import Store

IRIS = ["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"]


@pytest.fixture
def artifact(served: Store, tmp_path: Path) -> Path:
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(served.uri)
    path = Path(mlflow.artifacts.download_artifacts("models:/iris/1", dst_path=str(tmp_path)))
    mlflow.set_tracking_uri(before)
    return path


def ask(path: Path) -> None:
    rows = pd.DataFrame([[5.1, 3.5, 1.4, 0.2], [6.3, 3.3, 6.0, 2.5]], columns=IRIS)
    prove(path, rows, mlflow.pyfunc.load_model(str(path)).predict(rows))


@pytest.mark.parametrize(
    ("where", "caught"), [("when it is loaded", False), ("when it is asked", True)]
)
def test_a_model_that_unpickles_is_refused(artifact: Path, where: str, caught: bool) -> None:
    (artifact / "artifacts" / "bundle.json.p").write_bytes(pickle.dumps(np.dtype, protocol=0))
    file = artifact / "bundle.py"
    line = "import pickle; pickle.loads(Path(context.artifacts['bundle'] + '.p').read_bytes())"
    lines = [line] if not caught else ["try:", f"    {line}", "except Exception: pass"]
    start = {
        "when it is loaded": "        package = Package(",
        "when it is asked": "        return self.model.predict(",
    }[where]
    text = file.read_text("utf-8")
    assert start in text
    file.write_text(text.replace(start, "".join(f"        {x}\n" for x in lines) + start), "utf-8")
    with pytest.raises(BadInput, match=r"unpickles numpy\.dtype"):
        ask(artifact)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_an_artifact_with_a_pickle_in_it_is_refused(artifact: Path, protocol: int) -> None:
    data = pickle.dumps({"a": np.dtype(float)}, protocol=protocol)
    file = artifact / "artifacts" / "more.json"
    file.write_bytes(data)
    with pytest.raises(BadInput, match=r"more\.json in the artifact"):
        ask(artifact)
    file.unlink()
    with zipfile.ZipFile(artifact / "artifacts" / "pipeline.skops", "a") as archive:
        archive.writestr("model.pkl", data)
    with pytest.raises(BadInput, match=r"model\.pkl in the artifact"):
        ask(artifact)


def test_a_model_that_does_not_start_is_refused(artifact: Path) -> None:
    rows = pd.DataFrame([[5.1, 3.5, 1.4, 0.2], [6.3, 3.3, 6.0, 2.5]], columns=IRIS)
    expected = mlflow.pyfunc.load_model(str(artifact)).predict(rows)
    shutil.rmtree(artifact / "artifacts" / "served")
    with pytest.raises(BadInput, match="does not start"):
        prove(artifact, rows, expected)
