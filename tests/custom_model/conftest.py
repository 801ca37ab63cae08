"""Versions of a pipeline, logged in a store of the test."""

from pathlib import Path

import mlflow
import pytest

from custom_model import packaging
from custom_model.served.reasons import typical_row
from tabular.families.pipeline import make_model
from tabular.table.dataset import Dataset, load_dataset
from tests.conftest import Store


def log(dataset: Dataset, classifier: str) -> packaging.Packed:
    model = make_model(dataset.columns, classifier, {}, seed=0)
    model.fit(dataset.expanded, dataset.codes)
    with mlflow.start_run():
        return packaging.log_bundle(
            model,
            dataset.columns,
            dataset.labels,
            dataset.table_columns,
            dataset.target,
            dataset.typed[:2],
            typical=typical_row(dataset.typed, dataset.columns),
            proof=dataset.typed[::5],
            about={"classifier": classifier},
        )


@pytest.fixture
def packed(store: Store) -> packaging.Packed:
    return log(load_dataset("iris"), "logistic_regression")


def local(packed: packaging.Packed) -> Path:
    return Path(mlflow.artifacts.download_artifacts(packed.info.model_uri))
