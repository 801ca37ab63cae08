"""Stages and aliases on a real SQLite registry."""

from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from tabular.errors import BadInput
from tabular.store import registry
from tests.conftest import Store

pytestmark = pytest.mark.usefixtures("store")


def make_versions(name: str, n: int) -> None:
    client = MlflowClient()
    client.create_registered_model(name)
    for number in range(n):
        with mlflow.start_run() as run:
            mlflow.log_metric("holdout_f1_macro", number / 10)
        client.create_model_version(name, f"runs:/{run.info.run_id}/m", run.info.run_id)


def state(name: str) -> tuple[dict[int, str], dict[str, int]]:
    stages = {c.number: c.stage for c in registry.candidates(name)}
    aliases = MlflowClient().get_registered_model(name).aliases
    return stages, {alias: int(version) for alias, version in aliases.items()}


def test_the_first_promotion_sets_stage_and_alias() -> None:
    make_versions("m", 2)
    assert registry.promote("m", 1, reason="first", by="me") is not None
    assert state("m") == ({1: "Production", 2: "None"}, {"champion": 1})


def test_the_next_promotion_archives_the_one_before() -> None:
    make_versions("m", 3)
    for version in (1, 3):
        registry.promote("m", version, reason=f"to {version}", by="me")
    stages = {1: "Archived", 2: "None", 3: "Production"}
    assert state("m") == (stages, {"champion": 3, "previous": 1})
    tags = MlflowClient().get_model_version("m", "3").tags
    assert (tags["promoted_from"], tags["promotion_reason"]) == ("1", "to 3")
    assert tags["promoted_at"].endswith("Z")


def test_promoting_again_changes_nothing(store: Store) -> None:
    make_versions("m", 2)
    registry.promote("m", 2, reason="once", by="me")
    before = state("m"), MlflowClient().get_model_version("m", "2").last_updated_timestamp
    registry.promote("m", 2, reason="twice", by="me")
    assert (state("m"), MlflowClient().get_model_version("m", "2").last_updated_timestamp) == before


def test_a_promotion_that_was_interrupted_is_completed_by_the_next_call() -> None:
    make_versions("m", 2)
    registry.promote("m", 1, reason="first", by="me")
    MlflowClient().set_registered_model_alias("m", "champion", "2")  # and then the power went
    registry.promote("m", 2, reason="again", by="me")
    assert state("m") == ({1: "Archived", 2: "Production"}, {"champion": 2, "previous": 1})
    assert [move.target for move in registry.history("m")] == [1, 2]


def test_a_rollback_that_was_interrupted_is_completed() -> None:
    make_versions("m", 3)
    for version in (1, 2, 3):
        registry.promote("m", version, reason="on", by="me")
    MlflowClient().set_registered_model_alias("m", "champion", "2")
    registry.repair("m")
    assert state("m") == (
        {1: "Archived", 2: "Production", 3: "Archived"},
        {"champion": 2, "previous": 1},
    )
    assert registry.history("m")[-1].action == "rollback"


def test_a_rollback_goes_back_along_the_history() -> None:
    make_versions("m", 4)
    for version in (1, 2, 3):
        registry.promote("m", version, reason="on", by="me")
    assert registry.rollback("m", reason="bad", by="me").target == 2
    registry.promote("m", 4, reason="better", by="me")
    assert [registry.rollback("m", reason="bad", by="me").target for _ in range(2)] == [2, 1]
    with pytest.raises(BadInput, match="no version to go back to"):
        registry.rollback("m", reason="bad", by="me")


def test_every_version_is_read_however_many_there_are() -> None:
    client = MlflowClient()
    client.create_registered_model("many")
    for _ in range(210):
        client.create_model_version("many", "somewhere/m")
    assert [c.number for c in registry.candidates("many")] == list(range(1, 211))


def test_an_unknown_model_is_named_and_guessed() -> None:
    make_versions("churn", 1)
    with pytest.raises(BadInput, match="did you mean 'churn'"):
        registry.candidates("chrun")
    assert registry.champion("chrun") is None


def test_a_quote_in_a_name_is_no_filter_syntax(tmp_path: Path) -> None:
    make_versions("it's", 1)
    assert [c.number for c in registry.candidates("it's")] == [1]


@pytest.mark.parametrize("uri", ["databricks-uc", "databricks", "uc:http://localhost:8080"])
def test_a_registry_without_stages_or_aliases_is_refused(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", uri)
    with pytest.raises(BadInput, match="cannot promote"):
        registry.candidates("main.default.m")
