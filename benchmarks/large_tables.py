"""Preparation of large tables, and sweeps of them: CPU, ratio to pandas' own reading, memory.

    python -m benchmarks.large_tables                  # preparation; minutes of CPU
    python -m benchmarks.large_tables --sweeps         # the sweeps too; a quarter of an hour

Preparation is all from the file to the folds. It is measured in CPU seconds of a process, the best
of some runs, in turn with `pandas.read_csv` of the same file. Memory is the largest sum over the
processes of a sweep, of what is theirs (RSS), and of what they share only once (PSS); from `/proc`.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import psutil

from benchmarks.trial_cost import ROOT, cpu_seconds

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


def texts(n_rows: int, n_letters: int) -> pd.DataFrame:
    """One column of long texts, in which some words say something about the class."""
    rng = np.random.default_rng(4)
    words = np.array([f"w{number}" for number in range(5_000)])
    y = np.arange(n_rows) % 2
    places = [rng.exponential(600 + 200 * one, n_letters // 5).astype(int) for one in y]
    rows = [" ".join(words[np.minimum(some, 4_999)])[:n_letters] for some in places]
    return pd.DataFrame({"text": rows, "target": np.where(y, "a", "b")})


def best(code: str, file: Path, runs: int) -> float:
    """CPU seconds of some code about a file, without its imports."""
    return min(
        cpu_seconds(["-c", code, str(file)]) - cpu_seconds(["-c", NOTHING]) for _ in range(runs)
    )


def sweep(file: Path, timeout: int) -> str:
    """Seconds and memory of a sweep, and its last line."""
    arguments = ["--data", str(file), "--target", "target", "--timeout", str(timeout)]
    started, peak, shared = time.monotonic(), 0, 0
    with tempfile.TemporaryDirectory() as folder, Path(folder, "log").open("w+") as log:
        command = [sys.executable, "-m", "steps.sweep", *arguments]
        environment = {"PYTHONPATH": str(ROOT), "PATH": ""}
        process = psutil.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        while process.poll() is None:
            memory = [0, 0]
            for one in [process, *process.children(recursive=True)]:
                try:
                    full = one.memory_full_info()
                except psutil.Error:  # it has ended
                    continue
                memory = [memory[0] + full.rss, memory[1] + full.pss]
            peak, shared = max(peak, memory[0]), max(shared, memory[1])
            time.sleep(0.5)
        seconds = time.monotonic() - started
        last = Path(folder, "log").read_text().strip().splitlines()[-1]
    return f"{seconds:.0f} s, {peak / 2**30:.1f} GiB ({shared / 2**30:.1f}): {last}"


def main() -> None:
    """Makes the tables, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sweeps", action="store_true")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    Make = Callable[[int, int], pd.DataFrame]
    prepared: list[tuple[Make, int, int]] = [
        (numbers, 200, 10_000), (long_numbers, 200, 10_000), (categories, 200, 10_000),
        (numbers, 1_000_000, 30), (long_numbers, 1_000_000, 30), (mixed, 1_000_000, 30),
    ]  # fmt: skip
    swept: list[tuple[Make, int, int, int]] = [
        (mixed, 300_000, 30, 30), (texts, 120, 1_000_000, 30), (numbers, 200, 10_000, 120),
        (mixed, 1_000_000, 30, 600),
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
        for make, n_rows, n_columns, timeout in swept if options.sweeps else ():
            make(n_rows, n_columns).to_csv(file, index=False)
            print(f"sweep of {make.__name__} {n_rows} x {n_columns}, timeout={timeout}: ", end="")
            print(sweep(file, timeout), flush=True)


if __name__ == "__main__":
    main()
