"""How a column of numbers is written: decided from all of its cells."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from custom_model.served.columns import LARGEST
from custom_model.served.dates import CLOCK, parse_seconds
from custom_model.served.numbers import as_plain_letters, number_pattern, parse_numbers
from tabular.table.notations.words import STRAY_SPELLINGS, Reading, strays

CODES = (
    "USD EUR GBP JPY CHF CNY INR AUD CAD NZD SEK NOK DKK PLN CZK HUF RON BGN TRY RUB UAH ILS ZAR "
    "BRL MXN ARS CLP COP PEN KRW SGD HKD TWD THB IDR MYR PHP VND AED SAR EGP NGN KES PKR BDT KWD "
    "BHD OMR JOD TND"
)
"""Currencies, by ISO 4217; the last five have three decimals."""

_IN_THREES = ("KWD", "BHD", "OMR", "JOD", "TND")
_UNIT = r"US\$|R\$|[A-Z]{1,2}\$|\p{Sc}|" + CODES.replace(" ", "|") + r"|Fr\.|kr\.?|zł|Kč|lei|%"
_ANY_NUMBER = (
    rf"^(?P<open>\(?)(?P<first>[-+]?) ?(?P<before>(?:{_UNIT})?) ?(?P<second>[-+]?) ?"
    r"(?P<number>(?:[0-9](?:[0-9., ']*[0-9])?[.,]?|[.,][0-9]+)(?:[eE][-+]?[0-9]+)?) ?"
    rf"(?P<after>(?:{_UNIT})?)(?P<close>\)?)$"
)
_LIKE_ENOUGH = 0.8  # of the distinct texts
_HEAD = 200
_MARKED = 10  # different numbers with a mark between thousands, beside others without one
_ONE_MARK_IN_THREES = r"^[1-9]\d{0,2}[.,]\d{3}$"
_LEADING_ZERO, _CODE = r"^0[0-9]", r"^0[0-9]+$"
TOO_LARGE = f"holds numbers beyond {LARGEST:.2g}, with which no model computes"


def read_plain(counts: pd.Series) -> Reading | str | None:
    """Reads a column of numbers that are written as computers write them.

    Returns:
        Its values; a reason for leaving it out; None where it is none.
    """
    if counts.empty:
        return None
    texts = pa.array(counts.index, pa.string())
    values = parse_numbers(counts.index.to_series(), "")
    missing = strays(counts, np.isnan(values))
    if missing is None or pc.any(pc.match_substring_regex(texts, _CODE)).as_py():
        return None  # words, or written like codes
    infinite = np.abs(values) > LARGEST
    if len(np.unique(np.abs(values[infinite]))) > STRAY_SPELLINGS:
        return TOO_LARGE
    missing |= {*counts.index[infinite]}
    if len(missing) == len(counts):
        return None
    written = texts.filter(pa.array(~(np.isnan(values) | infinite)))
    if are_grouped(written[:_HEAD]) and are_grouped(written):
        return None  # by a point, see `read_notation`
    return Reading("", values, missing)


def read_seconds(counts: pd.Series) -> Reading | None:
    """Reads a column of times of day or durations, as seconds; None where it is none."""
    digits = pc.match_substring_regex(
        pa.array(counts.index, pa.string()), "^-?(?:PT?)?[0-9].*[0-9hmsdrncHMSD.]$"
    )
    if pc.mean(digits).as_py() < _LIKE_ENOUGH:
        return None
    values = parse_seconds(pd.Series(counts.index, dtype="str"))
    missing = strays(counts, np.isnan(values))
    return None if missing is None else Reading(CLOCK, values, missing)


def read_notation(counts: pd.Series) -> Reading | str | None:
    """Finds how a column writes its numbers, where it is not the plain way.

    Returns:
        How it is read; a reason for leaving it out; None where it is no column of numbers.
    """
    texts = as_plain_letters(pa.array(counts.index, pa.string()))
    parts = pc.extract_regex(texts, _ANY_NUMBER)
    matched = pc.is_valid(parts).to_numpy(zero_copy_only=False)
    missing = strays(counts, ~matched)
    if missing is None:
        return None
    parts = parts.filter(pa.array(matched))
    numbers = pc.struct_field(parts, "number")
    if pc.any(pc.match_substring_regex(numbers, _LEADING_ZERO)).as_py():
        return None  # written like codes
    of_cells = pc.binary_join_element_wise(
        pc.struct_field(parts, "before"), pc.struct_field(parts, "after"), ""
    )
    units = sorted(unit for unit in pc.unique(of_cells).to_pylist() if unit)
    if len(units) > 1:
        return f"holds numbers in more than one unit ({', '.join(units[:3])})"
    unit = units[0] if units else ""
    if unit == "%":
        bare = numbers.filter(pc.equal(of_cells, ""))
        if any(number.strip("0.,") for number in bare.to_pylist()):
            return "holds percentages beside other numbers"
    marks = _marks(numbers, money=unit not in ("", "%", *_IN_THREES))
    if marks is None or isinstance(marks, str):
        return marks
    grouping, decimal = marks
    behind = unit and pc.mean(pc.not_equal(pc.struct_field(parts, "after"), "")).as_py() > 0.5
    blank = " " if unit.isalpha() else ""
    example = f"1{grouping}234{decimal}5"
    notation = (
        f"{example}{blank or ' ' * (unit != '%')}{unit}" if behind else unit + blank + example
    )
    values = parse_numbers(counts.index.to_series(), notation)
    missing = strays(counts, ~np.isfinite(values))
    return None if missing is None else Reading(notation, values, missing)


def _marks(numbers: pa.Array, *, money: bool) -> tuple[str, str] | str | None:
    """Grouping and decimal mark, the reason why they are not known, or None for other texts."""
    numbers = pc.unique(numbers)
    fitting = []
    number = np.zeros(len(numbers), dtype=bool)
    for decimal, other in ((".", ","), (",", ".")):
        used = [m for m in (other, " ", "'") if pc.any(pc.match_substring(numbers, m)).as_py()]
        fits = [_fits(numbers, mark, decimal) for mark in used or [""]]
        number |= np.logical_or.reduce(fits)
        if len(fits) == 1 and fits[0].all():
            fitting.append((used[0] if used else "", decimal))
    if not fitting:
        return "holds numbers that are written in different ways" if number.all() else None
    if len(fitting) == 1 or not pc.any(pc.match_substring_regex(numbers, "[.,]")).as_py():
        return fitting[0]
    marked = numbers.filter(pc.match_substring_regex(numbers, "[.,]"))
    comma = pc.any(pc.match_substring(numbers, ",")).as_py()
    in_threes = pc.all(pc.match_substring_regex(marked, _ONE_MARK_IN_THREES)).as_py()
    if in_threes and (money or are_grouped(numbers)):  # prices have no three decimals
        return (",", ".") if comma else (".", ",")
    if not comma:
        return "", "."
    return (
        f"holds numbers such as {marked[0].as_py()!r}, whose comma may stand before thousands or "
        "decimals; write them as 1234 or 1.234"
    )


def _fits(numbers: pa.Array, grouping: str, decimal: str) -> np.ndarray:
    pattern = f"^(?:{number_pattern(grouping, decimal)})$"
    return np.asarray(pc.match_substring_regex(numbers, pattern).to_numpy(zero_copy_only=False))


def are_grouped(numbers: pa.Array) -> bool:
    """Whether 12.500 beside 900 means 12500, by a point or comma between thousands.

    Were it before decimals, of which zeros at the end are written, 900 would be 900.000. Each of
    the numbers, which are distinct, has at most one mark.
    """

    def matching(pattern: str) -> int:
        return int(pc.sum(pc.match_substring_regex(numbers, pattern)).as_py() or 0)

    marked, bare = matching(_ONE_MARK_IN_THREES), matching("^[1-9][0-9]{0,2}$")
    round_ones = matching(r"^[1-9]\d{0,2}[.,]\d\d0$")
    return marked >= _MARKED and bare + marked == len(numbers) and min(bare, round_ones) > 1
