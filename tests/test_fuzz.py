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
from tests.tables import MIXED_ROW, mixed_table
from tests.test_serving import CSV, IRIS_ROW, JSON, PARQUET

FEW = settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
MANY = settings(FEW, max_examples=4000)
REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "1000"))  # to all models of several together
CLOSE = 1e-12

NUMBERS = (
    st.floats()
    | st.integers(-9, 9)
    | st.integers()
    | st.sampled_from([1e39, 3.4028234663852886e38, 2**53 + 1, 10**400, -0.0, 1e-320, True])
)
TEXTS = st.text(max_size=6) | st.sampled_from(
    [
        *("", " ", "NA", "null", "5.1", "true", "Ulm", "plus", "2024-05-01", "13/02/2024", "a,b"),
        *('"', "\ud800", "a\x00", "205.0", "x" * 5000, "2024-05-01T08:30:00+02:00", "1e400"),
    ]
)
CELLS = st.none() | st.booleans() | NUMBERS | TEXTS
ANYTHING = st.recursive(
    CELLS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3)
)
PLAIN: dict[str, st.SearchStrategy[Any]] = {
    "amount": st.floats(-1e6, 1e6) | st.integers(-100, 100),
    "visits": st.integers(0, 9),
    "income": st.none() | st.floats(-10, 10),
    "plan": st.sampled_from(["basic", "plus", "pro, “gold”", "new"]),
    "region": st.sampled_from([110, "205", 940.0, 7]),
    "city": st.sampled_from(["Ulm", "Bonn", "Köln", "Paris", None, ""]),
    "active": st.booleans() | st.sampled_from([0, 1, "true"]),
    "flag": st.none() | st.booleans(),
    "joined": st.dates().map(str),
    "seen": st.none() | st.datetimes().map(lambda moment: moment.isoformat()),
    "note": st.none() | st.text(max_size=20) | st.just("late parcel again"),
}
NUMERIC = dict.fromkeys(IRIS_ROW, st.floats(-1e6, 1e6) | st.integers(-100, 100))


@st.composite
def rows(draw: st.DrawFn, plain: dict[str, st.SearchStrategy[Any]]) -> list[dict[str, Any]]:
    """A few rows, most of them right, some with cells, names or columns that are not."""
    found = []
    for _ in range(draw(st.integers(1, 3))):
        row = {name: draw(cells) for name, cells in plain.items()}
        for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
            row[draw(st.sampled_from(list(plain)))] = draw(CELLS | ANYTHING)
        if draw(st.integers(0, 9)) == 0:
            row.pop(draw(st.sampled_from(list(plain))))
        if draw(st.integers(0, 9)) == 0:
            row[draw(TEXTS | st.just(f"{next(iter(plain))}.1"))] = draw(CELLS)
        found.append(row)
    return found


@st.composite
def documents(draw: st.DrawFn, plain: dict[str, st.SearchStrategy[Any]]) -> dict[str, Any]:
    """The body of a JSON request."""
    some = draw(rows(plain))
    names = list(some[0])
    values = [[row.get(name) for name in names] for row in some]
    forms: dict[str, list[Any]] = {
        "inputs": [some, {n: [row.get(n) for row in some] for n in names}, values, some[0]],
        "instances": [some, values],
        "dataframe_records": [some],
        "dataframe_split": [
            {"columns": names, "data": values},
            {"columns": [*names, names[0]], "data": [[*row, row[0]] for row in values]},
            {"columns": names, "data": values, "index": draw(st.lists(CELLS, max_size=3))},
        ],
    }
    form = draw(st.sampled_from(list(forms)))
    payload = draw(st.sampled_from(forms[form]) | st.just(some))
    if draw(st.integers(0, 19)) == 0:
        payload = draw(ANYTHING)
    body: dict[str, Any] = {form: payload}
    if draw(st.integers(0, 9)) == 0:
        body["params"] = {"threshold": draw(st.floats(0, 1) | st.floats())}
    return body


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


def clean(response: Any) -> None:
    for leak in ("Traceback", 'File "', "site-packages", "/artifacts", "Failed to predict"):
        assert leak not in response.text


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
