"""What a real `mlflow models serve` answers to good input."""

import io
import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.conftest import Server
from tests.serving_requests import (
    CSV,
    FORMATS,
    IRIS_COLUMNS,
    IRIS_ROW,
    PARQUET,
    bodies,
    predictions,
    refusal,
    send,
)
from tests.tables import MIXED_ROW, mixed_table

pytestmark = pytest.mark.usefixtures("still_healthy")


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
