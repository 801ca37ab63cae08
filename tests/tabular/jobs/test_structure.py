"""Groups, time and weights travel with a version: promote, evaluate and monitor use them."""

import json
import re
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.models import infer_signature
from sklearn.linear_model import LogisticRegression

from tabular.drift.checks import DriftRule
from tabular.drift.profile import count, from_json
from tabular.errors import BadInput
from tabular.gate.rules import Rule
from tabular.jobs.evaluate import evaluate
from tabular.jobs.monitor import monitor
from tabular.jobs.promote import promote
from tabular.jobs.train import train
from tabular.models.load import load_model
from tabular.stats.compute import compute_metrics
from tests.conftest import Store
from tests.snapshots import once

ROLES = {"group": "patient", "time": "", "weight": "counts"}


def table(n_groups: int = 60, seed: int = 0) -> pd.DataFrame:
    """Ten rows of each patient, one after the other in time."""
    rng = np.random.default_rng(seed)
    patient = np.arange(n_groups).repeat(10)
    illness = rng.integers(0, 2, n_groups)[patient]
    n_rows = len(patient)
    return pd.DataFrame(
        {
            "a": (illness + rng.normal(size=n_groups)[patient] + rng.normal(size=n_rows)).round(4),
            "b": rng.normal(size=n_rows).round(4),
            "patient": [f"p{1000 * seed + one}" for one in patient],
            "day": pd.date_range("2024-01-01", periods=n_rows).strftime("%Y-%m-%d"),
            "counts": rng.integers(1, 4, n_rows),
            "ill": np.where(illness, "yes", "no"),
        }
    )


def make_ward() -> None:
    """A version with roles, and a later one that takes them over."""
    make(Path("ward.csv"), table(), **ROLES)
    make(Path("ward.csv"), table(), "logistic_regression")


def make(file: Path, frame: pd.DataFrame, classifier: str = "naive_bayes", **roles: str) -> None:
    frame.to_csv(file, index=False)
    train(
        data=str(file), target="ill", model_name="ward", classifier=classifier, seed=42,
        hyperparameters={}, say=lambda _: None, **roles,
    )  # fmt: skip


def go(**options: Any) -> str:
    lines: list[str] = []
    given: dict[str, Any] = {"version": 0, "force": False, "dry_run": True} | options
    promotion = promote(
        model_name="ward", rule=Rule(mode="best", resamples=100), say=lines.append, **given
    )
    return "\n".join([*lines, promotion.reason])


def first_in_production() -> None:
    mlflow.MlflowClient().set_registered_model_alias("ward", "champion", "1")


def assess(data: str, **options: Any) -> Any:
    given: dict[str, Any] = {
        "model": "models:/ward/1", "target": "", "against": "", "rows": "all", "confidence": 0.95,
        "resamples": 200, "seed": 0, "say": lambda _: None,
    }  # fmt: skip
    return evaluate(data=data, **(given | options))


def test_groups_and_weights_travel_with_a_version(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "ward.csv"
    once(make_ward)
    first_in_production()
    said = go()
    assert re.search(r"on \d+0 rows of \d+ groups", said)
    fresh = tmp_path / "fresh.csv"
    frame = table(seed=1)
    frame.to_csv(fresh, index=False)
    found = assess(str(fresh), against="models:/ward/2")
    proba = mlflow.pyfunc.load_model("models:/ward/1").predict(frame)
    y_true = (frame["ill"] == "yes").to_numpy().astype(int)
    weights = frame["counts"].to_numpy().astype(float)
    expected = compute_metrics(
        y_true, proba[["probability_no", "probability_yes"]].to_numpy(), sample_weight=weights
    )
    for name in ("accuracy", "log_loss", "roc_auc", "f1_macro"):
        assert found.assessment.metrics[name].value == pytest.approx(expected[name], abs=1e-9)
    assert "groups" in found.assessment.method
    assert "signs of groups" in " ".join(found.cautions)
    frame.drop(columns=["patient", "counts"]).to_csv(fresh, index=False)
    by_row = assess(str(fresh))
    said = " ".join(by_row.cautions)
    assert "no column 'patient'" in said
    assert "each row counts once" in said
    one, other = (found.assessment.metrics["accuracy"], by_row.assessment.metrics["accuracy"])
    assert one.high - one.low > other.high - other.low
    watch = monitor(
        model="models:/ward/1", data=str(file), ignore=(), rule=DriftRule(metric=""), say=print
    )
    assert watch.drift.verdict != "drift"
    assert "counts" not in watch.sentence
    profile = from_json(load_model("models:/ward/1", str(tmp_path)).profile)
    assert profile.answers.effective < 20 < profile.answers.rows  # groups, rows by weight
    doubled = pd.concat([pd.read_csv(file)] * 2)
    doubled["counts"] = 1
    column = profile.columns[0]
    twice = np.full(len(doubled) // 2, 2.0)
    by_weight = count(column, doubled["a"][: len(twice)], twice)
    assert (by_weight == count(column, doubled["a"])).all()


def test_a_row_of_a_group_that_was_trained_on_is_no_unseen_row(
    store: Store, tmp_path: Path
) -> None:
    file = tmp_path / "ward.csv"
    once(make_ward)
    later = table()
    later["a"] += 0.01  # no row is the same, every patient is
    later.to_csv(file, index=False)
    seen = assess(str(file)).assessment.rows - assess(str(file), rows="unseen").assessment.rows
    assert seen > 400


def test_versions_of_another_structure_are_not_compared(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "ward.csv"
    once(make_ward)
    make(file, table(), "logistic_regression", group="none")
    first_in_production()
    with pytest.raises(BadInput, match=r"made with weight=counts, the other with group=patient"):
        go(version=3)
    assert "on 120 rows" not in go(version=3, force=True)
    with pytest.raises(BadInput, match="evaluate one at a time"):
        assess(str(file), against="models:/ward/3")


def test_versions_are_compared_on_rows_newer_than_both_cuts(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "ward.csv"
    frame = table()
    make(file, frame[:400], time="day", group="none")
    make(file, frame, "logistic_regression")
    first_in_production()
    assert "on 120 rows" in go()  # from row 480 on; version 1 knew the rows before row 320
    first = mlflow.MlflowClient()
    first.set_registered_model_alias("ward", "champion", "2")
    with pytest.raises(BadInput, match=r"only 0 rows from 2025-04-25.* on are new to both"):
        go(version=1)


def test_the_evidence_names_the_groups(store: Store) -> None:
    once(make_ward)
    first_in_production()
    go(dry_run=False, version=2)
    run = mlflow.search_runs(filter_string="run_name = 'promote ward'", output_format="list")[0]
    evidence = json.loads(
        Path(
            mlflow.artifacts.download_artifacts(
                run_id=run.info.run_id, artifact_path="promotion.json"
            )
        ).read_text()
    )
    assert evidence["rows"] == 10 * evidence["groups"]


def test_beside_a_model_of_another_maker_the_groups_of_ours_count(
    store: Store, tmp_path: Path
) -> None:
    file = tmp_path / "ward.csv"
    once(make_ward)
    frame = table(seed=1)
    frame.to_csv(file, index=False)
    model = LogisticRegression().fit(frame[["a", "b"]], frame["ill"])
    with mlflow.start_run():
        uri = mlflow.sklearn.log_model(
            model,
            name="m",
            signature=infer_signature(frame[["a", "b"]], frame["ill"]),
            pip_requirements=[],
            serialization_format="cloudpickle",
        ).model_uri
    for model, against in ((uri, "models:/ward/1"), ("models:/ward/1", uri)):
        found = assess(str(file), model=model, against=against, target="ill")
        assert "groups" in found.assessment.method, model
