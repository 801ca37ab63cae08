"""The commands: from a table to production."""

import json
import shlex
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from steps import main, promote, rollback, train
from tests.conftest import Store
from tests.snapshots import once
from tests.tables import mixed_table

METRICS = (
    *("f1_macro", "f1_weighted", "accuracy", "balanced_accuracy", "precision_macro"),
    *("recall_macro", "log_loss", "roc_auc", "brier", "average_precision", "mcc", "cohen_kappa"),
    *("ks", "lift_10"),
)
ARTIFACTS = {
    *("confusion_matrix.png", "classification_report.txt", "classification_report.json", "roc.png"),
    *("precision_recall.png", "calibration.png", "feature_importance.png", "report.html"),
    *("holdout.parquet", "training_rows.parquet"),
}
TAGS = {
    *("dataset", "data_digest", "holdout_digest", "classifier", "f1_macro", "bundle_sha256"),
    "git_commit",
}


@pytest.fixture
def mixed(store: Store) -> str:
    file = store.folder / "mixed.csv"
    mixed_table().to_csv(file, index=False)
    return str(file)


def train_mixed() -> None:
    mixed_table().to_csv("mixed.csv", index=False)
    train.main(["--data", "mixed.csv", "--target", "label", "--C", "0.5"])


def test_a_registered_version_carries_all_that_is_promised(store: Store) -> None:
    once(train_mixed)
    client = MlflowClient()
    version = client.get_model_version("mixed", "1")
    run = client.get_run(version.run_id or "")
    assert run.info.status == "FINISHED"
    names = {f"{side}_{metric}" for side in ("holdout", "cv") for metric in METRICS}
    assert names | {"holdout_f1_class_yes", "holdout_f1_class_no"} == set(run.data.metrics)
    assert run.data.params == {
        "data": "mixed.csv",
        "target": "label",
        "model_name": "",
        "seed": "42",
        **dict.fromkeys(("group", "time", "weight"), ""),
        "classifier": "logistic_regression",
        "C": "0.5",
    }
    assert {file.path for file in client.list_artifacts(run.info.run_id)} == ARTIFACTS
    assert set(version.tags) == TAGS
    assert version.description.startswith("logistic_regression on mixed: f1_macro 0.")
    sentence, table, *_, call = version.description.split("\n\n")
    assert sentence.endswith("features and 2 classes.")
    assert "| `note` | text |  |" in table and "| `plan` | category | `" in table
    row = json.loads(shlex.split(call)[-2])["inputs"][0]
    load = mlflow.pyfunc.load_model("models:/mixed/1")
    assert load.predict(pd.DataFrame([row]))["prediction"].tolist()[0] in ("yes", "no")
    model = client.get_registered_model("mixed")
    assert model.description.startswith("Predicts `label` (`no`, `yes`) from the table `mixed`.")
    logged = run.inputs.dataset_inputs[0].dataset
    columns = {c["name"]: c["type"] for c in json.loads(logged.schema)["mlflow_colspec"]}
    assert (columns["amount"], columns["plan"], columns["joined"]) == (
        "double",
        "string",
        "datetime",
    )
    assert logged.digest == version.tags["data_digest"]


def test_the_holdout_can_be_read_again_and_scores_as_logged(store: Store) -> None:
    once(train_mixed)
    version = MlflowClient().get_model_version("mixed", "1")
    holdout = pd.read_parquet(
        mlflow.artifacts.download_artifacts(run_id=version.run_id, artifact_path="holdout.parquet")
    )
    answer = mlflow.pyfunc.load_model("models:/mixed/1").predict(holdout.drop(columns="label"))
    hits = (np.asarray(answer["prediction"]) == holdout["label"].to_numpy()).mean()
    metrics = mlflow.get_run(version.run_id).data.metrics
    assert hits == pytest.approx(metrics["holdout_accuracy"])


@pytest.mark.usefixtures("unproven")
def test_main_goes_from_nothing_to_production(store: Store, mixed: str, capsys: Any) -> None:
    main.main(["--data", mixed, "--target", "label", "--trials", "2", "--jobs", "1"])
    assert MlflowClient().get_model_version_by_alias("mixed", "champion").version == 1
    assert "mixed version 1 goes to Production" in capsys.readouterr().out
    answer = mlflow.pyfunc.load_model("models:/mixed@champion").predict(mixed_table(5))
    assert set(answer["prediction"]) <= {"yes", "no"}


@pytest.mark.usefixtures("unproven")
def test_promote_is_a_cycle_that_ends_where_it_is(store: Store, capsys: Any) -> None:
    for cost in ("0.0001", "10"):
        train.main(["--C", cost])
    promote.main(["--version", "1"])
    promote.main(["--mode", "best", "--dry_run", "true"])
    assert "version 2 would go to Production" in capsys.readouterr().out
    assert MlflowClient().get_model_version_by_alias("iris", "champion").version == 1
    promote.main(["--mode", "best"])
    promote.main([])
    assert "version 2 stays in Production" in capsys.readouterr().out
    rollback.main([])
    assert "iris version 1 is in Production: back from version 2" in capsys.readouterr().out
    assert MlflowClient().get_model_version_by_alias("iris", "champion").version == 1


def test_a_run_that_mlflow_has_opened_is_joined(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = MlflowClient()
    opened = client.create_run(mlflow.get_experiment_by_name("tests").experiment_id)
    client.log_param(opened.info.run_id, "seed", "042")
    monkeypatch.setenv("MLFLOW_RUN_ID", opened.info.run_id)
    train.main(["--seed", "042"])
    assert client.get_model_version("iris", "1").run_id == opened.info.run_id


# --- the user's own tables ----------------------------------------------------------------------


def write(store: Store, frame: pd.DataFrame) -> list[str]:
    frame.to_csv(store.folder / "own.csv", index=False)
    return ["--data", str(store.folder / "own.csv"), "--target", "y"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["logistic_regression"],
        ["random_forest", "--n_estimators", "20"],
        ["hist_gradient_boosting", "--max_iter", "20"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_classes_of_one_or_two_rows_train(store: Store, arguments: list[str]) -> None:
    rng = np.random.default_rng(0)
    labels = ["a"] * 40 + ["b"] * 40 + ["two"] * 2 + ["one"]
    frame = pd.DataFrame({"x": rng.normal(size=83), "z": rng.normal(size=83), "y": labels})
    train.main([*write(store, frame), "--classifier", *arguments])
    answer = mlflow.pyfunc.load_model("models:/own/1").predict(frame)
    assert list(answer.columns[1:]) == [f"probability_{c}" for c in ("a", "b", "one", "two")]


def test_more_columns_than_rows_train(store: Store) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(30, 40))).add_prefix("gene ").assign(y=["a", "b"] * 15)
    train.main(write(store, frame))
    assert MlflowClient().get_model_version("own", "1")


def test_headings_and_labels_of_any_character_train_and_serve(store: Store) -> None:
    rng = np.random.default_rng(0)
    names = ['quote " and, comma', "üñí", "a/b:c;d", "$x^2$", "<b>&amp;</b>"]
    frame = pd.DataFrame(rng.normal(size=(60, 5)), columns=names)
    frame["y"] = np.where(frame["üñí"] > 0, "<=50K & “more”", "$lots$ / 100%")
    train.main(write(store, frame))
    answer = mlflow.pyfunc.load_model("models:/own/1").predict(frame)
    assert (np.asarray(answer["prediction"]) == frame["y"]).mean() > 0.9
