"""The invoices of an energy supplier that does not exist, as a German program exports them.

    python energy_table.py

Writes earlier.csv and later.csv into the working folder: semicolons, 1.234,56 and 31.12.2024. A
customer has an invoice in each quarter of one to four, and the last column says whether it was paid
late. Then prices rise, and large invoices are paid late: what was learned from the earlier ones is
no longer true.
"""

import csv
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np

HEADINGS = [
    "customer", "invoice date", "tariff", "region", "usage kWh", "price ct/kWh", "amount EUR",
    "payment", "reminders", "calls", "paid late",
]  # fmt: skip
FIRST_QUARTER = date(2023, 1, 5)
QUARTERS, CHANGE = 12, 6  # of invoices; in the second half prices are higher
NEW_CUSTOMERS = 90  # of each quarter


def german(value: float, decimals: int = 2) -> str:
    """1234.5 as 1.234,50."""
    return f"{value:,.{decimals}f}".translate(str.maketrans(",.", ".,"))


def invoices(rng: np.random.Generator) -> list[tuple[int, dict[str, Any]]]:
    """All rows, each with its quarter."""
    rows = []
    for number in range(NEW_CUSTOMERS * QUARTERS):
        first = number // NEW_CUSTOMERS
        tariff = str(rng.choice(["basic", "green", "night"], p=[0.5, 0.3, 0.2]))
        region = str(rng.choice(["Nord", "Süd", "West", "Mitte"]))
        payment = str(rng.choice(["debit", "transfer"], p=[0.6, 0.4]))
        typical = rng.lognormal(6.6, 0.45)
        for quarter in range(first, min(first + int(rng.integers(1, 5)), QUARTERS)):
            dear = quarter >= CHANGE
            price = {"basic": 31.9, "green": 34.5, "night": 28.4}[tariff] + 11 * dear
            usage = typical * rng.lognormal(0, 0.15) * (1.2 if quarter % 4 in (0, 3) else 0.8)
            amount = usage * price / 100
            reminders, calls = int(rng.poisson(0.5)), int(rng.poisson(0.6 + 0.5 * dear))
            score = -3.5 + 1.8 * reminders + 1.2 * calls + 1.2 * (payment == "transfer")
            if dear:
                score = 5 * np.log(amount / 400) + 0.5 * reminders
            late = rng.random() < 1 / (1 + np.exp(-score))
            day = FIRST_QUARTER + timedelta(days=91 * quarter + int(rng.integers(20)))
            cells = [f"K{10_000 + number}", f"{day:%d.%m.%Y}", tariff, region, german(usage, 1)]
            cells += [german(price + rng.normal(0, 0.3)), german(amount), payment]
            cells += [str(reminders), str(calls), "yes" if late else "no"]
            rows.append((quarter, dict(zip(HEADINGS, cells, strict=True))))
    return rows


def main() -> None:
    """Writes both files."""
    rows = invoices(np.random.default_rng(7))
    for name, wanted in (("earlier", range(CHANGE)), ("later", range(CHANGE, QUARTERS))):
        with Path(f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, HEADINGS, delimiter=";", lineterminator="\n")
            writer.writeheader()
            writer.writerows(row for quarter, row in rows if quarter in wanted)


if __name__ == "__main__":
    main()
