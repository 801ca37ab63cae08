"""Requests that nobody thought of, as strategies of Hypothesis."""

from typing import Any

from hypothesis import strategies as st

from tests.serving_requests import IRIS_ROW

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
