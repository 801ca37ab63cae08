"""Models of other makers go through score, evaluate and promote's comparison alike."""

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.models import infer_signature
from mlflow.pyfunc.model import PythonModel
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.svm import LinearSVC

from tabular.errors import BadInput
from tabular.gate.compare import Contender, ask_version
from tabular.jobs.evaluate import Evaluation, evaluate
from tabular.jobs.score import score
from tabular.models.load import load_model
from tabular.store.registry import Version
from tabular.table.dataset import make_dataset
from tests.conftest import Store
from tests.tables import mixed_table

pytestmark = [
    pytest.mark.filterwarnings("ignore:Hint. Inferred schema contains integer"),
    pytest.mark.filterwarnings("ignore:.*input example was not provided"),
    pytest.mark.filterwarnings("ignore:.*Add type hints"),
]
COLUMNS = ["amount", "visits", "active", "plan", "joined"]


def other_table(n_rows: int = 60, seed: int = 0) -> pd.DataFrame:
    return mixed_table(n_rows, seed)[[*COLUMNS, "label"]]


class OpensAFile(PythonModel):
    """Reads its threshold from a file of its own while it predicts."""

    def load_context(self, context: Any) -> None:
        """Keeps where the file is."""
        self.file = Path(context.artifacts["threshold"])

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
        """Labels."""
        threshold = float(self.file.read_text())
        return np.where(model_input["amount"] > threshold, "yes", "no")


class Probabilities(PythonModel):
    """Gives the same columns as a version of this project, and refuses amounts below 40."""

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
        """Labels and probabilities."""
        amount = model_input["amount"].to_numpy()
        if (amount < 40).any():
            raise MemoryError
        yes = 1 / (1 + np.exp(50 - amount))
        labels = np.where(yes > 0.5, "yes", "no")
        columns = {"prediction": labels, "probability_no": 1 - yes, "probability_yes": yes}
        return pd.DataFrame(columns)


def log_model(kind: str, folder: Path) -> str:
    """Logs a model of another maker; returns its URI."""
    table = other_table(300, seed=1)
    features = table[COLUMNS]
    options: dict[str, Any] = {
        "name": "m",
        "signature": infer_signature(features, table["label"].to_numpy(object)),
        "pip_requirements": ["mlflow"],
    }
    with mlflow.start_run():
        if kind in ("opens a file", "probabilities"):
            (folder / "threshold.txt").write_text("50")
            model = OpensAFile() if kind == "opens a file" else Probabilities()
            return str(
                mlflow.pyfunc.log_model(
                    python_model=model,
                    artifacts={"threshold": str(folder / "threshold.txt")},
                    **options,
                ).model_uri
            )
        classifier = LinearSVC() if kind == "labels only" else LogisticRegression()
        encoded = make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore"), ["plan"]),
            ("passthrough", ["amount", "visits", "active"]),
        )
        fitted = make_pipeline(encoded, classifier).fit(features, table["label"])
        logged = mlflow.sklearn.log_model(fitted, serialization_format="cloudpickle", **options)
        return str(logged.model_uri)


KINDS = ("scikit-learn", "labels only", "opens a file", "probabilities")


@pytest.mark.parametrize("kind", KINDS)
def test_score_evaluate_and_promote_get_the_same_predictions(
    store: Store, tmp_path: Path, kind: str
) -> None:
    uri = log_model(kind, tmp_path)
    table = other_table()
    table.to_csv("new.csv", index=False)
    table.to_parquet("new.parquet", index=False)
    scored = {}
    for data in ("new.csv", "new.parquet"):
        outcome = score(model=uri, data=data, output="out.parquet", engine="local", say=print)
        scored[data] = pd.read_parquet(outcome.output)
        found = evaluated(uri, data)
        assert found.assessment.rows == outcome.scored
        right = (scored[data]["prediction"] == scored[data]["label"]).mean()
        assert found.assessment.metrics["accuracy"].value == pytest.approx(right)
        gives = "probability_yes" in scored[data]
        assert gives == ("log_loss" in found.assessment.metrics)
        assert gives == (kind in ("scikit-learn", "probabilities"))
    added = [name for name in scored["new.csv"] if name not in table]
    pd.testing.assert_frame_equal(scored["new.csv"][added], scored["new.parquet"][added])

    # promote asks with the typed rows of a version's holdout
    dataset = make_dataset(table, "label", name="t", source="t")
    rows = dataset.labelled(np.ones(len(table), dtype=bool))
    model = load_model(uri, str(tmp_path))
    version = Version(name="m", number=1, run_id="", stage="None", metrics={}, tags={})
    contender = Contender(version, model, rows, "label", np.empty(0))
    if kind == "probabilities":
        with pytest.raises(BadInput, match="version 1 cannot score the common rows; the first"):
            ask_version(contender, rows.drop(columns="label"), dataset.labels)
        return
    asked = ask_version(contender, rows.drop(columns="label"), dataset.labels)
    assert asked.labels_only == (kind != "scikit-learn")
    assert asked.y_pred is not None
    labels = [dataset.labels[code] for code in asked.y_pred]
    assert labels == scored["new.parquet"]["prediction"].tolist()


def evaluated(model: str, data: str) -> Evaluation:
    return evaluate(
        model=model, data=data, target="label", against="", rows="all",
        confidence=0.95, resamples=100, seed=0, say=lambda _: None,
    )  # fmt: skip


def test_cells_that_are_not_of_the_signatures_type_are_refused_alone(
    store: Store, tmp_path: Path
) -> None:
    uri = log_model("scikit-learn", tmp_path)
    table = other_table(12).astype(object)
    for row, (name, cell) in enumerate(
        [("amount", "many"), ("visits", "2.5"), ("active", "maybe"), ("joined", "soon")]
    ):
        table.loc[row, name] = cell
    table.to_csv("new.csv", index=False)
    score(model=uri, data="new.csv", output="out.csv", engine="local", say=print)
    side = pd.read_csv("out.rejected.csv")
    assert side["rejected_row"].tolist() == [1, 2, 3, 4]
    assert side["rejected_reason"].tolist() == [
        "column 'amount': expected a number, found 'many'",
        "column 'visits': expected a whole number, found '2.5'",
        "column 'active': expected true or false, found 'maybe'",
        "column 'joined': expected a date, found 'soon'",
    ]
    found = evaluated(uri, "new.csv")
    assert found.assessment.rows == 8
    assert "the first: row 1, column 'amount': expected a number, found 'many'" in found.cautions[0]


def test_an_error_without_a_message_is_a_reason(store: Store, tmp_path: Path) -> None:
    uri = log_model("probabilities", tmp_path)
    table = other_table()
    table.to_parquet("new.parquet", index=False)
    few = int((table["amount"] < 40).sum())
    outcome = score(model=uri, data="new.parquet", output="out.parquet", engine="local", say=print)
    assert outcome.rejected == few > 0
    side = pd.read_parquet(outcome.side or "")
    assert set(side["rejected_reason"]) == {"MemoryError"}
    found = evaluated(uri, "new.parquet")
    assert found.assessment.rows == len(table) - few
    assert f"{few} of 60 rows cannot be scored" in found.cautions[0]
    table.assign(amount=1.0).to_parquet("low.parquet", index=False)
    for command in (
        lambda: evaluated(uri, "low.parquet"),
        lambda: score(model=uri, data="low.parquet", output="o.csv", engine="local", say=print),
    ):
        with pytest.raises(BadInput, match="MemoryError"):
            command()
