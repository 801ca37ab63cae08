"""A version that an earlier state of this project logged: logistic regression on iris, one file."""

import zipfile
from pathlib import Path

import mlflow
import numpy as np
import pytest

from custom_model.artifact import bundle_sha256
from tests.conftest import Store

FILE = Path(__file__).with_name("version_of_2026_11.zip")
SHA256 = "819ee267431f6e74c2d7a12b5035fd0ef5529590eb892698f2140bd143c2c723"
ROWS = np.array([[5.1, 3.5, 1.4, 0.2], [6.3, 3.3, 6.0, 2.5], [5.9, 3.0, 4.2, 1.5]])
LABELS = ["setosa", "virginica", "versicolor"]
PROBA = [
    [0.9827573094351727, 0.017242298849058264, 3.917157690789934e-07],
    [3.524694214623312e-05, 0.008760300849961537, 0.9912044522078922],
    [0.03606444805514572, 0.7957476558633122, 0.16818789608154214],
]


@pytest.fixture
def older(tmp_path: Path) -> Path:
    with zipfile.ZipFile(FILE) as archive:
        archive.extractall(tmp_path / "older")
    return tmp_path / "older"


def assert_answers(path: Path) -> None:
    answer = mlflow.pyfunc.load_model(str(path)).predict(ROWS)
    assert answer["prediction"].tolist() == LABELS
    np.testing.assert_allclose(answer.drop(columns="prediction"), PROBA, rtol=1e-13)


def test_it_answers_as_it_did(older: Path) -> None:
    assert_answers(older)


def test_it_answers_so_before_and_after_a_new_one(older: Path, served: Store) -> None:
    mlflow.set_tracking_uri(served.uri)
    for _ in range(2):
        assert_answers(older)
        new = mlflow.pyfunc.load_model("models:/iris/1")
        assert new.predict(ROWS)["prediction"].tolist() == LABELS


def test_its_hash_is_of_the_four_files_that_decide_an_answer(older: Path) -> None:
    assert bundle_sha256(older) == SHA256
    (older / "MLmodel").write_text("")
    assert bundle_sha256(older) == SHA256
    for name in ("bundle.py", "artifacts/compiled.py", "artifacts/bundle.json"):
        text = (older / name).read_bytes()
        (older / name).write_bytes(text + b" ")
        assert bundle_sha256(older) != SHA256
        (older / name).write_bytes(text)
    (older / "artifacts" / "pipeline.skops").unlink()
    with pytest.raises(OSError, match=r"pipeline\.skops"):
        bundle_sha256(older)
