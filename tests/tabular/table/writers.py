"""Known numbers and dates, and every way to write them."""

import datetime
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from tabular.table.dataset import Dataset, make_dataset

Write = Callable[[Any], str]


def marked(grouping: str, decimal: str, form: str = "{}") -> Write:
    """Writes a number with two decimals, a minus before all else."""

    def write(value: float) -> str:
        digits = f"{abs(value):,.2f}".translate({ord(","): grouping, ord("."): decimal})
        return ("-" if value < 0 else "") + form.format(digits)

    return write


def bracketed(value: float) -> str:
    return f"({-value:,.2f})" if value < 0 else f"{value:,.2f}"


NUMBERS: list[Write] = [
    *(marked("", "."), marked("", ","), marked(",", "."), marked(".", ",")),
    *(marked(blank, ",") for blank in (" ", "\u00a0", "\u202f", "\u2009")),
    *(marked("'", "."), marked("\u2019", "."), marked("'", ",")),
    *(
        marked(",", ".", form)
        for form in ("${}", "US${}", "£ {}", "{} USD", "CHF {}", "{}%", "{} %")
    ),
    *(marked(".", ",", form) for form in ("€{}", "{} €", "{}\u00a0€", "EUR {}", "{} %", "{} kr")),
    *(lambda value: marked(".", ",")(value).replace("-", "\u2212"), bracketed),
    *(lambda value: marked(",", ".")(value) + " ", lambda value: f"{value:.17E}"),
]
"""Ways to write a number with two decimals."""

DAYS: list[Write] = [
    lambda day, form=form: day.strftime(form)  # type: ignore[misc]
    for form in (
        *("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y %m %d", "%Y/%d/%m"),
        *("%d-%m-%Y", "%d/%m/%Y", "%d.%m.%Y", "%d %m %Y", "%m/%d/%Y", "%m-%d-%Y"),
        *("%d.%m.%y", "%d/%m/%y", "%m/%d/%y", "%y-%m-%d"),
        *("%d %b %Y", "%d-%b-%Y", "%d %B %Y", "%d-%b-%y", "%b %d, %Y", "%B %d %Y", "%Y-%b-%d"),
        *("%a, %d %b %Y", "%A, %B %d, %Y", "%Y-%m-%dT00:00:00Z", "%d.%m.%Y 00:00"),
    )
]
DAYS += [
    lambda day: f"{day.day}/{day.month}/{day.year}",
    lambda day: f"{day.day}. {day.month}. {day.year}",
]
MOMENTS: list[Write] = [
    lambda moment, form=form: moment.strftime(form)  # type: ignore[misc]
    for form in (
        *(
            "%Y-%m-%d %H:%M:%S+00",
            "%Y-%m-%d %H:%M:%S",
            "%Y/%m/%d %H:%M:%S.%f",
            "%Y-%m-%dT%H:%M:%SZ",
        ),
        *(
            "%Y-%m-%d %H:%M:%S UTC",
            "%d/%m/%Y %H:%M:%S",
            "%d.%m.%Y, %H:%M:%S",
            "%m/%d/%Y %I:%M:%S %p",
        ),
        *("%m/%d/%y %I:%M:%S%p", "%b %d, %Y at %I:%M:%S %p", "%a, %d %b %Y %H:%M:%S GMT"),
    )
]
MOMENTS.append(lambda at: (at + datetime.timedelta(hours=2)).strftime("%d/%m/%Y %H:%M:%S+02:00"))
AS_NUMBERS: list[Write] = [
    lambda moment: str(int(moment.timestamp())),
    lambda moment: str(int(moment.timestamp()) * 1000),
]
"""Dates that are numbers, and hash as such: some models take them for numbers."""


def compact(day: Any) -> str:
    return str(day.strftime("%Y%m%d"))


TIMES: list[Write] = [
    lambda time, form=form: time.strftime(form)  # type: ignore[misc]
    for form in ("%H:%M:%S", "%H:%M:%S.%f", "%I:%M:%S %p", "0 days %H:%M:%S", "PT%HH%MM%SS")
]


def known_values(seed: int, n_rows: int = 120) -> pd.DataFrame:
    """Amounts with two decimals, days of which some are above 12, moments and times of day."""
    rng = np.random.default_rng(seed)
    days = pd.Timestamp("2019-01-01") + pd.to_timedelta(rng.integers(0, 1500, n_rows), "D")
    seconds = pd.to_timedelta(rng.integers(0, 86_400, n_rows), "s")
    amounts = np.round(rng.normal(300, 1500, n_rows), 2)
    amounts[:4] = [1234.56, -2345.67, 0.5, 12345.6]
    return pd.DataFrame(
        {
            "amount": amounts,
            "day": days,
            "moment": (days + seconds).tz_localize("UTC"),
            "time": (pd.Timestamp(0) + seconds).time,
            "y": np.where(amounts + rng.normal(0, 400, n_rows) > 300, "yes", "no"),
        }
    )


def in_notation(table: pd.DataFrame, *writers: Write) -> pd.DataFrame:
    """The table as a CSV holds it, each column but the last written by its own writer."""
    texts = {
        name: [write(value) for value in table[name]]
        for name, write in zip(table.columns, writers, strict=False)
    }
    return pd.DataFrame(texts | {"y": table["y"]}).astype("str")


def dataset_of(texts: pd.DataFrame) -> Dataset:
    return make_dataset(texts, "y", name="t", source="t.csv")


PLAIN: tuple[Write, Write, Write, Write] = (repr, DAYS[0], MOMENTS[1], TIMES[0])
