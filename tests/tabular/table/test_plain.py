"""Numbers read at once, in place of their texts one by one."""

import numpy as np
import pandas as pd
import pytest

from custom_model.served.cells import read_cells
from tabular.table.columns import infer_columns
from tabular.table.notations.plain import with_numbers
from tabular.table.split import hash_rows

N = 40
RNG = np.random.default_rng(0)
COLUMNS = {
    "floats": [repr(x) for x in (RNG.normal(size=N) * 10.0 ** RNG.integers(-9, 9, N)).tolist()],
    "whole": [str(x) for x in RNG.integers(-50, 50, N).tolist()],
    "some empty": ["" if row % 3 else str(row) for row in range(N)],
    "codes": [("10", "200", "3000")[row % 3] for row in range(N)],
    "zeros in front": [f"{row:03}" for row in range(N)],
    "points between thousands": [f"{row}.000" if row > 9 else str(row + 1) for row in range(N)],
    "seconds since 1970": [str(1_600_000_000 + 86_400 * row) for row in range(N)],
    "days": [f"202401{row % 28 + 1:02}" for row in range(N)],
    "numbers of the rows": [str(row) for row in range(N)],
    "beyond 64 bits": [str(10**20 + row) for row in range(N)],
    "beyond float32": [f"1e{30 + row}" for row in range(N)],
    "infinite": ["inf" if row == 7 else str(row) for row in range(N)],
    "signs of zero": [("-0", "0", "-1")[row % 3] for row in range(N)],
    "zeros of floats": [("-0.0", "0", "-1")[row % 3] for row in range(N)],
    "a word": ["NA" if row == 7 else f"{row}.5" for row in range(N)],
    "blanks": [f" {row}.5" for row in range(N)],
    "one value": ["7"] * (N - 1) + [""],
    "whole at first": [str(row) if row < N - 1 else "2.5" for row in range(N)],
}


@pytest.mark.parametrize("name", COLUMNS)
def test_numbers_have_the_kind_the_values_and_the_hashes_of_their_texts(name: str) -> None:
    texts = pd.DataFrame({name: COLUMNS[name], "other": ["a", "b"] * (N // 2)}, dtype="str")
    numbers = with_numbers(texts, ())

    def everything(frame: pd.DataFrame) -> tuple[object, ...]:
        columns, left_out = infer_columns(frame, as_text=True)
        typed = read_cells(frame, columns, as_text=True).typed
        return columns, left_out, hash_rows(frame, columns).tolist(), typed

    *of_texts, read = everything(texts)
    *of_numbers, read_at_once = everything(numbers)
    assert of_numbers == of_texts
    pd.testing.assert_frame_equal(read_at_once, read, check_exact=True)


def test_most_numbers_are_read_at_once_and_what_needs_a_look_stays_text() -> None:
    numbers = with_numbers(pd.DataFrame(COLUMNS, dtype="str"), {"whole"})
    read = {name for name in numbers if pd.api.types.is_numeric_dtype(numbers[name].dtype)}
    assert read == {
        *("floats", "some empty", "codes", "numbers of the rows", "zeros of floats"),
        "whole at first",
    }


def test_numbers_of_any_length_are_read_as_pandas_reads_them() -> None:
    digits = ["".join(map(str, row)) for row in RNG.integers(0, 10, (2_000, 40)).tolist()]
    points, lengths, exponents = RNG.integers((1, 21, -40), (20, 40, 10), (2_000, 3)).T.tolist()
    texts = pd.Series(
        [
            f"{row[:point]}.{row[point:length]}e{exponent}"
            for row, point, length, exponent in zip(digits, points, lengths, exponents, strict=True)
        ],
        dtype="str",
    )
    numbers = with_numbers(texts.to_frame("x"), ())["x"]
    np.testing.assert_array_equal(numbers.to_numpy(), pd.to_numeric(texts).to_numpy())
