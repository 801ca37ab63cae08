"""Versions, aliases, stages and history on SQLite, without stages, and through a server."""

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.store._unity_catalog.registry.rest_store import UcModelRegistryStore
from mlflow.tracking._tracking_service.utils import _get_store

from tabular.errors import BadInput
from tabular.store import production, registry
from tests.catalog import Catalog, labels_of


def make_versions(name: str, n: int) -> None:
    client = MlflowClient()
    client.create_registered_model(name)
    for number in range(n):
        with mlflow.start_run() as run:
            mlflow.log_metric("holdout_f1_macro", number / 10)
        client.create_model_version(name, f"runs:/{run.info.run_id}/m", run.info.run_id)


def promoted(name: str, *versions: int) -> None:
    """Versions 1 to the highest, of which these were in production in turn."""
    make_versions(name, max(versions))
    for version in versions:
        production.put_forward(name, version, reason=f"to {version}", by="me")


def back(name: str) -> int:
    return production.put_back(name, reason="bad", by="me").target


def set_stage(name: str, version: int, stage: str) -> None:
    """As a person does; skips the test where there are no stages."""
    try:
        with registry.stages_are_deprecated():
            MlflowClient().transition_model_version_stage(name, str(version), stage)
    except MlflowException as error:
        pytest.skip(str(error))


def test_the_first_promotion_sets_stage_and_alias(name: str) -> None:
    make_versions(name, 2)
    assert production.put_forward(name, 1, reason="first", by="me") is not None
    assert labels_of(name) == ({1: "Production", 2: "None"}, {"champion": 1})


def test_the_next_promotion_archives_the_one_before(name: str) -> None:
    promoted(name, 1, 3)
    stages = {1: "Archived", 2: "None", 3: "Production"}
    assert labels_of(name) == (stages, {"champion": 3, "previous": 1})
    tags = MlflowClient().get_model_version(name, "3").tags
    assert (tags["promoted_from"], tags["promotion_reason"]) == ("1", "to 3")
    assert tags["promoted_at"].endswith("Z")


def test_promoting_again_changes_nothing(name: str) -> None:
    promoted(name, 2)
    before = (
        labels_of(name),
        MlflowClient().get_model_version(name, "2").last_updated_timestamp,
    )
    production.put_forward(name, 2, reason="twice", by="me")
    after = (
        labels_of(name),
        MlflowClient().get_model_version(name, "2").last_updated_timestamp,
    )
    assert after == before


def test_a_run_that_was_purged_leaves_its_version_without_metrics(name: str) -> None:
    make_versions(name, 2)
    run_id = registry.candidates(name)[0].run_id
    MlflowClient().delete_run(run_id)
    assert registry.candidates(name)[0].metrics == {"holdout_f1_macro": 0.0}
    if not mlflow.get_tracking_uri().startswith("http"):
        _get_store()._hard_delete_run(run_id)  # as `mlflow gc`
        assert [c.metrics for c in registry.candidates(name)] == [{}, {"holdout_f1_macro": 0.1}]


def test_a_model_that_was_renamed_keeps_its_history(name: str) -> None:
    promoted(name, 1, 2)
    if isinstance(MlflowClient()._get_registry_client().store, Catalog):
        pytest.skip("tags and aliases of a renamed model are Unity Catalog's own")
    MlflowClient().rename_registered_model(name, f"{name} new")
    assert production.restore(name, by="me") is None
    assert back(f"{name} new") == 1


def test_a_model_without_versions_is_told_from_one_that_is_not_there(name: str) -> None:
    MlflowClient().create_registered_model(name)
    with pytest.raises(BadInput, match=f"model '{name}' has no version; run `sweep`"):
        registry.candidates(name)
    with pytest.raises(BadInput, match=f"did you mean '{name}'"):
        registry.candidates(f"{name}x")
    assert production.champion(f"{name}x") is None
    assert production.restore(f"{name}x", by="me") is None


def test_every_version_is_read_however_many_there_are(name: str) -> None:
    client = MlflowClient()
    client.create_registered_model(name)
    for _ in range(110):
        client.create_model_version(name, "s3://somewhere/m")
    assert [c.number for c in registry.candidates(name)] == list(range(1, 111))


def test_a_name_of_three_parts_or_with_a_quote_is_a_name(name: str) -> None:
    for other in (f"main.default.{name}", f"it's {name}"):
        promoted(other, 1, 2)
        assert labels_of(other)[1] == {"champion": 2, "previous": 1}


def test_a_uri_is_resolved_by_alias_and_the_alias_is_named_where_a_stage_is_not_found(
    name: str,
) -> None:
    promoted(name, 1, 2)
    assert registry.resolve(f"models:/{name}@champion") == f"models:/{name}/2"
    assert registry.resolve("runs:/abc/m") == "runs:/abc/m"
    if registry.candidates(name)[0].stage:
        assert registry.resolve(f"models:/{name}/Production") == f"models:/{name}/2"
    with pytest.raises(
        BadInput, match=f"`promote` puts a version there, and at models:/{name}@champion"
    ) as caught:
        registry.resolve(f"models:/{name}/Staging")
    assert "\n" not in str(caught.value)


def test_a_stage_that_the_registry_refuses_is_said_and_the_alias_moves(
    store: object, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise MlflowException("stages were removed")

    monkeypatch.setattr(MlflowClient, "transition_model_version_stage", refuse)
    promoted("m", 1, 2)
    assert labels_of("m")[1] == {"champion": 2, "previous": 1}
    assert "only the alias 'champion' was moved, as the registry refuses stages" in caplog.text


@pytest.mark.parametrize("uri", ["databricks", "uc:http://localhost:8080"])
def test_a_registry_without_aliases_is_refused(
    uri: str, store: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", uri)
    for read in (registry.candidates, production.champion):
        with pytest.raises(BadInput, match="has no aliases"):
            read("main.default.m")


def test_the_registry_of_these_tests_lacks_what_the_client_of_unity_catalog_lacks() -> None:
    real = UcModelRegistryStore("databricks-uc", "sqlite://")
    for call in (
        lambda: real.get_latest_versions("m"),
        lambda: real.transition_model_version_stage("m", "1", "Production", False),
    ):
        with pytest.raises(MlflowException, match="unsupported for models in the Unity Catalog"):
            call()
