"""CSV whose rows do not fit the heading: a real server refuses it, or reads it as it is meant."""

from pathlib import Path

import mlflow.cli
import pandas as pd
import pytest
from click.testing import CliRunner

from tests.conftest import Server, Store
from tests.serving_requests import CSV, FORMATS, IRIS_COLUMNS, bodies, predictions, refusal, send
from tests.tables import MIXED_ROW

HEADING = ",".join(IRIS_COLUMNS)
ROW, LONG, SHORT = "6.3,3.3,6.0,2.5", "6.3,3.3,6,0,2.5", "6.3,3.3,6.0"
VIRGINICA = dict(zip(IRIS_COLUMNS, [6.3, 3.3, 6.0, 2.5], strict=True))
MIXED = ",".join(MIXED_ROW)


def text(*lines: str, end: str = "\n") -> str:
    return "".join(line + end for line in lines)


REFUSED = {
    "one too many": (text(HEADING, LONG), "row 1: found 5 cells, the heading has 4"),
    "two too many": (text(HEADING, "6,3,3.3,6,0,2.5"), "row 1: found 6 cells"),
    "all with decimal commas": (text(HEADING, *["6,3,3,3,6,0,2,5"] * 2), "row 1: found 8 cells"),
    "one too many in the first row": (text(HEADING, LONG, ROW), "row 1: found 5 cells"),
    "one too many in some": (text(HEADING, LONG, ROW, LONG), "row 1: found 5 cells"),
    "decimal commas that make an even index": (
        text(HEADING, *[f"{n},3,3.3,6,2.5" for n in (4, 6, 8)]),
        "row 1: found 5 cells",
    ),
    "a comma at the end": (text(HEADING, ROW + ","), "row 1: found 5 cells"),
    "an index without heading": (text(HEADING, "0," + ROW, "1," + ROW), "row 1: found 5 cells"),
    "lines of Windows": (text(HEADING, ROW, SHORT, end="\r\n"), "row 2: found 3 cells"),
    "lines of an old Mac": (text(HEADING, ROW, SHORT, end="\r"), "row 2: found 3 cells"),
    "one too few": (text(HEADING, SHORT), "row 1: found 3 cells, the heading has 4"),
    "one too few at the end": (text(HEADING, *[ROW] * 2000, SHORT), "row 2001: found 3 cells"),
    "one too few after blank lines": (text(HEADING, "", ROW, " ", SHORT), "row 2: found 3 cells"),
    "a decimal comma in quotes": (text(HEADING, '"6,3",3.3,6.0,2.5'), "found the text '6,3'"),
    "semicolons": (text(HEADING.replace(",", ";"), ROW.replace(",", ";")), "is missing"),
    "semicolons, decimal commas": (
        text(HEADING.replace(",", ";"), "6,3;3,3;6,0;2,5"),
        "is missing",
    ),
    "no heading": (text(ROW, ROW), "is missing"),
    "heading twice": (text(HEADING, HEADING, ROW), "row 1 repeats the heading"),
    "heading at the end": (text(HEADING, ROW, HEADING), "row 2 repeats the heading"),
    "a name twice": (text(HEADING + ",sepal length (cm)", ROW + ",6.3"), "more than once"),
}
READ = {
    "plain": text(HEADING, ROW),
    "quoted numbers": text(HEADING, '"6.3",3.3,"6.0",2.5'),
    "a quoted comma in an extra column": text("note," + HEADING, '"early, or late",' + ROW),
    "a quoted line break": text(HEADING + ",note", ROW + ',"early\nor late"'),
    "blank lines": text("", HEADING, "", ROW, "   ", ""),
    "no line break at the end": text(HEADING, ROW)[:-1],
    "an index with an empty heading": text("," + HEADING, "7," + ROW),
    "an empty extra column": text(HEADING + ",note", ROW + ","),
}


@pytest.mark.parametrize("name", REFUSED)
def test_rows_that_do_not_fit_the_heading_are_refused(iris_server: Server, name: str) -> None:
    body, words = REFUSED[name]
    refusal(iris_server.post(data=body.encode(), headers=CSV), words)


def test_a_long_row_after_one_that_fits_is_refused_by_mlflow(iris_server: Server) -> None:
    answer = iris_server.post(data=text(HEADING, ROW, LONG).encode(), headers=CSV)
    assert answer.status_code == 400
    assert "Expected 4 fields in line 3, saw 5" in answer.json()["message"]


@pytest.mark.parametrize("name", READ)
def test_rows_that_fit_are_read(iris_server: Server, name: str) -> None:
    expected = predictions(iris_server.post({"inputs": [VIRGINICA]}))
    assert predictions(iris_server.post(data=READ[name].encode(), headers=CSV)) == expected


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("61,5,3,2.5,plus,205,Ulm,true,false,2024-05-01,2024-05-01,late", "found 12 cells"),
        ("61.5,3,2.5,plus,205,Ulm,true,false,2024-05-01,2024-05-01", "found 10 cells"),
        (MIXED, "row 1 repeats the heading"),
    ],
)
def test_rows_of_a_mixed_table_that_do_not_fit_are_refused(
    mixed_server: Server, row: str, words: str
) -> None:
    refusal(mixed_server.post(data=text(MIXED, row).encode(), headers=CSV), words)


def test_an_index_of_json_or_parquet_is_no_long_row(iris_server: Server) -> None:
    expected = predictions(iris_server.post({"inputs": [VIRGINICA, VIRGINICA]}))
    frame = pd.DataFrame([VIRGINICA, VIRGINICA])
    for index in ([0, 1], [7, 3], [6.3, 3.3], ["a", "b"], [None, None]):
        split = {"columns": IRIS_COLUMNS, "index": index, "data": frame.to_numpy().tolist()}
        assert predictions(iris_server.post({"dataframe_split": split})) == expected
        body = frame.set_axis(pd.Index(index), axis=0).to_parquet()
        headers = {"Content-Type": "application/vnd.apache.parquet"}
        assert predictions(iris_server.post(data=body, headers=headers)) == expected


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("city", ["Ulm\0", "Ulm\0\0", "Ulm \0and more"])
def test_a_text_ends_at_the_character_nul_in_every_format(
    mixed_server: Server, form: str, city: str
) -> None:
    expected = predictions(mixed_server.post({"inputs": [MIXED_ROW]}))
    assert predictions(send(mixed_server, bodies([{**MIXED_ROW, "city": city}])[form])) == expected


def test_mlflow_models_predict_refuses_them_too(served: Store, tmp_path: Path) -> None:
    mlflow.set_tracking_uri(served.uri)
    file = tmp_path / "rows.csv"
    command = ["models", "predict", "-m", "models:/iris/1", "--env-manager", "local", "-t", "csv"]
    for line, words in ((LONG, "row 1: found 5 cells"), (SHORT, "row 1: found 3 cells")):
        file.write_text(text(HEADING, line))
        done = CliRunner().invoke(mlflow.cli.cli, [*command, "-i", str(file)])
        assert done.exit_code
        assert words in str(done.exception)
