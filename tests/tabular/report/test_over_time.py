"""A metric over time: which periods there are, and that each has its own figures."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tabular.report.over_time import OverTime, over_time
from tabular.stats.intervals import estimates

OPTIONS: dict[str, Any] = {"confidence": 0.95, "resamples": 100, "seed": 0}


def by_time(moments: np.ndarray) -> OverTime | None:
    y_true = np.arange(len(moments)) % 2
    y_pred = np.where(np.arange(len(moments)) % 5 == 0, 1 - y_true, y_true)
    return over_time(moments, y_true, y_pred, 2, **OPTIONS)


def days(n_days: int, per_day: int) -> np.ndarray:
    start = np.datetime64("2024-01-30T06:00", "us")
    return start + np.arange(n_days * per_day) * np.timedelta64(24 * 60 // per_day, "m")


@pytest.mark.parametrize(
    ("n_days", "per_day", "names"),
    [
        (3, 50, ["2024-01-30", "2024-01-31", "2024-02-01", "2024-02-02"]),
        (1, 720, [f"2024-01-30 {h:02}:00" for h in range(6, 24)]),
        (21, 5, [f"week of {day}" for day in ("2024-01-29", "2024-02-05", "2024-02-12")]),
        (400, 1, None),
        (4000, 2, None),
    ],
)
def test_periods_are_the_shortest_that_have_rows_enough(
    n_days: int, per_day: int, names: list[str] | None
) -> None:
    found = by_time(days(n_days, per_day))
    assert found
    assert 2 <= len(found.parts) <= 31
    if names:
        assert [part.name for part in found.parts][: len(names)] == names
    assert sum(part.rows for part in found.parts) == n_days * per_day


def test_a_period_has_the_figures_of_its_rows_and_a_gap_stays_a_gap() -> None:
    moments = np.repeat(np.array(["2024-01-30", "2024-02-02"], "datetime64[us]"), 40)
    found = by_time(moments)
    assert found
    assert found.places[1] - found.places[0] == 3 * 24 * 60  # minutes
    y_true = np.arange(80) % 2
    y_pred = np.where(np.arange(80) % 5 == 0, 1 - y_true, y_true)
    first, _ = estimates(y_true[:40], y_pred[:40], None, 2, **OPTIONS)
    assert found.parts[0].metrics == first
    table = found.table
    assert list(table) == ["period", "rows", "small", "metric", "value", "low", "high"]
    row = table[(table["period"] == "2024-01-30 00:00") & (table["metric"] == "f1_macro")].iloc[0]
    assert (row["value"], row["rows"]) == (first["f1_macro"].value, 40)
    picture = found.drawn("f1_macro")
    assert picture.axes[0].get_title() == "f1_macro over time, with its intervals"


def test_years_as_numbers_are_periods_and_many_numbers_are_put_in_bands() -> None:
    years = by_time(np.repeat([2020.0, 2021.0, 2023.0], 10))
    assert years and [part.name for part in years.parts] == ["2020", "2021", "2023"]
    bands = by_time(np.linspace(0, 120, 1000))
    assert bands and len(bands.parts) == 12
    assert bands.parts[1].name == "from 10"


def test_there_is_no_picture_of_one_period_or_without_moments() -> None:
    assert (
        by_time(pd.to_datetime(["2024-01-01 00:00:01", "2024-01-01 00:00:02"]).to_numpy()) is None
    )
    assert over_time(None, np.zeros(2, int), np.zeros(2, int), 2, **OPTIONS) is None
