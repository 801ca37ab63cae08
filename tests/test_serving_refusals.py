"""What a real `mlflow models serve` answers to bad input."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Server
from tests.serving_requests import (
    CSV,
    FORMATS,
    IRIS_COLUMNS,
    IRIS_ROW,
    JSON,
    PARQUET,
    bodies,
    clean,
    predictions,
    refusal,
    send,
)
from tests.tables import MIXED_ROW

pytestmark = pytest.mark.usefixtures("still_healthy")


@pytest.mark.parametrize("form", FORMATS)
def test_an_absent_feature_is_named(iris_server: Server, form: str) -> None:
    row = {name: value for name, value in IRIS_ROW.items() if name != IRIS_COLUMNS[2]}
    refusal(send(iris_server, bodies([row])[form]), "petal length (cm)", "missing")


@pytest.mark.parametrize("form", FORMATS)
def test_no_value_is_refused_where_training_always_had_one(iris_server: Server, form: str) -> None:
    rows: list[dict[str, Any]] = [IRIS_ROW, {**IRIS_ROW, IRIS_COLUMNS[3]: None}]
    refusal(send(iris_server, bodies(rows)[form]), "row 2", "petal width (cm)", "no value")


@pytest.mark.parametrize(
    ("column", "value", "found"),
    [
        *(("amount", True, "true"), ("amount", "5.1", "'5.1'"), ("amount", "x", "'x'")),
        *(
            ("amount", [5.1], "a list"),
            ("amount", {"a": 5.1}, "an object"),
            ("amount", "", "empty"),
        ),
        *(
            ("amount", float("inf"), "inf"),
            ("amount", 10**400, "digits"),
            ("amount", 1e39, "1e+39"),
        ),
        *(("visits", False, "false"), ("active", 7, "7"), ("active", "maybe", "'maybe'")),
        *(("active", 0.5, "0.5"), ("joined", "13/02/2024", "'13/02/2024'")),
        *(
            ("joined", "2024-02-30", "'2024-02-30'"),
            ("joined", 2024, "2024"),
            ("joined", "", "empty"),
        ),
        *(
            ("joined", "20240501", "'20240501'"),
            ("joined", True, "true"),
            ("plan", ["plus"], "list"),
        ),
        *(("city", {"name": "Ulm"}, "an object"), ("note", ["late"], "a list")),
    ],
)
@pytest.mark.parametrize(
    "form", ["dataframe_split", "dataframe_records", "inputs, list of objects"]
)
def test_a_value_of_the_wrong_kind_is_refused(
    mixed_server: Server, form: str, column: str, value: Any, found: str
) -> None:
    rows = [MIXED_ROW, {**MIXED_ROW, column: value}]
    columns = list(MIXED_ROW)
    body = {
        "dataframe_split": {
            "dataframe_split": {"columns": columns, "data": [list(row.values()) for row in rows]}
        },
        "dataframe_records": {"dataframe_records": rows},
        "inputs, list of objects": {"inputs": rows},
    }[form]
    response = mixed_server.post(data=json.dumps(body), headers=JSON)
    refusal(response, "row 2", repr(column), found)


@pytest.mark.parametrize("name", ["amount", "city", "note"])
def test_half_a_character_is_refused(mixed_server: Server, name: str) -> None:
    body = json.dumps({"inputs": [MIXED_ROW | {name: "\ud800"}]})
    response = mixed_server.post(data=body, headers=JSON)
    assert response.status_code == 400
    assert "half a character" in response.json()["message"]


def test_text_in_a_csv_of_numbers_is_refused(iris_server: Server) -> None:
    text = ",".join(IRIS_COLUMNS) + "\n5.1,3.5,1.4,0.2\n5.1,3.5,wide,0.2\n"
    refusal(iris_server.post(data=text, headers=CSV), "petal length (cm)")


@pytest.mark.parametrize("number", ["1e400", "Infinity", "-Infinity", "1" * 400])
def test_numbers_beyond_all_measure_are_refused(iris_server: Server, number: str) -> None:
    body = json.dumps({"inputs": [IRIS_ROW]}).replace("5.1", number)
    refusal(iris_server.post(data=body, headers=JSON), "sepal length (cm)")


@pytest.mark.parametrize("number", [1e30, -1e37, 3e38])
def test_extreme_numbers_are_scored_within_bounds(iris_server: Server, number: float) -> None:
    predictions(iris_server.post({"inputs": [{**IRIS_ROW, IRIS_COLUMNS[0]: number}]}))


def test_doubled_columns_are_refused(iris_server: Server) -> None:
    columns = [*IRIS_COLUMNS, IRIS_COLUMNS[0]]
    data = [[5.1, 3.5, 1.4, 0.2, 9.9]]
    body = {"dataframe_split": {"columns": columns, "data": data}}
    refusal(iris_server.post(body), "sepal length (cm)", "more than once")
    text = ",".join(columns) + "\n5.1,3.5,1.4,0.2,9.9\n"
    refusal(iris_server.post(data=text, headers=CSV), "sepal length (cm)", "more than once")


def test_a_csv_without_headings_is_refused_also_where_it_is_one_row(iris_server: Server) -> None:
    refusal(iris_server.post(data="5.1,3.5,1.4,0.2", headers=CSV), "sepal length (cm)", "missing")


def test_lists_of_unequal_length_are_refused(iris_server: Server) -> None:
    lists: dict[str, list[float]] = {name: [1.0, 2.0] for name in IRIS_COLUMNS}
    lists[IRIS_COLUMNS[1]] = [1.0]
    refusal(iris_server.post({"inputs": lists}), "unequal lengths")


@pytest.mark.parametrize(
    "params", [{"treshold": 0.9}, {"temperature": 1}, {"threshold": 0.5, "x": 1}]
)
def test_unknown_params_are_refused(mixed_server: Server, params: dict[str, float]) -> None:
    refusal(mixed_server.post({"inputs": [MIXED_ROW], "params": params}), "unknown params")


def test_a_threshold_of_three_classes_is_refused(iris_server: Server) -> None:
    answer = iris_server.post({"inputs": [IRIS_ROW], "params": {"threshold": 0.9}})
    refusal(answer, "unknown params", "coverage", "reasons")


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"coverage": 1.0}, ("coverage must be above 0 and below 1", "found 1.0")),
        ({"coverage": -0.1}, ("coverage",)),
        ({"reasons": 5}, ("reasons must be a whole number from 0 to 4", "found 5")),
        ({"reasons": -1}, ("reasons",)),
        ({"reasons": 1, "reasons_for": "rose"}, ("'setosa', 'versicolor', 'virginica'", "'rose'")),
        ({"reasons_for": "setosa"}, ("reasons_for needs reasons",)),
        ({"reason": 2}, ("unknown params", "'reasons'")),
    ],
)
def test_what_cannot_be_asked_for_is_refused(
    iris_server: Server, params: dict[str, Any], words: tuple[str, ...]
) -> None:
    refusal(iris_server.post({"inputs": [IRIS_ROW], "params": params}), *words)


@pytest.mark.parametrize("threshold", [-0.1, 1.1])
def test_a_threshold_that_is_no_probability_is_refused(
    mixed_server: Server, threshold: float
) -> None:
    body = {"inputs": [MIXED_ROW], "params": {"threshold": threshold}}
    refusal(mixed_server.post(body), "between 0 and 1")


# What MLflow answers itself, before the model is asked: 4xx, and never the rows of a good request.


@pytest.mark.parametrize(
    "options",
    [
        {"data": b"", "headers": JSON},
        {"data": b"{broken", "headers": JSON},
        {"data": b"[1, 2]", "headers": JSON},
        {"data": b'"text"', "headers": JSON},
        {"data": b"{}", "headers": JSON},
        {"data": b'{"inputs": "\xff"}', "headers": JSON},
        {"body": {"inputs": [IRIS_ROW], "instances": [IRIS_ROW]}},
        {"body": {"dataframe_split": [1]}},
        {"body": {"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}}},
        {"body": {"inputs": [[5.1, 3.5, 1.4, 0.2], [5.1]]}},
        {"data": b"a,b\n1,2", "headers": {"Content-Type": "application/xml"}},
        {"data": b"a,b\n1,2", "headers": {"Content-Type": "text/csv; charset=latin-1"}},
        {"data": b"\xff\xfe", "headers": CSV},
    ],
)
def test_what_is_no_request_gets_a_4xx(iris_server: Server, options: dict[str, Any]) -> None:
    response = send(iris_server, options)
    assert response.status_code in (400, 415)
    assert response.text
    clean(response)


@pytest.mark.parametrize(
    "options",
    [
        {"data": b"", "headers": CSV},
        {"data": b'a,b\n1,2\n3,4,5\n"', "headers": CSV},
        {"data": b"garbage", "headers": PARQUET},
    ],
)
def test_unreadable_csv_and_parquet_get_a_400_of_mlflow(
    iris_server: Server, options: dict[str, Any]
) -> None:
    # MLflow adds its own stack trace here, before the model is asked
    assert send(iris_server, options).status_code == 400


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_the_server_runs_on_uvloop_and_httptools(iris_server: Server) -> None:
    below, mapped = [iris_server.process.pid], ""
    while below:
        process = Path("/proc", str(below.pop()))
        below += map(int, (process / "task" / process.name / "children").read_text().split())
        mapped += (process / "maps").read_text()
    assert "uvloop" in mapped and "httptools" in mapped


def test_a_server_that_was_asked_wrongly_still_answers(iris_server: Server) -> None:
    for _ in range(20):
        iris_server.post({"inputs": [{"nonsense": 1}]})
    assert len(predictions(iris_server.post({"inputs": [IRIS_ROW]}))) == 1
