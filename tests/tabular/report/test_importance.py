"""Permutation importance is of the table's own columns."""

import numpy as np
import pandas as pd

from custom_model.served.columns import expand
from tabular.families.pipeline import make_model
from tabular.report.importance import column_importance
from tabular.table.dataset import make_dataset
from tests.tables import mixed_table


def test_the_columns_that_decide_matter_most_and_a_date_counts_once() -> None:
    dataset = make_dataset(mixed_table(600), "label", name="t", source="t")
    pipeline = make_model(dataset.columns, "logistic_regression", {"C": 0.1}, seed=0)
    pipeline.fit(dataset.expanded[:400], dataset.codes[:400])
    importance = column_importance(
        lambda typed: pipeline.predict_proba(expand(typed, dataset.columns)),
        dataset.typed[400:],
        dataset.codes[400:],
        seed=0,
    )
    assert len(importance.means) == len(importance.spreads) == len(dataset.columns)
    assert importance.names == [column.name for column in dataset.columns]
    best = sorted(zip(importance.means, importance.names, strict=True), reverse=True)[:3]
    assert {name for _, name in best} == {"amount", "plan", "active"}


def test_a_wide_table_is_measured_on_its_most_telling_columns() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(200, 300))).add_prefix("c")
    dataset = make_dataset(
        frame.assign(y=np.where(frame["c7"] > 0, "a", "b")), "y", name="t", source="t"
    )
    pipeline = make_model(dataset.columns, "random_forest", {"n_estimators": 10}, seed=0)
    pipeline.fit(dataset.expanded, dataset.codes)
    importance = column_importance(
        lambda typed: pipeline.predict_proba(expand(typed, dataset.columns)),
        dataset.typed,
        dataset.codes,
        seed=0,
    )
    assert len(importance.names) == 50
    assert importance.names[int(importance.means.argmax())] == "c7"
