"""A version goes from one tracking server to another whole, once, and is promoted there."""

import itertools
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient

from custom_model.artifact import bundle_sha256
from steps import evaluate, monitor, promote, publish, sweep, train
from tabular.store import production
from tests.conftest import Store

ROWS = pd.DataFrame([[5.1, 3.5, 1.4, 0.2], [6.3, 2.9, 5.6, 1.8]])


def empty_store(folder: Path, migrated: Path) -> str:
    """Tracking URI of a second store, with an experiment of the same name."""
    shutil.copy(migrated, folder / "mlflow.db")
    uri = f"sqlite:///{folder}/mlflow.db"
    MlflowClient(uri).create_experiment("tests", artifact_location=str(folder / "artifacts"))
    return uri


@pytest.fixture
def other(store: Store, migrated: Path) -> str:
    folder = store.folder / "other"
    folder.mkdir()
    return empty_store(folder, migrated)


def publish_iris(to: str, **others: str) -> None:
    arguments = {"model": "models:/iris/1", "to": to, **others}
    publish.main([text for name, value in arguments.items() for text in (f"--{name}", value)])


def at(uri: str) -> MlflowClient:
    return MlflowClient(uri, uri)


def runs(uri: str) -> list[Any]:
    return list(at(uri).search_runs([one.experiment_id for one in at(uri).search_experiments()]))


def predictions(uri: str) -> pd.DataFrame:
    path = Path(
        mlflow.artifacts.download_artifacts("models:/iris/1", tracking_uri=uri, registry_uri=uri)
    )
    columns = (mlflow.models.Model.load(str(path)).metadata or {})["input_columns"]
    rows = ROWS.set_axis([column["name"] for column in columns], axis=1)
    return mlflow.pyfunc.load_model(str(path)).predict(rows)


def test_a_published_version_is_the_same_and_has_its_history(store: Store, other: str) -> None:
    sweep.main(["--trials", "4", "--jobs", "1", "--classifiers", "logistic_regression"])
    production.put_forward("iris", 1, reason="good", by="me")
    publish_iris(other)
    before, after = (at(uri).get_model_version("iris", "1") for uri in (store.uri, other))
    pd.testing.assert_frame_equal(predictions(store.uri), predictions(other), check_exact=True)
    gone = {"promoted_at", "promoted_from", "promotion_reason", "sweep_run_id"}
    kept = {key: value for key, value in before.tags.items() if key not in gone}
    assert kept.items() <= after.tags.items()
    assert after.tags.keys() - kept.keys() == {"sweep_run_id", "published_from", "origin_run_id"}
    assert after.tags["published_from"] == f"models:/iris/1 of {store.uri}"
    sentence, gap, rest = (before.description or "").partition("\n\n")
    assert after.description == sentence.split(" Promoted on")[0] + gap + rest
    model = at(other).get_registered_model("iris")
    assert model.aliases == {} and model.description.endswith("Nothing yet.")
    run, copy = at(store.uri).get_run(before.run_id), at(other).get_run(after.run_id)
    assert (copy.data.metrics, copy.data.params) == (run.data.metrics, run.data.params)
    assert (copy.info.status, copy.info.run_name) == ("FINISHED", run.info.run_name)
    assert (copy.info.start_time, copy.info.end_time) == (run.info.start_time, run.info.end_time)
    assert copy.inputs.dataset_inputs[0].dataset.digest == after.tags["data_digest"]
    assert copy.outputs.model_outputs[0].model_id == after.source.removeprefix("models:/")
    parent = at(other).get_run(copy.data.tags["mlflow.parentRunId"])
    assert parent.info.run_id == after.tags["sweep_run_id"]
    assert parent.data.tags["best_child_run_id"] == after.run_id
    names = [
        {f.path for f in at(u).list_artifacts(r.info.run_id)}
        for u, r in ((store.uri, run), (other, copy))
    ]
    assert names[0] == names[1]
    assert "leaderboard.csv" in {file.path for file in at(other).list_artifacts(parent.info.run_id)}
    assert len(runs(other)) == 2


def test_published_twice_is_once_and_back_is_not_again(
    store: Store, other: str, capsys: Any
) -> None:
    train.main([])
    publish_iris(other)
    publish_iris(other)
    assert "is already iris version 1" in capsys.readouterr().out
    assert len(at(other).search_model_versions("name='iris'")) == len(runs(other)) == 1
    mlflow.set_tracking_uri(other)
    publish_iris(store.uri)
    assert len(at(store.uri).search_model_versions("name='iris'")) == len(runs(store.uri)) == 1


def test_a_published_version_is_gated_evaluated_and_monitored_there(
    store: Store, other: str, capsys: Any
) -> None:
    train.main(["--C", "1.0"])
    train.main(["--C", "0.001"])
    publish_iris(other, model="models:/iris/2")
    mlflow.set_tracking_uri(other)
    mlflow.set_experiment("tests")
    production.put_forward("iris", 1, reason="the first", by="me")
    mlflow.set_tracking_uri(store.uri)
    publish_iris(other)
    mlflow.set_tracking_uri(other)
    promote.main(["--dry_run", "true", "--resamples", "100"])
    assert "on 33 rows" in capsys.readouterr().out
    evaluate.main(["--model", "models:/iris/2", "--data", "iris"])
    print(capsys.readouterr().out)
    monitor.main(["--model", "models:/iris/2", "--data", "iris"])


CALLS = (
    *("create_run", "log_batch", "log_inputs", "log_artifacts", "create_logged_model"),
    *("log_model_artifacts", "log_outputs", "finalize_logged_model", "set_terminated"),
    *("create_registered_model", "create_model_version"),
)


@pytest.mark.slow
def test_what_an_interruption_leaves_is_finished(
    store: Store, migrated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep.main(["--trials", "3", "--jobs", "1", "--classifiers", "naive_bayes"])
    for call, time in itertools.product(CALLS, (1, 2)):  # of the sweep's run, of the version's
        folder = store.folder / f"{call}-{time}"
        folder.mkdir()
        to = empty_store(folder, migrated)
        interrupt(call, time, to, monkeypatch)
        publish_iris(to)
        assert_whole(store.uri, to)


def interrupt(call: str, time: int, to: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that publishes and ends, without a further word, after the n-th such call."""
    real: Callable[..., Any] = getattr(MlflowClient, call)
    seen = []

    def interrupted(*arguments: Any, **others: Any) -> None:
        real(*arguments, **others)
        seen.append(call)
        if len(seen) == time:
            os._exit(9)

    child = os.fork()
    if child == 0:
        monkeypatch.setattr(MlflowClient, call, interrupted)
        publish_iris(to)
        os._exit(0)
    os.waitpid(child, 0)


def assert_whole(source: str, to: str) -> None:
    """One version, its run and its sweep's, none open, one model, and the same predictions."""
    assert {run.info.status for run in runs(to)} == {"FINISHED"}
    assert len(runs(to)) == 2
    [version] = at(to).search_model_versions("name='iris'")
    models = at(to).search_logged_models([runs(to)[0].info.experiment_id])
    assert [str(one.status) for one in models] == ["READY"]
    sha256 = at(source).get_model_version("iris", "1").tags["bundle_sha256"]
    path = mlflow.artifacts.download_artifacts("models:/iris/1", tracking_uri=to, registry_uri=to)
    assert bundle_sha256(Path(path)) == version.tags["bundle_sha256"] == sha256
    files = {file.path for file in at(to).list_artifacts(version.run_id or "")}
    assert {"holdout.parquet", "training_rows.parquet", "report.html"} <= files
    pd.testing.assert_frame_equal(predictions(source), predictions(to), check_exact=True)
