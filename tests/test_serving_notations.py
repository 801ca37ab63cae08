"""A model trained on a table in notations of people, behind a real server."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest

from steps import train
from tests.conftest import Server, Store, serving

ROW = {"price": 1234.5, "bought": "2024-01-31", "opened": 27000}
SPELLINGS = {
    "price": ["1.234,50 €", "1234,5", "€ 1.234,5"],
    "bought": ["31.01.2024", "31.1.2024", "31.01.2024 00:00", "2024-01-31T00:00:00Z"],
    "opened": ["07:30", "7:30:00", "7:30 am", "PT7H30M"],
}


@pytest.fixture(scope="module")
def notation_server(served: Store) -> Iterator[Server]:
    rng = np.random.default_rng(0)
    prices, days = rng.lognormal(7, 1, 200).round(2), rng.integers(0, 900, 200)
    euros = [f"{price:,.2f} €".translate({ord(","): ".", ord("."): ","}) for price in prices]
    bought = (pd.Timestamp("2022-01-01") + pd.to_timedelta(days, "D")).strftime("%d.%m.%Y")
    opened = [f"{hour:02}:{minute:02}" for hour, minute in rng.integers(0, 24, (200, 2))]
    y = np.where(np.log(prices) + days / 450 > 8, "yes", "no")
    table = pd.DataFrame({"price": euros, "bought": bought, "opened": opened, "y": y})
    file = Path(served.folder, "notations.csv")
    table.to_csv(file, index=False)
    mlflow.set_tracking_uri(served.uri)
    train.main(["--data", str(file), "--target", "y"])
    command = "mlflow models serve -m models:/notations/1 --env-manager local"
    with serving(command, served.folder, served.environment) as server:
        yield server


def answer(response: Any) -> Any:
    assert response.status_code == 200, response.text
    return response.json()["predictions"]


def test_each_spelling_gets_the_answer_of_the_plain_value(notation_server: Server) -> None:
    (plain,) = answer(notation_server.post({"inputs": [ROW]}))
    predicted = plain.pop("prediction")
    for name, spellings in SPELLINGS.items():
        rows = [ROW | {name: spelling} for spelling in spellings]
        csv = pd.DataFrame(rows).to_csv(index=False).encode()
        for response in (
            notation_server.post({"inputs": rows}),
            notation_server.post({"dataframe_records": rows}),
            notation_server.post(data=csv, headers={"Content-Type": "text/csv"}),
        ):
            answers = answer(response)
            assert [each.pop("prediction") for each in answers] == [predicted] * len(rows)
            # some BLAS add up several rows in another order than one
            assert answers == [pytest.approx(plain, rel=1e-14, abs=0)] * len(rows)


@pytest.mark.parametrize(
    ("name", "cell", "example"),
    [
        ("price", "1,234.50 €", "1.234,5 €"),
        ("price", "$1.234,50", "1.234,5 €"),
        ("bought", "01/31/2024", "31.01.2024"),
        ("bought", "31.02.2024", "31.01.2024"),
        ("opened", "7:75", "13:30:00"),
    ],
)
def test_another_form_is_refused_with_an_example(
    notation_server: Server, name: str, cell: str, example: str
) -> None:
    response = notation_server.post({"inputs": [ROW | {name: cell}]})
    assert response.status_code == 400
    message = response.json()["message"]
    assert f"column {name!r}: expected " in message and example in message and cell in message
