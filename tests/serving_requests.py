"""Rows as requests in every format, and what an answer of a model server has to be."""

import io
from typing import Any

import pandas as pd

from tests.conftest import Server

IRIS_COLUMNS = ["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"]
IRIS_ROW = dict(zip(IRIS_COLUMNS, [5.1, 3.5, 1.4, 0.2], strict=True))
CSV = {"Content-Type": "text/csv"}
PARQUET = {"Content-Type": "application/vnd.apache.parquet"}
JSON = {"Content-Type": "application/json"}


def bodies(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The same rows in every native format, as options of `Server.post`."""
    frame = pd.DataFrame(rows)
    buffer = io.BytesIO()
    frame.to_parquet(buffer)
    columns = list(rows[0])
    values = [list(row.values()) for row in rows]
    by_column = {c: [row[c] for row in rows] for c in columns}
    return {
        "dataframe_split": {"body": {"dataframe_split": {"columns": columns, "data": values}}},
        "dataframe_records": {"body": {"dataframe_records": rows}},
        "inputs, list of objects": {"body": {"inputs": rows}},
        "inputs, object of lists": {"body": {"inputs": by_column}},
        "instances": {"body": {"instances": rows}},
        "csv": {"data": frame.to_csv(index=False).encode(), "headers": CSV},
        "parquet": {"data": buffer.getvalue(), "headers": PARQUET},
    }


def send(server: Server, options: dict[str, Any]) -> Any:
    options = dict(options)
    return server.post(options.pop("body", None), **options)


FORMATS = list(bodies([IRIS_ROW]))


def predictions(response: Any) -> list[dict[str, Any]]:
    assert response.status_code == 200, response.text
    answer: list[dict[str, Any]] = response.json()["predictions"]
    for row in answer:
        share = [value for name, value in row.items() if name.startswith("probability_")]
        assert all(0 <= value <= 1 for value in share)
        assert abs(sum(share) - 1) < 1e-9
    return answer


def refusal(response: Any, *words: str) -> None:
    """Refused in one clean sentence of ours that has these words in it."""
    assert response.status_code == 400, response.text
    answer = response.json()
    assert set(answer) == {"error_code", "message", "problems"}
    assert answer["error_code"] == "INVALID_PARAMETER_VALUE"
    for word in words:
        assert word in answer["message"]
    clean(response)


def clean(response: Any) -> None:
    for leak in ("Traceback", 'File "', "site-packages", "/artifacts", "Failed to predict"):
        assert leak not in response.text
