"""Permutation importance is of the table's own columns."""

from custom_model.pipeline import make_model
from tabular.dataset import make_dataset
from tabular.importance import column_importance
from tests.tables import mixed_table


def test_the_columns_that_decide_matter_most_and_a_date_counts_once() -> None:
    dataset = make_dataset(mixed_table(600), "label", name="t", source="t")
    pipeline = make_model(dataset.columns, "logistic_regression", {"C": 0.1}, seed=0)
    pipeline.fit(dataset.expanded[:400], dataset.codes[:400])
    means, spreads = column_importance(
        pipeline, dataset.typed[400:], dataset.codes[400:], dataset.columns, seed=0
    )
    assert len(means) == len(spreads) == len(dataset.columns)
    names = [column.name for column in dataset.columns]
    best = sorted(zip(means, names, strict=True), reverse=True)[:3]
    assert {name for _, name in best} == {"amount", "plan", "active"}
