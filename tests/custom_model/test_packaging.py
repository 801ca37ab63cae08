"""The artifact stands alone: without the repo, without pickle, beside another version of itself."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from mlflow.exceptions import MlflowException

from custom_model import packaging
from custom_model.served.trust import load_pipeline
from tabular.table.dataset import load_dataset, make_dataset
from tests.conftest import Store
from tests.custom_model.conftest import local, log


def test_the_artifact_loads_where_the_repo_has_never_been(
    packed: packaging.Packed, store: Store
) -> None:
    script = f"""
import sys, mlflow, pandas as pd
model = mlflow.pyfunc.load_model({packed.info.model_uri!r})
answer = model.predict([[5.1, 3.5, 1.4, 0.2]])
assert list(answer["prediction"]) == ["setosa"], answer
assert not [name for name in sys.modules if name.split(".")[0] in ("custom_model", "tabular")]
"""
    environment = store.environment | {"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
    environment.pop("PYTHONPATH", None)
    subprocess.run([sys.executable, "-c", script], cwd=store.folder, env=environment, check=True)


def changed_code(folder: Path, file: str, right: str, wrong: str) -> Path:
    """A copy of the package with a line changed."""
    copy = folder / "served"
    shutil.copytree(packaging.SERVED_FOLDER, copy, ignore=shutil.ignore_patterns("__pycache__"))
    text = (copy / file).read_text(encoding="utf-8")
    assert right in text
    (copy / file).write_text(text.replace(right, wrong), "utf-8")
    return copy


@pytest.mark.parametrize(
    ("file", "right", "wrong", "answers"),
    [
        ("model.py", '"probability_{label}"', '"share_{label}"', ["share_setosa", "setosa"]),
        (
            "compiled.py",
            "    return _compile(model, behind_preprocessor=False).proba\n",
            "    return lambda table: np.array([[0.0, 0.0, 1.0]])\n",
            ["probability_setosa", "virginica"],
        ),
    ],
)
def test_two_versions_of_the_code_live_in_one_process(
    packed: packaging.Packed,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    file: str,
    right: str,
    wrong: str,
    answers: list[str],
) -> None:
    copy = changed_code(tmp_path, file, right, wrong)
    monkeypatch.setattr(packaging, "SERVED_FOLDER", copy)
    other = log(load_dataset("iris"), "logistic_regression")
    assert other.sha256 != packed.sha256
    row = np.array([[5.1, 3.5, 1.4, 0.2]])
    for version, expected in (
        (packed, ["probability_setosa", "setosa"]),
        (other, answers),
        (packed, ["probability_setosa", "setosa"]),
    ):
        answer = mlflow.pyfunc.load_model(version.info.model_uri).predict(row)
        assert [list(answer)[1], answer["prediction"][0]] == expected


def test_versions_of_the_same_code_share_it(packed: packaging.Packed) -> None:
    other = log(load_dataset("iris"), "random_forest")
    one, two = (
        mlflow.pyfunc.load_model(version.info.model_uri).unwrap_python_model()
        for version in (packed, other)
    )
    assert type(one) is not type(two)
    assert type(one.model) is type(two.model)


def test_what_was_not_proved_is_answered_by_the_pipeline(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packaging, "prove_compiled", lambda *_: {"proved": False, "reason": "x"})
    model = mlflow.pyfunc.load_model(
        log(load_dataset("iris"), "hist_gradient_boosting").info.model_uri
    )
    assert model.unwrap_python_model().few is None
    assert model.predict([[5.1, 3.5, 1.4, 0.2]])["prediction"].tolist() == ["setosa"]


def test_a_compiled_model_that_fails_is_replaced_by_the_pipeline(
    packed: packaging.Packed, caplog: pytest.LogCaptureFixture
) -> None:
    model = mlflow.pyfunc.load_model(packed.info.model_uri)

    def fails(table: object) -> None:
        raise ZeroDivisionError

    model.unwrap_python_model().model.few = fails
    assert model.predict(np.array([[5.1, 3.5, 1.4, 0.2]]))["prediction"].tolist() == ["setosa"]
    assert "the pipeline answers" in caplog.text


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("trees.py", "from sklearn.tree._tree import Tree\n"),  # a module that is gone
        ("compiled.py", "    return _compile(model, behind_preprocessor=False).proba\n"),
    ],
)
def test_a_model_that_does_not_compile_is_answered_by_the_pipeline(
    packed: packaging.Packed,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    file: str,
    line: str,
) -> None:
    wrong = line.replace("_tree ", "_nowhere ").replace("_compile(model", "_compile(model.renamed")
    monkeypatch.setattr(packaging, "SERVED_FOLDER", changed_code(tmp_path, file, line, wrong))
    model = mlflow.pyfunc.load_model(log(load_dataset("iris"), "random_forest").info.model_uri)
    assert model.unwrap_python_model().few is None
    assert "could not be compiled" in caplog.text
    assert model.predict([[5.1, 3.5, 1.4, 0.2]])["prediction"].tolist() == ["setosa"]


def test_a_model_server_gets_rows_and_python_a_frame(
    packed: packaging.Packed, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = [[5.1, 3.5, 1.4, 0.2]]
    frame = mlflow.pyfunc.load_model(packed.info.model_uri).predict(row)
    assert isinstance(frame, pd.DataFrame)
    python = mlflow.pyfunc.load_model(packed.info.model_uri).unwrap_python_model()
    python.model.serves = True
    assert python.predict(None, row) == frame.to_dict("records")


def test_a_file_of_untrusted_types_is_refused(tmp_path: Path) -> None:
    import skops.io

    class Stranger:
        pass

    skops.io.dump({"a": Stranger()}, tmp_path / "model.skops")
    with pytest.raises(MlflowException, match="not trusted"):
        load_pipeline(tmp_path / "model.skops")


def test_the_model_says_what_it_takes_and_gives(packed: packaging.Packed) -> None:
    model = yaml.safe_load((local(packed) / "MLmodel").read_text())
    assert model["signature"]["inputs"] is None
    outputs = [column["name"] for column in json.loads(model["signature"]["outputs"])]
    assert outputs[:2] == ["prediction", "probability_setosa"]
    first = model["metadata"]["input_columns"][0]
    assert first == {"name": "sepal length (cm)", "kind": "number", "required": True}


def test_requirements_are_pinned_and_few(packed: packaging.Packed) -> None:
    lines = (local(packed) / "requirements.txt").read_text().split()
    assert all("==" in line for line in lines)
    assert "optuna" not in " ".join(lines)


def test_labels_keep_their_type(store: Store) -> None:
    answer = mlflow.pyfunc.load_model(log(load_dataset("digits"), "k_neighbors").info.model_uri)
    row = load_dataset("digits").typed[:1]
    assert answer.predict(row).to_dict("records")[0]["prediction"] == 0
    assert list(answer.predict(row))[1] == "probability_0"


def test_positions_follow_the_table_also_where_a_constant_column_was_left_out(
    store: Store,
) -> None:
    dataset = load_dataset("digits")
    model = mlflow.pyfunc.load_model(log(dataset, "k_neighbors").info.model_uri)
    assert (len(dataset.table_columns), len(dataset.columns)) == (64, 61)
    expected = model.predict(dataset.typed[:1])
    width_64 = dataset.typed[:1].reindex(columns=list(dataset.table_columns), fill_value=0.0)
    for rows in (width_64.to_numpy(), dataset.typed[:1].to_numpy()):
        assert model.predict(rows).equals(expected)


def test_names_win_over_positions_also_where_they_are_numbers(store: Store) -> None:
    table = load_dataset("iris").labelled(np.ones(150, dtype=bool))
    table.columns = ["3", "1", "0", "2", "y"]
    dataset = make_dataset(table, "y", name="t", source="t")
    model = mlflow.pyfunc.load_model(log(dataset, "logistic_regression").info.model_uri)
    rows = table.drop(columns="y")[::30].reset_index(drop=True)
    expected = model.predict(rows)
    by_number = rows.set_axis([3, 1, 0, 2], axis=1)
    for same in (by_number, by_number[[0, 1, 2, 3]], rows.to_numpy(), rows[["0", "1", "2", "3"]]):
        pd.testing.assert_frame_equal(model.predict(same), expected)


def test_a_column_that_looks_like_a_doubled_heading_is_served(store: Store) -> None:
    table = load_dataset("iris").labelled(np.ones(150, dtype=bool))
    table.columns = ["x", "a", "b", "c", "x.1"]
    dataset = make_dataset(table, "x.1", name="t", source="t")
    model = mlflow.pyfunc.load_model(log(dataset, "logistic_regression").info.model_uri)
    assert len(model.predict(table)) == 150
