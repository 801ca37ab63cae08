"""Preparation of large tables: CPU, and its ratio to pandas' own reading.

    python -m benchmarks.large_tables

Preparation is all from the file to the folds. It is measured in CPU seconds of a process, the best
of some runs, in turn with `pandas.read_csv` of the same file. `benchmarks.timeout` measures sweeps.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.trial_cost import cpu_seconds

MILLISECONDS, RATIO = 2.0, 3.0  # the bars
PANDAS = "import pandas, sys; pandas.read_csv(sys.argv[1])"
OURS = (
    "import sys; from tabular.jobs.preparation import prepare\n"
    "prepare(sys.argv[1], 'target', seed=0, say=lambda line: None)"
)
NOTHING = "import pandas, tabular.jobs.preparation"


def numbers(n_rows: int, n_columns: int) -> pd.DataFrame:
    """Numbers of four decimals, five of which say something about the class."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(n_rows, n_columns)).round(4)
    table = pd.DataFrame(values, columns=[f"f{number}" for number in range(n_columns)])
    table["target"] = np.where(values[:, :5].sum(1) + rng.normal(size=n_rows) > 0, "yes", "no")
    return table


def long_numbers(n_rows: int, n_columns: int) -> pd.DataFrame:
    """Numbers of all their digits."""
    rng = np.random.default_rng(1)
    table = numbers(n_rows, n_columns)
    values = rng.normal(size=(n_rows, n_columns))
    return pd.DataFrame(values, columns=table.columns[:-1]).assign(target=table["target"])


def categories(n_rows: int, n_columns: int) -> pd.DataFrame:
    """Three words and a missing one; each second column numbers, where that word stands too."""
    rng = np.random.default_rng(2)
    words = np.array([["AA", "AG", "GG", "NA"], ["1", "2", "3", "NA"]])
    codes = rng.integers(0, 4, (n_rows, n_columns))
    values = words[np.arange(n_columns) % 2, codes]
    table = pd.DataFrame(values, columns=[f"f{number}" for number in range(n_columns)])
    table["target"] = np.where(rng.random(n_rows) > 0.5, "yes", "no")
    return table


def mixed(n_rows: int, n_columns: int) -> pd.DataFrame:
    """Numbers, whole numbers, words, dates and empty cells."""
    rng = np.random.default_rng(3)
    table = numbers(n_rows, n_columns)
    colours = np.array(["red", "green", "blue", "black", "white", "grey"])
    for number in range(n_columns - 8, n_columns - 3):
        table[f"f{number}"] = colours[rng.integers(0, 6, n_rows)]
    table[f"f{n_columns - 9}"] = rng.integers(0, 100, n_rows)
    table[f"f{n_columns - 3}"] = [f"c{code}" for code in rng.integers(0, 80, n_rows)]
    days = pd.to_timedelta(rng.integers(0, 1000, n_rows), unit="D")
    table[f"f{n_columns - 2}"] = pd.Timestamp("2020-01-01") + days
    table[f"f{n_columns - 1}"] = table[f"f{n_columns - 1}"].where(rng.random(n_rows) > 0.1)
    return table


def best(code: str, file: Path, runs: int) -> float:
    """CPU seconds of some code about a file, without its imports."""
    return min(
        cpu_seconds(["-c", code, str(file)]) - cpu_seconds(["-c", NOTHING]) for _ in range(runs)
    )


def main() -> None:
    """Makes the tables, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    Make = Callable[[int, int], pd.DataFrame]
    prepared: list[tuple[Make, int, int]] = [
        (numbers, 200, 10_000), (long_numbers, 200, 10_000), (categories, 200, 10_000),
        (numbers, 1_000_000, 30), (long_numbers, 1_000_000, 30), (mixed, 1_000_000, 30),
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "table.csv")
        for make, n_rows, n_columns in prepared:
            make(n_rows, n_columns).to_csv(file, index=False)
            ours = best(OURS, file, options.runs)
            of_each = f"{1000 * ours / n_columns:.2f} ms a column (bar {MILLISECONDS:g})"
            if n_rows > n_columns:
                ratio = ours / best(PANDAS, file, options.runs)
                of_each = f"{ratio:.1f} times pandas' reading (bar {RATIO:g})"
            print(f"{make.__name__} {n_rows} x {n_columns}: {ours:.1f} s of CPU, {of_each}")


if __name__ == "__main__":
    main()
