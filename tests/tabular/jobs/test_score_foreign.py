"""Models of other makers are scored as MLflow loads them."""

from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.models import ModelSignature, infer_signature
from mlflow.types import ColSpec, DataType, Schema
from sklearn.linear_model import LogisticRegression

from tabular.errors import BadInput
from tests.conftest import Store
from tests.tables import mixed_table
from tests.tabular.jobs.test_score import read, score
from tests.tabular.jobs.test_score_output import mistake


@pytest.fixture(scope="session")
def foreign(served: Store) -> str:
    """URI of a classifier that MLflow's own scikit-learn flavour has logged."""
    mlflow.set_tracking_uri(served.uri)
    frame = mixed_table(200)
    model = LogisticRegression().fit(frame[["amount", "visits"]].astype(float), frame["label"])
    signature = infer_signature(frame[["amount", "visits"]].astype(float), np.array(["yes"]))
    with mlflow.start_run(experiment_id=mlflow.get_experiment_by_name("tests").experiment_id):
        info = mlflow.sklearn.log_model(
            model, name="model", signature=signature, pip_requirements=[], skops_trusted_types=[]
        )
    return str(info.model_uri)


def test_a_model_of_another_maker_gets_its_columns_in_its_types(folder: Path, foreign: str) -> None:
    frame = mixed_table(60)
    frame.loc[7, "amount"] = None
    frame.to_parquet("new.parquet")
    frame.to_csv("new.csv", index=False)
    for ending in ("csv", "parquet"):
        outcome = score(f"new.{ending}", f"out.{ending}", foreign)
        assert (outcome.scored, outcome.rejected) == (59, 1)
        found = read(outcome.output)
        assert list(found)[-3:] == ["prediction", "probability_no", "probability_yes"]
        raw = mlflow.sklearn.load_model(foreign)
        kept = frame.drop(index=7)[["amount", "visits"]].astype(float)
        assert list(found["prediction"]) == list(raw.predict(kept))
        shares = found["probability_yes"].astype(float)
        assert np.allclose(shares, raw.predict_proba(kept)[:, 1], rtol=0, atol=1e-12)
        assert "NaN" in read(outcome.side)["rejected_reason"][0]


def test_a_csv_for_a_model_that_names_no_inputs_is_refused_with_the_way_out(folder: Path) -> None:
    frame = mixed_table(60)
    model = LogisticRegression().fit(frame[["amount", "visits"]].astype(float), frame["label"])
    signature = ModelSignature(outputs=Schema([ColSpec(DataType.string, "prediction")]))
    with mlflow.start_run():
        info = mlflow.sklearn.log_model(
            model, name="model", signature=signature, pip_requirements=[], skops_trusted_types=[]
        )
    new = frame[["amount", "visits"]].astype(float)
    new.to_csv("new.csv", index=False)
    new.to_parquet("new.parquet", index=False)
    said = mistake(folder, "new.csv", "out.csv", info.model_uri)
    assert "names no input columns" in said
    assert said.endswith("; give the table as Parquet")
    found = read(score("new.parquet", "out.parquet", info.model_uri).output)
    assert list(found["prediction"]) == list(model.predict(new))


CODED = """
import mlflow
import pandas as pd


class Coded(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input: pd.DataFrame, params=None):
        amounts = model_input["amount"]
        return {answer}


mlflow.models.set_model(Coded())
"""


def coded(folder: Path, answer: str) -> str:
    """URI of a model that is no more than a line of Python."""
    code = folder / "coded.py"
    code.write_text(CODED.replace("{answer}", answer))
    with mlflow.start_run():
        info = mlflow.pyfunc.log_model(name="model", python_model=str(code), pip_requirements=[])
    return str(info.model_uri)


@pytest.mark.filterwarnings("ignore:.*type hint:UserWarning")
def test_a_model_that_is_code_and_gives_labels_only_is_asked_too(folder: Path) -> None:
    frame = mixed_table(60)
    frame.to_parquet("new.parquet")
    outcome = score("new.parquet", "out.parquet", coded(folder, "(amounts > 50).map(str).tolist()"))
    assert list(read(outcome.output)["prediction"]) == list((frame["amount"] > 50).map(str))


@pytest.mark.filterwarnings("ignore:.*type hint:UserWarning")
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("amounts.tolist()[1:]", "59 answers to 60 rows"),
        ("pd.Series([1, 'no'] * 30)", "not of one type"),
        ("1 / 0", "refuses every one of the first rows: division by zero"),
    ],
)
def test_a_model_whose_answers_are_no_answers_ends_in_one_sentence(
    folder: Path, answer: str, words: str
) -> None:
    mixed_table(60).to_parquet("new.parquet")
    model = coded(folder, answer)
    assert words in mistake(folder, "new.parquet", "out.parquet", model)


@pytest.mark.filterwarnings("ignore:.*type hint:UserWarning")
def test_a_model_that_refuses_later_rows_without_end_ends_in_one_sentence(folder: Path) -> None:
    frame = pd.DataFrame({"amount": np.r_[np.ones(100), np.zeros(2000)]})
    frame.to_parquet("new.parquet")
    model = coded(folder, "amounts.map(lambda amount: 1 // int(amount))")
    with pytest.raises(BadInput, match="refuses too many rows"):
        score("new.parquet", "out.parquet", model)
    assert not (folder / "out.parquet").exists()
    assert mlflow.last_active_run().info.status == "FAILED"
