"""The commands: from a table to production, and one line for every mistake."""

import importlib
import json
import shlex
import subprocess
import sys
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from steps import Parser, headings, main, promote, rollback, run_step, train
from tabular.jobs import promote as promotion
from tests.conftest import ROOT, Store
from tests.tables import mixed_table

STEPS = sorted(p.stem for p in (ROOT / "steps").glob("*.py") if p.stem != "__init__")
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


def run_module(store: Store, step: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command as MLproject has it."""
    return subprocess.run(
        [sys.executable, "-m", f"steps.{step}", *arguments],
        cwd=ROOT,
        env=store.environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_registered_version_carries_all_that_is_promised(store: Store, mixed: str) -> None:
    train.main(["--data", mixed, "--target", "label", "--C", "0.5"])
    client = MlflowClient()
    version = client.get_model_version("mixed", "1")
    run = client.get_run(version.run_id or "")
    assert run.info.status == "FINISHED"
    names = {f"{side}_{metric}" for side in ("holdout", "cv") for metric in METRICS}
    assert names | {"holdout_f1_class_yes", "holdout_f1_class_no"} == set(run.data.metrics)
    assert run.data.params == {
        "data": mixed,
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


def test_the_holdout_can_be_read_again_and_scores_as_logged(store: Store, mixed: str) -> None:
    train.main(["--data", mixed, "--target", "label"])
    version = MlflowClient().get_model_version("mixed", "1")
    holdout = pd.read_parquet(
        mlflow.artifacts.download_artifacts(run_id=version.run_id, artifact_path="holdout.parquet")
    )
    answer = mlflow.pyfunc.load_model("models:/mixed/1").predict(holdout.drop(columns="label"))
    hits = (np.asarray(answer["prediction"]) == holdout["label"].to_numpy()).mean()
    metrics = mlflow.get_run(version.run_id).data.metrics
    assert hits == pytest.approx(metrics["holdout_accuracy"])


def test_main_goes_from_nothing_to_production(store: Store, mixed: str, capsys: Any) -> None:
    main.main(["--data", mixed, "--target", "label", "--trials", "2", "--jobs", "1"])
    assert MlflowClient().get_model_version_by_alias("mixed", "champion").version == 1
    assert "mixed version 1 goes to Production" in capsys.readouterr().out
    answer = mlflow.pyfunc.load_model("models:/mixed@champion").predict(mixed_table(5))
    assert set(answer["prediction"]) <= {"yes", "no"}


def test_promote_is_a_cycle_that_ends_where_it_is(
    store: Store, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(promotion, "prove", lambda *_: None)  # it has tests of its own
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
    frame = pd.DataFrame(rng.normal(size=(30, 60))).add_prefix("gene ").assign(y=["a", "b"] * 15)
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


# --- mistakes -----------------------------------------------------------------------------------

MISTAKES: list[tuple[str, list[str], list[str]]] = [
    ("train", ["--data", "irs"], ["'irs' not found", "did you mean 'iris'"]),
    ("train", ["--data", "absent.csv", "--target", "y"], ["'absent.csv' not found"]),
    ("train", ["--target", "specis"], ["'specis' not found", "did you mean 'species'"]),
    ("train", ["--classifier", "svm"], ["unknown value 'svm'", "did you mean 'svc'"]),
    ("train", ["--c", "1"], ["no hyperparameter 'c'", "did you mean 'C'"]),
    ("train", ["--C", "-1"], ["'C' parameter of LogisticRegression must be", "-1"]),
    ("train", ["--C", "ten"], ["'C' parameter", "'ten'"]),
    ("train", ["--seed", "x"], ["expected a whole number, found 'x'"]),
    ("train", ["--seed", "-1"], ["expected 0 to"]),
    ("train", ["--seed"], ["expected one argument"]),
    ("train", ["--model_name", "a/b"], ["without '/', ':' and quotes"]),
    ("train", ["--model_name", "."], ["quotes, found '.'"]),
    ("train", ["--C", "{[]:1}"], ["'C' parameter", "'{[]:1}'"]),
    ("train", ["--class_weight", "{0:1}"], ["class_weight is 'balanced' or None"]),
    ("train", ["--data", f"{'x' * 300}.csv"], ["not found"]),
    ("train", ["--classifier", "k_neighbors", "--metric_params", "{'w':3}"], ["cannot be fitted"]),
    ("sweep", ["--trails", "3"], ["unknown parameter 'trails'", "did you mean 'trials'"]),
    ("sweep", ["--trials", "0"], ["expected 1 to"]),
    ("sweep", ["--timeout", "-5"], ["expected seconds", "'-5'"]),
    ("sweep", ["--metric", "f1"], ["unknown value 'f1'", "possible: f1_macro"]),
    ("sweep", ["--classifiers", "svc,forest"], ["unknown value 'forest'"]),
    ("sweep", ["--jobs", "0"], ["expected 1 to", "or -1"]),
    ("sweep", ["--resume", "nothing"], ["no run 'nothing' to resume"]),
    ("promote", ["--model_name", "irs"], ["'irs' has no registered version"]),
    ("promote", ["--dry_run", "maybe"], ["expected true or false, found 'maybe'"]),
    ("promote", ["--confidence", "2"], ["expected 0.5 to 0.9999, found '2'"]),
    ("promote", ["--mode", "bst"], ["did you mean 'best'"]),
    ("rollback", ["--model_name", "irs"], ["'irs' has no registered version"]),
    ("main", ["--data", "iris", "iris"], ["unexpected argument 'iris'"]),
]


def mistaken(store: Store, step: str, arguments: list[str], capfd: Any) -> str:
    """What a command that ends with exit code 2 and leaves nothing behind says."""
    module = importlib.import_module(f"steps.{step}")
    with pytest.raises(SystemExit) as ended:
        run_step(lambda: module.main(arguments))
    assert ended.value.code == 2
    said: str = capfd.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert mlflow.search_runs(output_format="list") == []
    assert MlflowClient().search_registered_models() == []
    return said


@pytest.mark.parametrize(("step", "arguments", "words"), MISTAKES)
def test_a_mistake_ends_in_one_line_and_leaves_nothing(
    store: Store, step: str, arguments: list[str], words: list[str], capfd: Any
) -> None:
    said = mistaken(store, step, arguments, capfd)
    for word in words:
        assert word in said


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "cannot be read"),
        ("x,y\n", "no rows"),
        ("x,y\n1.5,a\n2.5,a\n", "one class only"),
        ("x,y\n1.5,a\n2.5,b\n", "class of its own"),
        ("x,y\n1,a\n1,a\n1,b\n1,b\n", "no column is left"),
        ("x,y\n1.5,a\n1.5,a\n2.5,b\n2.5,b\n", "too few rows"),
    ],
)
def test_a_table_that_cannot_be_learned_from_ends_in_one_line(
    store: Store, content: str, words: str, capfd: Any
) -> None:
    (store.folder / "t.csv").write_text(content)
    arguments = ["--data", str(store.folder / "t.csv"), "--target", "y"]
    assert words in mistaken(store, "train", arguments, capfd)


def test_a_mistake_ends_the_process_with_exit_code_2(store: Store) -> None:
    ended = run_module(store, "train", "--data", "irs")
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: data 'irs' not found")
    assert ended.stderr.count("\n") == 1


def test_a_run_that_fails_midway_is_closed_and_registers_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifacts = store.folder / "artifacts"
    artifacts.write_text("a file where a folder should be")
    with pytest.raises(OSError, match="artifacts"):
        train.main([])
    [run] = mlflow.search_runs(output_format="list")
    assert run.info.status == "FAILED"
    assert MlflowClient().search_registered_models() == []


@pytest.mark.parametrize("step", STEPS)
def test_a_parameter_that_is_no_free_text_refuses_other_text_in_one_line(
    step: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    declared: dict[str, Any] = {}
    real = Parser.option

    def spy(self: Parser, name: str, default: object, read: Any, text: str) -> None:
        declared[name] = read
        real(self, name, default, read, text)

    monkeypatch.setattr(Parser, "option", spy)
    run = importlib.import_module(f"steps.{step}").main
    with pytest.raises(SystemExit):
        run(["--help"])
    capsys.readouterr()
    for name in [name for name, read in declared.items() if read not in (str, headings)]:
        with pytest.raises(SystemExit) as ended:
            run([f"--{name}", "a:b'"])
        captured = capsys.readouterr()
        assert ended.value.code == 2
        assert (
            captured.err.startswith(f"error: argument --{name}") and captured.err.count("\n") == 1
        )
