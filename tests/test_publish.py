"""A version goes from one tracking server to another whole, once, and is promoted there."""

import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient

from steps import evaluate, monitor, promote, sweep, train
from tabular.errors import BadInput
from tabular.gate.prove import free_port
from tabular.store import production
from tests.conftest import Store, use_store
from tests.published import assert_whole, at, predictions, publish_iris, runs


def empty_store(folder: Path, migrated: Path) -> str:
    """Tracking URI of a second store, with an experiment of the same name."""
    shutil.copy(migrated, folder / "mlflow.db")
    uri = f"sqlite:///{folder}/mlflow.db"
    MlflowClient(uri).create_experiment("tests", artifact_location=str(folder / "artifacts"))
    return uri


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Iterator[str]:
    """A store with iris, a model of another maker, and one whose run is gone."""
    before = mlflow.get_tracking_uri()
    uri = use_store(tmp_path_factory.mktemp("swept"), migrated).uri
    sweep.main(["--trials", "3", "--jobs", "1", "--classifiers", "naive_bayes"])
    production.put_forward("iris", 1, reason="good", by="me")
    for name, tags in (("foreign", {}), ("purged", {"bundle_sha256": "x"})):
        MlflowClient().create_registered_model(name)
        MlflowClient().create_model_version(name, "somewhere/m", "0" * 32, tags)
    yield uri
    mlflow.set_tracking_uri(before)


@pytest.fixture
def source(swept: str) -> Iterator[str]:
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(swept)
    yield swept
    mlflow.set_tracking_uri(before)


@pytest.fixture
def other(tmp_path: Path, migrated: Path) -> str:
    folder = tmp_path / "other"
    folder.mkdir()
    return empty_store(folder, migrated)


def test_a_published_version_is_the_same_and_has_its_history(source: str, other: str) -> None:
    publish_iris(other)
    before, after = (at(uri).get_model_version("iris", "1") for uri in (source, other))
    pd.testing.assert_frame_equal(predictions(source), predictions(other), check_exact=True)
    gone = {"promoted_at", "promoted_from", "promotion_reason", "sweep_run_id"}
    kept = {key: value for key, value in before.tags.items() if key not in gone}
    assert kept.items() <= after.tags.items()
    assert after.tags.keys() - kept.keys() == {"sweep_run_id", "published_from", "origin_run_id"}
    assert after.tags["published_from"] == f"models:/iris/1 of {source}"
    sentence, gap, rest = (before.description or "").partition("\n\n")
    assert after.description == sentence.split(" Promoted on")[0] + gap + rest
    model = at(other).get_registered_model("iris")
    assert model.aliases == {} and model.description.endswith("Nothing yet.")
    run, copy = at(source).get_run(before.run_id), at(other).get_run(after.run_id)
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
        for u, r in ((source, run), (other, copy))
    ]
    assert names[0] == names[1]
    assert "leaderboard.csv" in {file.path for file in at(other).list_artifacts(parent.info.run_id)}
    assert len(runs(other)) == 2


def test_published_twice_is_once_and_back_is_not_again(
    source: str, other: str, capsys: Any
) -> None:
    before = len(runs(source))
    publish_iris(other)
    publish_iris(other)
    assert "is already iris version 1" in capsys.readouterr().out
    assert_whole(source, other)
    mlflow.set_tracking_uri(other)
    publish_iris(source)
    assert "is already iris version 1" in capsys.readouterr().out
    assert len(runs(source)) == before


@pytest.mark.slow
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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"to": ""}, "to is empty; give the tracking URI"),
        ({"to": "{same}"}, "models:/iris/1 is at sqlite:.* already; give another to"),
        ({"to": "http://127.0.0.1:{port}"}, "no server answers at 'http://127.0.0.1"),
        ({"to": "sqlite:////nowhere/at/all.db"}, "nothing can be published to 'sqlite:"),
        ({"to": "gopher://a:secret@host/x"}, r"nothing can be published to 'gopher://a:\*\*\*@"),
        ({"to": "{folder}/no-such-store"}, "nothing can be published to"),
        ({"model": "models:/iris/9"}, "models:/iris/9' not found"),
        ({"model": "models:/none@champion"}, "models:/none@champion' not found"),
        ({"model": "runs:/0123456789abcdef/model"}, "is no registered version; give a URI"),
        ({"model": "models:/foreign/1"}, "models:/foreign/1 was not registered by this project"),
        ({"model": "models:/purged/1"}, "the run of models:/purged/1 is gone"),
    ],
    ids=lambda value: "" if isinstance(value, str) else " ".join(value.values()),
)
def test_what_cannot_be_published_is_one_sentence_and_nothing_is_there(
    source: str, other: str, arguments: dict[str, str], message: str
) -> None:
    places = {"same": source, "port": free_port(), "folder": Path(other).parent}
    arguments = {"to": other} | {key: text.format(**places) for key, text in arguments.items()}
    with pytest.raises(BadInput, match=message) as caught:
        publish_iris(arguments.pop("to"), **arguments)
    assert "\n" not in str(caught.value) and "secret" not in str(caught.value)
    assert not runs(other) and not at(other).search_registered_models()
    assert mlflow.get_tracking_uri() == mlflow.get_registry_uri() == source


@pytest.mark.slow
def test_files_that_were_changed_on_the_way_are_not_registered(
    store: Store, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    train.main([])
    real = MlflowClient.log_model_artifacts

    def damaged(client: MlflowClient, model_id: str, local_dir: str, *others: Any) -> None:
        Path(local_dir, "artifacts", "bundle.json").write_text("{}")
        real(client, model_id, local_dir, *others)

    with monkeypatch.context() as patch, pytest.raises(BadInput, match="is not what was regist"):
        patch.setattr(MlflowClient, "log_model_artifacts", damaged)
        patch.setattr("tabular.jobs.publish.json.loads", lambda _: {"target": "x", "labels": []})
        publish_iris(other)
    assert not at(other).search_model_versions("name='iris'")
    assert [run.info.status for run in runs(other)] == ["FAILED"]
    publish_iris(other)
    assert [run.info.status for run in runs(other)] == ["FINISHED"]


@pytest.mark.slow
def test_an_experiment_that_was_deleted_there_is_named(store: Store, other: str) -> None:
    train.main([])
    experiment = at(other).get_experiment_by_name("tests")
    assert experiment
    at(other).delete_experiment(experiment.experiment_id)
    with pytest.raises(BadInput, match="the experiment 'tests' was deleted there; restore it"):
        publish_iris(other)


@pytest.mark.slow
def test_a_registry_apart_from_the_runs_is_read_where_it_is(
    store: Store, other: str, migrated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = store.folder / "registry"
    folder.mkdir()
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", empty_store(folder, migrated))
    train.main([])
    publish_iris(other)
    assert len(at(other).search_model_versions("name='iris'")) == 1
    publish_iris(store.uri)  # where its run is, and no version yet
    assert len(at(store.uri).search_model_versions("name='iris'")) == 1


@pytest.mark.slow
def test_another_name_in_the_same_registry_is_another_model(store: Store) -> None:
    train.main([])
    publish_iris(store.uri, name="iris_emea")
    publish_iris(store.uri, name="iris_emea")
    [version] = MlflowClient().search_model_versions("name='iris_emea'")
    assert "models:/iris_emea@champion" in (version.description or "")


OF_EACH_RUN = ("create_run", "log_batch", "log_inputs", "log_artifacts", "set_terminated")
OF_THE_MODEL = ("create_logged_model", "log_model_artifacts", "log_outputs")
ONCE = (*OF_THE_MODEL, "finalize_logged_model", "create_registered_model", "create_model_version")


@pytest.mark.slow
def test_what_an_interruption_leaves_is_finished(
    source: str, tmp_path: Path, migrated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = [*itertools.product(OF_EACH_RUN, (1, 2)), *((call, 1) for call in ONCE)]
    for call, nth in calls:
        folder = tmp_path / f"{call}-{nth}"
        folder.mkdir()
        to = empty_store(folder, migrated)
        interrupt(call, nth, to, monkeypatch)
        publish_iris(to)
        assert_whole(source, to)


def interrupt(call: str, nth: int, to: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that publishes and ends, without a further word, after the n-th such call."""
    real: Callable[..., Any] = getattr(MlflowClient, call)
    seen = []

    def interrupted(*arguments: Any, **others: Any) -> Any:
        result = real(*arguments, **others)
        seen.append(call)
        if len(seen) == nth:
            os._exit(9)
        return result

    child = os.fork()
    if child == 0:
        try:
            monkeypatch.setattr(MlflowClient, call, interrupted)
            publish_iris(to)
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


@pytest.mark.slow
def test_a_database_that_is_away_is_one_sentence(source: str) -> None:
    with pytest.raises(BadInput, match=r"nothing can be published to .*me:\*\*\*@") as caught:
        publish_iris(f"postgresql+psycopg://me:secret@127.0.0.1:{free_port()}/mlflow")
    assert "secret" not in str(caught.value) and "\n" not in str(caught.value)
