"""What a real `mlflow models serve` answers to good and bad input."""

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.conftest import Server
from tests.tables import MIXED_ROW, mixed_table

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


@pytest.fixture(autouse=True)
def still_healthy(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each test the servers that it used are healthy, and no answer was a 5xx."""
    yield
    for name in ("iris_server", "mixed_server"):
        if name in request.fixturenames:
            assert request.getfixturevalue(name).healthy()


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


# --- good input ---------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_gets_the_same_answer_for_numbers(iris_server: Server, form: str) -> None:
    rows = [IRIS_ROW, {**IRIS_ROW, "petal length (cm)": 5.0, "petal width (cm)": 2.0}]
    expected = predictions(iris_server.post({"inputs": rows}))
    assert [row["prediction"] for row in expected] == ["setosa", "virginica"]
    assert list(expected[0]) == [
        *("prediction", "probability_setosa", "probability_versicolor", "probability_virginica"),
    ]
    assert predictions(send(iris_server, bodies(rows)[form])) == expected


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_gets_the_same_answer_for_a_mixed_table(
    mixed_server: Server, form: str
) -> None:
    rows = [MIXED_ROW, {**MIXED_ROW, "amount": 33.25, "plan": "pro, “gold”", "active": False}]
    expected = predictions(mixed_server.post({"inputs": rows}))
    assert expected[0] != expected[1]
    assert predictions(send(mixed_server, bodies(rows)[form])) == expected


@pytest.mark.parametrize("form", FORMATS)
def test_columns_come_in_any_order_and_extra_ones_are_ignored(
    mixed_server: Server, form: str
) -> None:
    expected = predictions(mixed_server.post({"inputs": [MIXED_ROW]}))
    shuffled = {"extra": "x", **dict(reversed(MIXED_ROW.items())), "another": 1.5}
    assert predictions(send(mixed_server, bodies([shuffled])[form])) == expected


@pytest.mark.parametrize("form", FORMATS)
def test_missing_values_are_scored_where_training_had_them(mixed_server: Server, form: str) -> None:
    absent = dict.fromkeys(("income", "city", "flag", "seen", "note"))
    rows = [{**MIXED_ROW, **absent}, MIXED_ROW]
    expected = predictions(mixed_server.post({"inputs": rows}))
    assert expected[0] != expected[1]
    assert predictions(send(mixed_server, bodies(rows)[form])) == expected


def test_a_feature_that_had_missing_values_may_be_left_out(mixed_server: Server) -> None:
    absent = dict.fromkeys(("income", "city", "flag", "seen", "note"))
    expected = predictions(mixed_server.post({"inputs": [{**MIXED_ROW, **absent}]}))
    short = {name: value for name, value in MIXED_ROW.items() if name not in absent}
    assert predictions(mixed_server.post({"inputs": [short]})) == expected


def test_plain_numbers_work_in_the_order_of_the_table(iris_server: Server) -> None:
    expected = predictions(iris_server.post({"inputs": [IRIS_ROW]}))
    values = list(IRIS_ROW.values())
    for body in (
        {"inputs": [values]},
        {"instances": [values]},
        {"dataframe_split": {"data": [values]}},
    ):
        assert predictions(iris_server.post(body)) == expected


def test_plain_numbers_are_refused_where_they_do_not_fit(
    iris_server: Server, mixed_server: Server
) -> None:
    refusal(iris_server.post({"inputs": [[5.1, 3.5, 1.4]]}), "expected 4 numbers", "found 3")
    refusal(iris_server.post({"inputs": [5.1, 3.5, 1.4, 0.2]}), "list of rows")
    refusal(mixed_server.post({"inputs": [list(range(11))]}), "numbers only")


def test_a_text_among_plain_numbers_is_the_only_one_at_fault(iris_server: Server) -> None:
    answer = iris_server.post({"inputs": [[5.1, 3.5, 1.4, 0.2], [5.1, "wide", 1.4, 0.2]]})
    refusal(answer, "row 2, column 'sepal width (cm)'", "the text 'wide'")
    assert len(answer.json()["problems"]) == 1
    refusal(iris_server.post({"inputs": [["5.1", 3.5, 1.4, 0.2]]}), "the text '5.1'")


@pytest.mark.parametrize(
    "options",
    [
        {"body": {"inputs": []}},
        {"body": {"instances": []}},
        {"body": {"dataframe_records": []}},
        {"body": {"dataframe_split": {"columns": IRIS_COLUMNS, "data": []}}},
        {"data": ",".join(IRIS_COLUMNS).encode(), "headers": CSV},
    ],
)
def test_no_rows_get_no_predictions(iris_server: Server, options: dict[str, Any]) -> None:
    assert predictions(send(iris_server, options)) == []


@pytest.mark.parametrize("value", [5, 5.0, np.float32(5).item(), 5.000])
def test_whole_numbers_are_numbers(iris_server: Server, value: float) -> None:
    expected = predictions(iris_server.post({"inputs": [{**IRIS_ROW, IRIS_COLUMNS[0]: 5.0}]}))
    for options in bodies([{**IRIS_ROW, IRIS_COLUMNS[0]: value}]).values():
        assert predictions(send(iris_server, options)) == expected


@pytest.mark.parametrize("dtype", ["int64", "int8", "float32", "Int64", "decimal"])
def test_parquet_numbers_of_any_width_are_numbers(iris_server: Server, dtype: Any) -> None:
    import decimal

    frame = pd.DataFrame([dict.fromkeys(IRIS_COLUMNS, 4.0)])
    expected = predictions(iris_server.post({"inputs": frame.to_dict("records")}))
    as_decimal = frame.map(lambda cell: decimal.Decimal(str(cell)))
    buffer = io.BytesIO()
    (as_decimal if dtype == "decimal" else frame.astype(dtype)).to_parquet(buffer)
    answer = iris_server.post(data=buffer.getvalue(), headers=PARQUET)
    assert predictions(answer) == expected


@pytest.mark.parametrize("code", [205, 205.0, "205", " 205 ", "205.0"])
def test_an_integer_coded_category_is_the_same_in_every_spelling(
    mixed_server: Server, code: Any
) -> None:
    expected = predictions(mixed_server.post({"inputs": [MIXED_ROW]}))
    for options in bodies([{**MIXED_ROW, "region": code}]).values():
        assert predictions(send(mixed_server, options)) == expected


@pytest.mark.parametrize("value", [True, 1, 1.0, "true", "True", "TRUE"])
def test_a_boolean_is_the_same_in_every_spelling(mixed_server: Server, value: Any) -> None:
    expected = predictions(mixed_server.post({"inputs": [MIXED_ROW]}))
    for options in bodies([{**MIXED_ROW, "active": value}]).values():
        assert predictions(send(mixed_server, options)) == expected


@pytest.mark.parametrize(
    "value",
    [
        *("2024-05-01T08:30:00", "2024-05-01 08:30:00", "2024-05-01T08:30:00.000"),
        *("2024-05-01T08:30:00Z", "2024-05-01T10:30:00+02:00", pd.Timestamp("2024-05-01 08:30")),
        pd.Timestamp("2024-05-01 08:30", tz="UTC"),
    ],
)
def test_a_date_is_the_same_in_every_spelling(mixed_server: Server, value: Any) -> None:
    expected = predictions(mixed_server.post({"inputs": [MIXED_ROW]}))
    forms = bodies([{**MIXED_ROW, "seen": value}])
    if isinstance(value, pd.Timestamp):
        forms = {"csv": forms["csv"], "parquet": forms["parquet"]}
    for options in forms.values():
        assert predictions(send(mixed_server, options)) == expected


def test_an_unseen_category_is_scored(mixed_server: Server) -> None:
    for options in bodies([{**MIXED_ROW, "city": "Paris", "region": 7, "plan": "new"}]).values():
        assert len(predictions(send(mixed_server, options))) == 1


def test_a_csv_with_byte_order_mark_and_crlf_is_read(iris_server: Server) -> None:
    expected = predictions(iris_server.post({"inputs": [IRIS_ROW]}))
    text = "\ufeff" + pd.DataFrame([IRIS_ROW]).to_csv(index=False, lineterminator="\r\n")
    assert predictions(iris_server.post(data=text.encode(), headers=CSV)) == expected


def test_a_json_file_with_the_charset_named_is_read(iris_server: Server) -> None:
    headers = {"Content-Type": "application/json; charset=utf-8"}
    answer = iris_server.post(data=json.dumps({"inputs": [IRIS_ROW]}).encode(), headers=headers)
    assert len(predictions(answer)) == 1


def test_the_threshold_of_two_classes_moves_the_label_alone(mixed_server: Server) -> None:
    rows = [MIXED_ROW]
    answer = predictions(mixed_server.post({"inputs": rows}))[0]
    share = answer["probability_yes"]
    below = {"inputs": rows, "params": {"threshold": share - 0.01}}
    above = {"inputs": rows, "params": {"threshold": share + 0.001}}
    assert predictions(mixed_server.post(below))[0] == {**answer, "prediction": "yes"}
    assert predictions(mixed_server.post(above))[0] == {**answer, "prediction": "no"}


def body_with(params: dict[str, Any], rows: list[dict[str, Any]], form: str) -> dict[str, Any]:
    return {**bodies(rows)[form]["body"], "params": params}


JSON_FORMATS = [form for form in FORMATS if "body" in bodies([IRIS_ROW])[form]]


@pytest.mark.parametrize("form", JSON_FORMATS)
def test_sets_and_reasons_come_after_the_probabilities_in_every_format(
    mixed_server: Server, form: str
) -> None:
    rows = [MIXED_ROW, {**MIXED_ROW, "amount": 48.0, "plan": "basic", "active": False}]
    plain = predictions(mixed_server.post({"inputs": rows}))
    params = {"coverage": 0.9, "reasons": 3}
    answers = predictions(mixed_server.post(body_with(params, rows, form)))
    sets = ["in_set_no", "in_set_yes"]
    reasons = [f"reason_{at}{end}" for at in (1, 2, 3) for end in ("", "_effect")]
    for answer, before in zip(answers, plain, strict=True):
        assert list(answer) == [*before, *sets, *reasons]
        assert answer | before == answer
        assert {answer[name] for name in sets} <= {True, False}
        moved = [abs(answer[f"reason_{at}_effect"]) for at in (1, 2, 3)]
        assert moved == sorted(moved, reverse=True)
    assert answers[0]["reason_1"] in ("amount", "plan")
    assert answers[0]["reason_1_effect"] > 0.1


def test_reasons_for_a_class_are_those_of_its_probability(mixed_server: Server) -> None:
    answers = [
        predictions(mixed_server.post({"inputs": [MIXED_ROW], "params": params}))[0]
        for params in ({"reasons": 2, "reasons_for": "yes"}, {"reasons": 2, "reasons_for": "no"})
    ]
    for at in ("1", "2"):
        assert answers[0][f"reason_{at}"] == answers[1][f"reason_{at}"]
        effects = [answer[f"reason_{at}_effect"] for answer in answers]
        assert abs(sum(effects)) < 1e-9
        assert effects[0] != 0


def test_a_row_like_the_typical_one_has_no_reasons(mixed_server: Server) -> None:
    rows = [MIXED_ROW] * 1001  # the long way
    long, short = (
        predictions(mixed_server.post({"inputs": some, "params": {"reasons": 11}}))[0]
        for some in (rows, rows[:1])
    )
    for at in range(1, 12):
        assert long[f"reason_{at}"] == short[f"reason_{at}"]
        assert abs(long[f"reason_{at}_effect"] - short[f"reason_{at}_effect"]) < 1e-9
    assert short["reason_11"] is None
    assert short["reason_11_effect"] == 0


def test_a_large_request_is_the_same_as_its_rows(mixed_server: Server) -> None:
    frame = mixed_table(3000, seed=5)
    buffer = io.BytesIO()
    frame.to_parquet(buffer)
    whole = predictions(mixed_server.post(data=buffer.getvalue(), headers=PARQUET))
    part = predictions(mixed_server.post(data=frame[:7].to_csv(index=False), headers=CSV))
    for one, other in zip(whole[:7], part, strict=True):
        assert one["prediction"] == other["prediction"]
        assert one["probability_yes"] == pytest.approx(other["probability_yes"], abs=1e-12)
    assert len(whole) == 3000


# --- bad input ----------------------------------------------------------------------------------


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
