"""Promotion and rollback of real versions, on a real registry, with a real model server."""

import json
import shutil
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.store._unity_catalog.registry.rest_store import UcModelRegistryStore
from mlflow.tracking._tracking_service.utils import _get_store

from steps import train
from tabular.drift.checks import DriftRule
from tabular.errors import BadInput
from tabular.gate.prove import prove
from tabular.gate.rules import Rule
from tabular.jobs import promote as promotion
from tabular.jobs.evaluate import evaluate
from tabular.jobs.monitor import monitor
from tabular.jobs.promote import Promotion, promote, rollback
from tabular.jobs.score import score
from tabular.store import production, registry
from tests.catalog import labels_of
from tests.conftest import Store
from tests.snapshots import once

pytestmark = pytest.mark.usefixtures("with_or_without_stages")
BEST = Rule(mode="best", max_class_loss=1.0, max_loss_rise=10.0, max_latency_ratio=1000.0)


def go(name: str = "iris", rule: Rule = BEST, **options: Any) -> Promotion:
    defaults: dict[str, Any] = {"version": 0, "force": False, "dry_run": False}
    return promote(model_name=name, rule=rule, say=lambda _: None, **(defaults | options))


def back(name: str = "iris") -> Promotion:
    return rollback(model_name=name, say=lambda _: None)


def train_iris(*costs: float) -> None:
    once(train_versions, *costs)


def train_versions(*costs: float) -> None:
    for cost in costs:
        train.main(["--C", str(cost)])


def state(name: str = "iris") -> tuple[dict[str, int], dict[int, str]]:
    """Aliases and stages; where there are no stages, what the aliases and the history stand for."""
    stages, aliases = labels_of(name)
    return aliases, stages


def test_promotion_and_rollback_end_to_end_with_a_real_server(capsys: Any) -> None:
    train_iris(0.001, 1.0)
    production.put_forward("iris", 1, reason="the only one", by="tests")
    assert go().version == 2
    aliases, stages = state()
    assert (aliases, stages) == ({"champion": 2, "previous": 1}, {1: "Archived", 2: "Production"})
    [run, *_] = [
        r
        for r in mlflow.search_runs(output_format="list")
        if r.data.tags.get("promoted_version") == "2"
    ]
    names = {file.path for file in MlflowClient().list_artifacts(run.info.run_id)}
    assert names == {"promotion.json", "bootstrap.png", "comparison.txt"}
    table = mlflow.artifacts.load_text(f"{run.info.artifact_uri}/comparison.txt")
    assert "  promote 1, " in table and "version 2: f1_macro" in table
    assert "Promoted on 20" in (MlflowClient().get_model_version("iris", "2").description or "")
    text = mlflow.artifacts.load_text(f"{run.info.artifact_uri}/promotion.json")
    evidence = json.loads(text)
    assert evidence["promote"] is True
    assert evidence["rows"] == 33
    assert {"gain", "mcnemar_p", "log_loss_gain", "latency_ms", "rule", "checks"} <= set(evidence)
    assert back().version == 1
    assert state() == ({"champion": 1}, {1: "Production", 2: "Archived"})


@pytest.mark.usefixtures("unproven")
def test_rolling_back_twice_goes_back_two_and_then_says_that_there_is_no_more() -> None:
    train_iris(0.001, 0.01, 1.0)
    for version in (1, 2, 3):
        go(version=version)
    assert [back().version, back().version] == [2, 1]
    with pytest.raises(BadInput, match="no version to go back to"):
        back()
    moves = [(m.action, m.source, m.target) for m in production.history("iris")]
    assert moves == [
        *(("promote", None, 1), ("promote", 1, 2), ("promote", 2, 3)),
        *(("rollback", 3, 2), ("rollback", 2, 1)),
    ]
    assert all(m.by and m.at and m.reason for m in production.history("iris"))


@pytest.mark.usefixtures("unproven")
def test_a_version_that_was_rolled_back_returns_only_by_hand() -> None:
    train_iris(0.001, 1.0)
    go(version=1)
    go()
    back()
    assert not go().moved
    assert go(version=2).version == 2
    assert back().version == 1


@pytest.mark.usefixtures("unproven")
def test_a_worse_version_is_promoted_by_force_alone_and_that_is_recorded() -> None:
    train_iris(1.0, 0.0001)
    go(version=1)
    assert not go(version=2).moved
    assert go(version=2, force=True).moved
    tags = MlflowClient().get_model_version("iris", "2").tags
    assert tags["promotion_reason"].startswith("forced: ")


@pytest.mark.usefixtures("unproven")
def test_a_dry_run_moves_and_logs_nothing() -> None:
    train_iris(0.001, 1.0)
    go(version=1)
    before = state(), len(mlflow.search_runs(output_format="list"))
    assert go(dry_run=True) == Promotion(2, True, go(dry_run=True).reason)
    assert (state(), len(mlflow.search_runs(output_format="list"))) == before


@pytest.mark.usefixtures("unproven")
def test_a_gain_by_chance_is_not_promoted_by_default() -> None:
    train_iris(0.5, 1.0)
    go(version=1)
    outcome = go(rule=Rule())
    assert not outcome.moved
    assert "confidence" in outcome.reason


def artifact_of(version: int) -> Path:
    uri = MlflowClient().get_model_version_download_uri("iris", str(version))
    return Path(uri.removeprefix("file://"))


def refused(words: str, **options: Any) -> None:
    before = state()
    with pytest.raises(BadInput, match=words) as caught:
        go(**options)
    assert "\n" not in str(caught.value)
    assert state() == before
    assert all(run.info.status != "RUNNING" for run in mlflow.search_runs(output_format="list"))


def test_an_artifact_with_one_byte_changed_in_any_file_is_refused() -> None:
    train_iris(1.0)
    of_mlflow = {"registered_model_meta", "__pycache__"}  # written again at every fetch and load
    files = [f for f in artifact_of(1).rglob("*") if f.is_file() and not of_mlflow & {*f.parts}]
    assert {"bundle.py", "MLmodel", "pipeline.skops", "cells.py"} <= {file.name for file in files}
    for file in files:
        before = file.read_bytes()
        changed = bytearray(before)
        changed[len(changed) // 2] ^= 1
        file.write_bytes(changed)
        with pytest.raises(BadInput, match="changed, added or removed"):
            go(force=True)
        file.write_bytes(before)
    (artifact_of(1) / "MLmodel").unlink()
    refused("changed, added or removed", force=True)
    given: dict[str, Any] = {"model": "models:/iris/1", "data": "iris", "say": print}
    for command in (
        lambda: score(**given, output="", engine="local"),
        lambda: monitor(**given, ignore=[], rule=DriftRule()),
        lambda: evaluate(
            **given, target="", against="", rows="all", confidence=0.9, resamples=100, seed=0
        ),
    ):
        with pytest.raises(BadInput, match="models:/iris/1 is not what was registered"):
            command()


def test_a_version_whose_artifact_is_gone_is_refused() -> None:
    train_iris(1.0)
    shutil.rmtree(artifact_of(1))
    refused("cannot be fetched", force=True)


def test_a_version_that_was_trained_on_its_holdout_is_refused() -> None:
    train_iris(1.0)
    run = mlflow.get_run(MlflowClient().get_model_version("iris", "1").run_id)
    folder = Path(run.info.artifact_uri.removeprefix("file://"))
    held_out = pd.read_parquet(folder / "holdout.parquet").index[:1]
    rows = pd.read_parquet(folder / "training_rows.parquet")
    rows = pd.concat([rows, pd.DataFrame({"__row_hash__": held_out})])
    rows.to_parquet(folder / "training_rows.parquet", index=False)
    refused("trained on rows of its own holdout")


def test_a_version_that_a_server_answers_for_differently_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    train_iris(1.0)
    monkeypatch.setattr(
        promotion, "prove", lambda path, rows, expected: prove(path, rows, expected[::-1])
    )
    refused("unlike predict", force=True)


@pytest.mark.usefixtures("unproven")
def test_the_run_of_the_version_in_production_may_be_gone() -> None:
    train_iris(0.001, 1.0)
    go(version=1)
    run_id = registry.candidates("iris")[0].run_id
    MlflowClient().delete_run(run_id)
    _get_store()._hard_delete_run(run_id)
    assert go().version == 2


@pytest.mark.usefixtures("unproven")
def test_a_newer_version_whose_run_was_purged_is_left_out() -> None:
    train_iris(0.001, 1.0)
    go(version=1)
    run_id = registry.candidates("iris")[1].run_id
    MlflowClient().delete_run(run_id)
    _get_store()._hard_delete_run(run_id)
    outcome = go()
    assert not outcome.moved
    assert "version 2 has no run in the tracking store" in outcome.reason


@pytest.mark.usefixtures("unproven")
def test_a_version_that_was_deleted_in_production_gives_way_to_the_one_before() -> None:
    train_iris(0.001, 0.01, 1.0)
    for version in (1, 2):
        go(version=version)
    MlflowClient().delete_model_version("iris", "2")
    assert go(dry_run=True).version in (1, 3)
    assert go(rule=Rule(floor=1.0)).version == 1
    assert state()[0] == {"champion": 1}
    reasons = [move.reason for move in production.history("iris")]
    assert reasons[-1] == "version 2 was deleted or taken out of production by hand"


def test_an_experiment_that_was_deleted_moves_nothing_and_is_named(store: Store) -> None:
    train_iris(1.0)
    experiment = mlflow.get_experiment_by_name("tests")
    assert experiment
    MlflowClient().delete_experiment(experiment.experiment_id)
    with pytest.raises(BadInput, match="the experiment 1 was deleted; restore it with"):
        go()
    assert state() == ({}, {1: "None"})


@pytest.mark.usefixtures("unproven")
def test_a_registry_apart_from_the_tracking_store_is_used(
    store: Store, migrated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(migrated, store.folder / "registry.db")
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", f"sqlite:///{store.folder}/registry.db")
    train_versions(0.001, 1.0)
    go(version=1)
    assert go().version == 2
    mlflow.set_tracking_uri(f"sqlite:///{store.folder}/registry.db")  # not where the runs are
    with pytest.raises(BadInput, match="held-out rows are gone"):
        go(version=1)
    outcome = go()
    assert (outcome.version, outcome.moved) == (2, False)


def test_the_client_of_unity_catalog_takes_the_signature_of_a_version() -> None:
    train_iris(1.0)
    client = UcModelRegistryStore("databricks-uc", mlflow.get_tracking_uri())
    client._validate_model_signature(str(artifact_of(1)))
