"""Runs: what several commands write at one moment."""

import mlflow
import pyarrow as pa
from mlflow import MlflowClient
from mlflow.store.tracking.dbmodels.models import SqlDataset
from sqlalchemy import event
from sqlalchemy.orm import Session

from tabular.store.runs import log_input
from tests.conftest import Store

COLUMNS = pa.schema([("width", pa.float64())])


def test_a_table_that_another_run_logs_at_the_same_moment_is_logged(
    store: Store,
) -> None:
    others: list[str] = []

    def another_run_is_first(session: Session, *_: object) -> None:
        if not others and any(isinstance(each, SqlDataset) for each in session.new):
            with mlflow.start_run(nested=True) as other:
                others.append(other.info.run_id)
                log_input("iris", "iris", "the digest", COLUMNS)

    event.listen(Session, "before_flush", another_run_is_first)
    try:
        with mlflow.start_run() as run:
            log_input("iris", "iris", "the digest", COLUMNS)
    finally:
        event.remove(Session, "before_flush", another_run_is_first)

    assert len(others) == 1
    for run_id in (run.info.run_id, *others):
        logged = MlflowClient().get_run(run_id).inputs.dataset_inputs
        assert [each.dataset.digest for each in logged] == ["the digest"]
