"""Any classifier on any labelled table: figures, cautions, and what is refused."""

import json
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.models import infer_signature
from mlflow.pyfunc.model import PythonModel
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score

from tabular.errors import BadInput
from tabular.jobs.evaluate import Evaluation, evaluate
from tests.conftest import Store
from tests.tables import mixed_table


def run(**options: Any) -> Evaluation:
    given: dict[str, Any] = {
        "model": "models:/mixed/1",
        "data": "iris",
        "target": "",
        "against": "",
        "rows": "all",
        "confidence": 0.95,
        "resamples": 200,
        "seed": 0,
        "say": lambda _: None,
    }
    return evaluate(**{**given, **options})


@pytest.fixture
def fresh(served: Store, tmp_path: Path) -> str:
    """Rows that the model in production has not seen."""
    file = tmp_path / "fresh.csv"
    mixed_table(150, seed=5).to_csv(file, index=False)
    return str(file)


def test_metrics_of_new_rows_are_those_of_the_models_answers(fresh: str) -> None:
    found = run(data=fresh)
    table = mixed_table(150, seed=5)
    said = mlflow.pyfunc.load_model("models:/mixed/1").predict(table)["prediction"]
    expected = accuracy_score(table["label"], np.asarray(said))
    assert found.assessment.metrics["accuracy"].value == pytest.approx(expected)
    assert found.cautions == ()
    logged = mlflow.get_run(found.run_id)
    assert logged.info.status == "FINISHED"
    assert logged.data.metrics["accuracy"] == pytest.approx(expected)
    assert logged.data.metrics["f1_macro_low"] < logged.data.metrics["f1_macro"]
    assert "f1_class_yes" in logged.data.metrics
    files = {f.path for f in mlflow.MlflowClient().list_artifacts(found.run_id)}
    assert files >= {"report.html", "roc.png", "confusion_matrix.png", "slices.csv"}
    page = Path(
        mlflow.artifacts.download_artifacts(run_id=found.run_id, artifact_path="report.html")
    ).read_text(encoding="utf-8")
    assert "curl localhost:5000/invocations" in page
    assert logged.inputs.dataset_inputs[0].tags[0].value == "evaluation"


def test_rows_of_training_are_told_and_can_be_left_out(served: Store) -> None:
    found = run(model="models:/iris/1")
    assert "of 150 rows are among those that models:/iris/1 was trained on" in found.cautions[0]
    unseen = run(model="models:/iris/1", rows="unseen")
    assert unseen.cautions == ()
    version = mlflow.MlflowClient().get_model_version("iris", "1")
    holdout = mlflow.get_run(version.run_id).data.metrics
    assert unseen.assessment.metrics["f1_macro"].value == pytest.approx(holdout["holdout_f1_macro"])


def test_rows_that_cannot_be_scored_or_have_no_label_are_counted(
    served: Store, tmp_path: Path
) -> None:
    table = mixed_table(60, seed=6)
    table["amount"] = table["amount"].astype(object)
    table.loc[3, "amount"] = "plenty"
    table.loc[4, "amount"] = None
    table.loc[5, "label"] = None
    table.to_csv(tmp_path / "t.csv", index=False)
    found = run(data=str(tmp_path / "t.csv"))
    assert found.assessment.rows == 57
    assert found.cautions[0] == "1 rows have no label and are left out."
    assert "2 of 59 rows cannot be scored" in found.cautions[1]
    assert (
        "row 4, column 'amount': expected a finite number, found the text 'plenty'"
        in found.cautions[1]
    )


def test_classes_that_the_model_does_not_know_count_as_wrong(served: Store, tmp_path: Path) -> None:
    table = mixed_table(60, seed=6)
    table.loc[:29, "label"] = "maybe"
    table.to_parquet(tmp_path / "t.parquet")
    found = run(data=str(tmp_path / "t.parquet"))
    assert found.assessment.labels == ("no", "yes", "maybe")
    assert found.assessment.metrics["accuracy"].value <= 0.5
    assert "30 rows are of classes that no model has: maybe" in found.cautions[0]


def test_two_models_are_compared_on_the_same_rows(served: Store, fresh: str) -> None:
    found = run(data=fresh, against="models:/mixed/1")
    assert found.gains["f1_macro"].value == 0
    assert found.gains["log_loss"].p_value == 1
    assert found.against is not None
    flat = mlflow.get_run(found.run_id).data.metrics
    assert flat["against_accuracy"] == flat["accuracy"]
    text = mlflow.artifacts.load_text(f"runs:/{found.run_id}/evaluation.json")
    assert set(json.loads(text)["models"]) == {"models:/mixed/1"}


class Echo(PythonModel):
    """Answers with labels alone, or with something that is none."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
        return self.answer(model_input)


def log_echo(answer: Any) -> str:
    with mlflow.start_run():
        return str(
            mlflow.pyfunc.log_model(
                name="m", python_model=Echo(answer), pip_requirements=["mlflow"]
            ).model_uri
        )


def test_a_model_of_scikit_learn_is_evaluated_with_its_probabilities(store: Store) -> None:
    table = load_iris(as_frame=True).frame
    names = np.array(["setosa", "versicolor", "virginica"])
    features = table.drop(columns="target")
    model = LogisticRegression(max_iter=500).fit(features, names[table["target"]])
    with mlflow.start_run():
        uri = mlflow.sklearn.log_model(
            model,
            name="m",
            signature=infer_signature(features, names),
            pip_requirements=["scikit-learn"],
            serialization_format="cloudpickle",
        ).model_uri
    found = run(model=uri)
    assert found.assessment.metrics["accuracy"].value == model.score(features, names[table.target])
    assert found.assessment.metrics["log_loss"].value < 0.2
    assert "is not known" in found.cautions[0]


def test_a_model_of_labels_alone_has_the_metrics_of_labels(store: Store) -> None:
    uri = log_echo(lambda frame: ["setosa"] * len(frame))
    found = run(model=uri)
    assert "log_loss" not in found.assessment.metrics
    assert found.assessment.metrics["accuracy"].value == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda frame: np.zeros((len(frame), 3)), "the columns output_0"),
        (lambda frame: ["no iris"] * len(frame), "no class in common"),
        (lambda frame: frame["absent"], "150 of 150 rows cannot be scored"),
        (lambda frame: frame.iloc[:, :2], "answers with the columns"),
    ],
)
def test_what_is_no_classifier_of_this_table_is_refused(
    store: Store, answer: Any, words: str
) -> None:
    uri = log_echo(answer)
    with pytest.raises(BadInput, match=words):
        run(model=uri)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model": "models:/nothing/1"}, "not found"),
        ({"model": "/tmp/nowhere"}, "cannot be fetched"),
        ({"data": "iris"}, "column 'amount' is missing in iris"),
        ({"data": "iris", "target": "specis"}, "did you mean 'species'"),
        ({"data": "absent.csv"}, "not found"),
    ],
)
def test_a_mistake_opens_no_run(served: Store, options: dict[str, str], words: str) -> None:
    before = len(mlflow.search_runs(output_format="list"))
    with pytest.raises(BadInput, match=words):
        run(**{"target": "species", **options})
    assert len(mlflow.search_runs(output_format="list")) == before


def test_groups_are_of_features_and_of_other_columns(served: Store, tmp_path: Path) -> None:
    table = mixed_table(150, seed=5)
    table["sex"] = np.where(np.arange(150) % 3, "female", "male")
    table.loc[:3, "sex"] = None
    table.to_csv(tmp_path / "t.csv", index=False)
    found = run(data=str(tmp_path / "t.csv"), by=["sex"])
    assert [part.name for part in found.groups.parts] == [
        "sex = female",
        "sex = male",
        "sex missing",
    ]
    assert found.cautions[-1] == (
        "Groups of fewer than 30 rows, which say little: sex missing (4)."
    )
    logged = mlflow.get_run(found.run_id).data
    difference = logged.metrics["equalized_odds_difference"]
    assert difference == found.groups.gaps["equalized_odds"].value
    table_of_run = mlflow.load_table("by_group.json", run_ids=[found.run_id])
    rows = table_of_run[table_of_run["metric"] == "accuracy"]
    assert rows["rows"].tolist() == [part.rows for part in found.groups.parts]
    both = run(data=str(tmp_path / "t.csv"), by=["sex", "amount"])
    assert all(
        part.name.startswith("sex ") and ", amount " in part.name for part in both.groups.parts
    )
    with pytest.raises(BadInput, match=r"column 'sexe' is not in .*did you mean 'sex'"):
        run(data=str(tmp_path / "t.csv"), by=["sexe"])
