"""A registry of MLflow without stages, as Databricks' Unity Catalog is one.

`use_catalog()` makes `catalog:///file.db` a registry URI of this process, as plugins do. It is
MLflow's own SQLite registry, but for what MLflow 3.17's client of Unity Catalog does not have or
Databricks' pages forbid: stages raise, a search returns neither tags nor aliases, and a tag has a
plain name, at most 1,000 characters, and at most 49 others beside it.
"""

import re
from typing import Any

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion, RegisteredModel
from mlflow.entities.model_registry.model_version_search import ModelVersionSearch
from mlflow.exceptions import MlflowException
from mlflow.store.entities.paged_list import PagedList
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore
from mlflow.tracking._model_registry.utils import _get_store_registry

from tabular.store import production, registry

MOST_TAGS = 50


class Catalog(SqlAlchemyStore):
    """The registry behind `catalog:` URIs."""

    def __init__(self, store_uri: str, tracking_uri: str | None = None) -> None:
        super().__init__(store_uri.replace("catalog:", "sqlite:", 1))

    def transition_model_version_stage(self, *_: Any, **__: Any) -> ModelVersion:
        raise _unsupported("transition_model_version_stage")

    def get_latest_versions(self, *_: Any, **__: Any) -> list[ModelVersion]:
        raise _unsupported("get_latest_versions")

    def get_model_version(self, name: str, version: str) -> ModelVersion:
        return _without_stage(super().get_model_version(name, version))

    def get_model_version_by_alias(self, name: str, alias: str) -> ModelVersion:
        return _without_stage(super().get_model_version_by_alias(name, alias))

    def create_model_version(self, *arguments: Any, **options: Any) -> ModelVersion:
        return _without_stage(super().create_model_version(*arguments, **options))

    def update_model_version(self, *arguments: Any, **options: Any) -> ModelVersion:
        return _without_stage(super().update_model_version(*arguments, **options))

    def search_model_versions(
        self,
        filter_string: str | None = None,
        max_results: int = 100,
        order_by: Any = None,
        page_token: str | None = None,
    ) -> PagedList[ModelVersion]:
        if order_by is not None:
            raise _unsupported("order_by")
        page = super().search_model_versions(filter_string, max_results, None, page_token)
        bare = [
            ModelVersionSearch(v.name, v.version, v.creation_timestamp, run_id=v.run_id)
            for v in page
        ]
        return PagedList(bare, page.token)

    def search_registered_models(self, *arguments: Any, **options: Any) -> PagedList[Any]:
        page = super().search_registered_models(*arguments, **options)
        return PagedList([RegisteredModel(model.name) for model in page], page.token)

    def set_registered_model_tag(self, name: str, tag: Any) -> None:
        _check(tag, self.get_registered_model(name).tags)
        super().set_registered_model_tag(name, tag)

    def set_model_version_tag(self, name: str, version: str, tag: Any) -> None:
        _check(tag, self.get_model_version(name, version).tags)
        super().set_model_version_tag(name, version, tag)


def use_catalog() -> None:
    """Makes `catalog:` a registry of this process."""
    _get_store_registry().register("catalog", Catalog)


def _without_stage(version: ModelVersion) -> ModelVersion:
    version._current_stage = None
    return version


def _unsupported(what: str) -> MlflowException:
    return MlflowException(
        f"'{what}' is unsupported for models in the Unity Catalog.\nUse aliases."
    )


def _check(tag: Any, others: dict[str, str]) -> None:
    if re.search(r"[.,\-=/:]", tag.key) or len(tag.key) > 255 or len(tag.value) > 1000:
        raise MlflowException(f"invalid tag {tag.key!r}")
    if len({*others, tag.key}) > MOST_TAGS:
        raise MlflowException(f"more than {MOST_TAGS} tags")


def labels_of(name: str) -> tuple[dict[int, str], dict[str, int]]:
    """Stages and aliases; where there are no stages, what the aliases and the history stand for."""
    aliases = MlflowClient().get_registered_model(name).aliases
    as_numbers = {alias: int(version) for alias, version in aliases.items()}
    stages = {c.number: c.stage for c in registry.candidates(name)}
    if set(stages.values()) == {""}:
        was = {move.target for move in production.history(name)}
        stages = {v: "Archived" if v in was else "None" for v in stages}
        if "champion" in as_numbers:
            stages[as_numbers["champion"]] = "Production"
    return stages, as_numbers
