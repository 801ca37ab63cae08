"""Which versions can be compared: other rows, targets, classes, makers."""

import dataclasses
from typing import Any

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from steps import train
from tabular.errors import BadInput
from tabular.gate.rules import Rule
from tabular.jobs.promote import promote
from tabular.store import production
from tests.conftest import Store
from tests.tables import mixed_table
from tests.tabular.jobs.test_promote import (
    BEST,
    back,
    go,
    refused,
    state,
    train_iris,
    train_versions,
)

pytestmark = pytest.mark.usefixtures("with_or_without_stages")


@pytest.mark.usefixtures("unproven")
def test_another_split_leaves_too_few_rows_to_compare() -> None:
    train_iris(0.001)
    go(version=1)
    train.main(["--seed", "7"])
    refused("rows are new to both")


@pytest.mark.usefixtures("unproven")
def test_a_larger_table_is_compared_on_rows_that_neither_saw(store: Store) -> None:
    table = mixed_table(900)
    file = store.folder / "mixed.csv"
    arguments = ["--data", str(file), "--target", "label"]
    table[:300].to_csv(file, index=False)
    train.main([*arguments, "--C", "0.0001"])
    go("mixed")
    table.to_csv(file, index=False)
    train.main(arguments)
    outcome = go("mixed", rule=Rule(max_class_loss=1.0))
    assert outcome.version == 2
    rows = int(outcome.reason.split(" on ")[1].split()[0])
    share = rows / 900
    assert 0.15 < share < 0.25


@pytest.mark.usefixtures("unproven")
def test_versions_of_different_targets_are_not_compared(store: Store) -> None:
    frame = mixed_table(200)[["amount", "plan", "label"]]
    frame["other"] = np.where(frame["label"] == "yes", "no", "yes")
    file = store.folder / "t.csv"
    frame.to_csv(file, index=False)
    for target in ("label", "other"):
        train.main(["--data", str(file), "--target", target, "--model_name", "m"])
        if target == "label":
            go("m")
    with pytest.raises(BadInput, match="one predicts 'other', the other 'label'"):
        go("m")


def register_foreign(name: str = "iris", *, spelled: str = "{}", alias: str = "champion") -> None:
    """A scikit-learn model that a person logged and put into production."""
    frame = load_iris(as_frame=True)
    labels = frame.target.map(dict(enumerate(spelled.format(n) for n in frame.target_names)))
    model = LogisticRegression(C=0.01).fit(frame.data, labels)
    with mlflow.start_run():
        logged = mlflow.sklearn.log_model(
            model,
            name="model",
            input_example=frame.data[:3],
            pip_requirements=[],
            serialization_format="cloudpickle",
        )
    version = mlflow.register_model(logged.model_uri, name)
    if alias:
        MlflowClient().set_registered_model_alias(name, alias, version.version)


def test_a_champion_of_another_maker_is_compared_kept_and_gone_back_to(
    capsys: pytest.CaptureFixture[str],
) -> None:
    register_foreign()
    train_versions(1.0)
    said: list[str] = []
    options: dict[str, Any] = {"version": 0, "force": False, "dry_run": True}
    outcome = promote(model_name="iris", rule=BEST, say=said.append, **options)
    assert outcome.version == 2 and "against" in outcome.reason
    assert any("version 1 was trained on are not known" in line for line in said)
    production.put_forward("iris", 2, reason=outcome.reason, by="tests")
    assert state() == ({"champion": 2, "previous": 1}, {1: "Archived", 2: "Production"})
    assert back().version == 1
    assert state()[0] == {"champion": 1}


@pytest.mark.usefixtures("unproven")
def test_where_only_versions_of_others_are_newer_the_one_in_production_stays() -> None:
    train_iris(1.0)
    go()
    register_foreign(alias="")
    outcome = go()
    assert (outcome.version, outcome.moved) == (1, False)
    assert "version 2 was not registered by this project" in outcome.reason
    refused("version 2 was not registered by this project", version=2)


@pytest.mark.usefixtures("unproven")
def test_versions_of_other_classes_are_promoted_by_force_alone(store: Store) -> None:
    frame = mixed_table(200)[["amount", "plan", "label"]]
    for spelled in (str, str.title):
        frame.assign(label=frame["label"].map(spelled)).to_csv("t.csv", index=False)
        train.main(["--data", "t.csv", "--target", "label"])
    go("t", version=1)
    with pytest.raises(BadInput, match=r"classes differ; only one has \['No', 'Yes'\].*force=true"):
        go("t")
    outcome = go("t", force=True)
    assert (outcome.version, outcome.moved) == (2, True)
    assert outcome.reason.startswith("forced: not compared, as versions 2 and 1 cannot")


@pytest.mark.usefixtures("unproven")
def test_a_champion_of_another_maker_with_other_classes_is_not_compared() -> None:
    register_foreign(spelled="Iris-{}")
    train_versions(1.0)
    with pytest.raises(BadInput, match="their classes differ"):
        go()


@pytest.mark.usefixtures("unproven")
def test_a_column_by_which_to_compare_has_to_be_in_the_holdout() -> None:
    train_iris(1.0)
    rule = dataclasses.replace(BEST, by=("sex",), max_gap={"demographic_parity": 1.0})
    with pytest.raises(BadInput, match="column 'sex' is not in the held-out rows of version 1"):
        go(rule=rule)
    by_width = dataclasses.replace(BEST, by=("petal width (cm)",))
    assert go(rule=by_width).version == 1
