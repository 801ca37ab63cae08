"""Requests that nobody thought of, to a real model server.

Each is judged by the long way in this process: what MLflow parses, `conform` and the pipeline.
The server has to give the same answer or the same refusal; a 5xx is MLflow's own or a failure.
"""

import csv
import io
import json
import os
from dataclasses import replace
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import scoring_server
from threadpoolctl import threadpool_limits

from custom_model.packaging import log_bundle
from custom_model.served.model import Model
from custom_model.served.requests import Refusal
from tabular.recipe.calibration import learn
from tabular.recipe.fit import fit
from tabular.recipe.recipe import Recipe
from tabular.search.cross_validation import Trial
from tabular.table.dataset import make_dataset
from tabular.table.split import split_rows
from tests.conftest import Server, Store, serving
from tests.random_requests import ANYTHING, NUMERIC, PLAIN, documents, rows
from tests.serving_requests import CSV, IRIS_ROW, JSON, PARQUET, clean
from tests.tables import MIXED_ROW, mixed_table

pytestmark = pytest.mark.xdist_group("servers")  # of iris and of mixed, started once

FEW = settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
MANY = settings(FEW, max_examples=1000)
REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "1000"))  # to all models of several together
CLOSE = 1e-12


@pytest.fixture(scope="session")
def judges(served: Store) -> dict[str, tuple[Model, Any]]:
    """For each model its bundle, here without the short way, and its metadata."""
    return {name: judge_of(f"models:/{name}/Production") for name in ("iris", "mixed")}


def judge_of(uri: str) -> tuple[Model, Any]:
    folder = mlflow.artifacts.download_artifacts(uri)
    files = {"pipeline": "pipeline.skops", "bundle": "bundle.json"}
    judge = Model({k: f"{folder}/artifacts/{v}" for k, v in files.items()})
    assert judge.few is not None  # the server takes the short way
    judge.few = None
    return judge, mlflow.models.Model.load(folder)


def check(judge: Model, response: Any, parsed: Any, params: Any) -> None:
    """The answer is what the long way says of the parsed request."""
    try:
        expected = pd.DataFrame(judge.predict(parsed, params))
    except Refusal as refusal:
        if response.status_code == 200 and "half a character" in refusal.message:
            return  # in a column that is not asked for: the short way does not read it
        assert response.status_code == 400, response.text
        assert response.json()["message"] == refusal.message
        assert "log says why" not in refusal.message  # a bug: nobody thought of it
        assert set(response.json()) == {"error_code", "message", "problems"}
        clean(response)
        return
    assert response.status_code == 200, response.text
    found = pd.DataFrame(response.json()["predictions"], columns=list(expected.columns))
    assert found["prediction"].tolist() == expected["prediction"].tolist()
    shares = found.drop(columns="prediction").to_numpy(float)
    np.testing.assert_allclose(
        shares, expected.drop(columns="prediction").to_numpy(float), rtol=0, atol=CLOSE
    )
    assert ((shares >= 0) & (shares <= 1)).all()
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=0, atol=1e-9)


def ask_json(server: Server, judged: tuple[Model, Any], document: dict[str, Any]) -> None:
    judge, metadata = judged
    body = json.dumps(document)
    response = server.post(data=body, headers=JSON)
    try:
        parsed = scoring_server._parse_json_data(body, metadata, None)
    except MlflowException:  # what MLflow refuses itself
        assert response.status_code == 400
        clean(response)
        return
    except Exception:  # and where it stumbles
        assert response.status_code >= 400
        return
    if parsed.params is not None and len(judge.labels) != 2:
        assert response.status_code == 400
        assert "params" in response.json()["message"]
        return
    check(judge, response, parsed.data, parsed.params)


def ask_csv(server: Server, judged: tuple[Model, Any], some: list[dict[str, Any]]) -> None:
    try:
        text = pd.DataFrame(some).to_csv(index=False)
        body = text.encode()
    except UnicodeEncodeError:  # half a character cannot be sent
        return
    response = server.post(data=body, headers=CSV)
    cells = {len(row) for row in csv.reader(io.StringIO(text, newline="")) if row}
    if len(cells) > 1:  # a line break that pandas has written without quotes
        assert response.status_code == 400
        clean(response)
        return
    try:
        parsed = pd.read_csv(io.StringIO(text))
    except Exception:  # MLflow answers with a trace of its own
        assert response.status_code == 400
        return
    check(judged[0], response, parsed, {})


def ask_parquet(server: Server, judged: tuple[Model, Any], some: list[dict[str, Any]]) -> None:
    buffer = io.BytesIO()
    try:
        pd.DataFrame(some).to_parquet(buffer)
    except Exception:  # Parquet has one type per column
        return
    response = server.post(data=buffer.getvalue(), headers=PARQUET)
    check(judged[0], response, pd.read_parquet(io.BytesIO(buffer.getvalue())), {})


def fuzz(model: str, server: Server, judges: Any, profile: settings) -> None:
    plain = NUMERIC if model == "iris" else PLAIN

    @profile
    @given(documents(plain), rows(plain), st.sampled_from(["json"] * 4 + ["csv", "parquet"]))
    def run(document: dict[str, Any], some: list[dict[str, Any]], form: str) -> None:
        if form == "json":
            ask_json(server, judges[model], document)
        elif form == "csv":
            ask_csv(server, judges[model], some)
        else:
            ask_parquet(server, judges[model], some)

    run()
    assert server.healthy()
    row = IRIS_ROW if model == "iris" else MIXED_ROW
    assert server.post({"inputs": [row]}).status_code == 200


def test_any_request_of_numbers_gets_the_right_answer(iris_server: Server, judges: Any) -> None:
    fuzz("iris", iris_server, judges, FEW)


def test_any_request_of_a_mixed_table_gets_the_right_answer(
    mixed_server: Server, judges: Any
) -> None:
    fuzz("mixed", mixed_server, judges, FEW)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["iris", "mixed"])
def test_any_of_many_requests_gets_the_right_answer(
    iris_server: Server, mixed_server: Server, judges: Any, model: str
) -> None:
    fuzz(model, iris_server if model == "iris" else mixed_server, judges, MANY)


MEMBERS = ("logistic_regression", "hist_gradient_boosting", "random_forest")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("classes", "members", "calibration"),
    [
        (2, MEMBERS, ""),
        (2, MEMBERS, "isotonic"),
        (3, MEMBERS, "temperature"),
        (3, MEMBERS[1:2], "sigmoid"),
    ],
)
def test_a_model_of_several_gives_what_its_pipeline_gives(
    store: Store, classes: int, members: tuple[str, ...], calibration: str
) -> None:
    table = mixed_table()
    if classes == 3:
        table["label"] = table["label"].where(table["visits"] > 2, "perhaps")
    dataset = make_dataset(table, "label", name="several", source="memory")
    split = split_rows(dataset.row_hashes, dataset.codes, seed=0)
    trials = tuple(Trial(number, classifier, {}) for number, classifier in enumerate(members))
    weights = tuple(1 / len(members) for _ in members)
    recipe = Recipe(trials, weights, {}, method=calibration)
    if calibration:
        train = dataset.expanded[split.train]
        proba = fit(dataset, split, recipe, seed=0).predict_proba(train)
        calibrator = learn(calibration, proba, dataset.codes[split.train])
        recipe = replace(recipe, calibrator=calibrator)
    with mlflow.start_run():
        packed = log_bundle(
            fit(dataset, split, recipe, seed=0),
            dataset.columns,
            dataset.labels,
            dataset.table_columns,
            dataset.target,
            dataset.typed[:3],
            proof=dataset.typed[split.holdout],
            about={},
        )
    judges = {"several": judge_of(packed.info.model_uri)}
    command = f"mlflow models serve -m {packed.info.model_uri} --env-manager local"
    one_thread = store.environment | {"OMP_NUM_THREADS": "1"}  # this process and the server share
    with threadpool_limits(1), serving(command, store.folder, one_thread) as server:
        fuzz("several", server, judges, settings(FEW, max_examples=REQUESTS // 4))


BYTES = st.binary(max_size=60) | (st.text(max_size=60) | ANYTHING.map(json.dumps)).map(str.encode)
TYPES = [JSON, CSV, PARQUET, {"Content-Type": "text/plain"}, {"Content-Type": ";;"}]


@FEW
@given(BYTES, st.sampled_from(TYPES))
def test_bytes_that_are_no_request_get_a_4xx(
    iris_server: Server, body: bytes, headers: dict[str, str]
) -> None:
    response = iris_server.post(data=body, headers=headers)
    assert 400 <= response.status_code < 500, response.text
    assert iris_server.healthy()


@pytest.mark.parametrize(
    "options",
    [
        {"data": b"{}", "headers": {}},
        {"data": b'{"inputs": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "headers": JSON},
        {"data": b'{"inputs": [[' + b"9" * 5000 + b", 1, 1, 1]]}", "headers": JSON},
    ],
    ids=["no content type", "nested 100,000 deep", "a number of 5,000 digits"],
)
def test_what_mlflow_stumbles_over_itself_says_nothing_and_harms_nothing(
    iris_server: Server, options: dict[str, Any]
) -> None:
    response = iris_server.post(**options)
    assert response.status_code == 500
    assert response.text == "Internal Server Error"
    assert iris_server.healthy()
