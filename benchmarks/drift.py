"""How often `monitor` alarms without reason, and how often it finds a shift.

    python -m benchmarks.drift

Each repetition draws a training table, trains logistic regression with the project's own split and
profile, then draws tables from the same distribution and compares them as `monitor` does, labels
included. An alarm is the verdict "drift" under the default rule; "by the tests alone" counts every
corrected p-value at or below the level, without the limits on the effect, because the level is a
promise of the tests. Tables:

- mixed: 2,000 rows of training, 20 columns: normal, heavy-tailed (log-normal, Student t with 1 and
  2 degrees of freedom), discretised (counts, five steps, nine zeros in ten), categories of 3 to
  5,000 levels, a boolean, a date, a text, two with missing values;
- coarse: 1,000 rows of three coarse columns, whose few different rows fill the holdout in clumps;
- breast_cancer, digits: scikit-learn's tables, cut into two parts at random.

Seeds are fixed; ± is the binomial standard error.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from custom_model.served.columns import expand
from custom_model.served.requests import conform
from tabular.drift.checks import CurrentPredictions, DriftRule
from tabular.drift.profile import Profile, profile_columns, profile_predictions
from tabular.drift.verdict import Drift, compare_with_profile
from tabular.recipe.fit import fit
from tabular.recipe.recipe import as_it_is
from tabular.search.cross_validation import Trial
from tabular.stats.compute import predicted
from tabular.table.addresses import load_built_in
from tabular.table.dataset import Dataset, make_dataset
from tabular.table.split import split_rows

REPETITIONS = 400
SIZES = (100, 1000, 10_000)
SHIFT = 0.5  # standard deviations
SHIFTED_ROWS = 500
RULE = DriftRule()


def mixed(n_rows: int, rng: np.random.Generator) -> pd.DataFrame:
    normal = rng.normal(size=(n_rows, 5))

    def levels(many: int, power: float) -> list[str]:
        shares = np.arange(1, many + 1) ** -power
        return [f"l{code}" for code in rng.choice(many, n_rows, p=shares / shares.sum())]

    words = np.array(["late", "again", "parcel", "thanks", "refund", "broken", "fast", "good"])
    table = pd.DataFrame(normal, columns=[f"normal {i}" for i in range(5)]).assign(
        lognormal=rng.lognormal(0, 2, n_rows),
        cauchy=rng.standard_t(1, n_rows),
        student=rng.standard_t(2, n_rows),
        counts=rng.poisson(2, n_rows),
        rounded=normal[:, 0].round(1) + rng.normal(size=n_rows).round(0),
        steps=rng.integers(0, 5, n_rows) / 4,
        zeros=np.where(rng.random(n_rows) < 0.9, 0, rng.gamma(1, 50, n_rows)),
        three=levels(3, 0.5),
        twelve=levels(12, 1.0),
        many=levels(500, 0.8),
        countless=levels(5000, 0.5),
        yes=rng.random(n_rows) < 0.3,
        day=pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 700, n_rows), "D"),
        words=[" ".join(rng.choice(words, k)) for k in rng.integers(3, 9, n_rows)],
        gaps=pd.array(rng.normal(size=n_rows), dtype="Float64"),
    )
    table.loc[rng.random(n_rows) < 0.2, "gaps"] = pd.NA
    table["twelve"] = table["twelve"].astype("str")
    table.loc[rng.random(n_rows) < 0.05, "twelve"] = pd.NA
    score = normal[:, 0] + (table["three"] == "l1") + rng.normal(0, 1, n_rows)
    return table.assign(y=np.where(score > 0.5, "yes", "no"))


def coarse(n_rows: int, rng: np.random.Generator) -> pd.DataFrame:
    codes = rng.integers(0, 4, (n_rows, 3))
    table = pd.DataFrame({name: codes[:, i] / 2 for i, name in enumerate("abc")})
    return table.assign(y=np.where(codes.sum(axis=1) + rng.normal(0, 1.5, n_rows) > 4.5, "u", "v"))


@dataclass(frozen=True)
class Trained:
    """What `monitor` finds inside a model."""

    dataset: Dataset
    profile: Profile
    pipeline: object


def train(table: pd.DataFrame, seed: int) -> Trained:
    """A model with its profile, as `register_version` makes them."""
    dataset = make_dataset(table, "y", name="t", source="t")
    split = split_rows(dataset.row_hashes, dataset.codes, seed=seed)
    pipeline = fit(dataset, split, as_it_is(Trial(0, "logistic_regression", {"C": 0.1})), seed=seed)
    shares = pipeline.predict_proba(dataset.expanded[split.holdout])
    codes = dataset.codes[split.holdout]
    answers = profile_predictions(
        codes, predicted(shares), shares, dataset.labels, dataset.row_hashes[split.holdout]
    )
    columns = profile_columns(dataset.typed, dataset.columns, seed=seed)
    return Trained(dataset, Profile(columns, answers), pipeline)


def watch(trained: Trained, table: pd.DataFrame) -> Drift:
    """The comparison of `monitor`, without the registry."""
    columns = trained.dataset.columns
    typed = conform(table, columns, as_text=True)
    shares = trained.pipeline.predict_proba(expand(typed, columns))  # type: ignore[attr-defined]
    codes = pd.Index(trained.dataset.labels).get_indexer(pd.Index(table["y"]))
    readable = pd.DataFrame(np.zeros(typed.shape, dtype=bool), columns=typed.columns)
    answered = CurrentPredictions(predicted(shares), shares, codes)
    return compare_with_profile(trained.profile, typed, readable, answered, RULE)


def outcome(drift: Drift) -> tuple[bool, bool]:
    """Whether there is an alarm, and whether there is one by the tests alone."""
    surest = min(check.p_value for check in drift.checks)
    return drift.verdict == "drift", surest <= RULE.level


Draw = Callable[[int, np.random.Generator], pd.DataFrame]


def drawn(draw: Draw, n_reference: int, seed: int) -> list[tuple[bool, bool]]:
    """One model, and a table of each size from the same distribution."""
    rng = np.random.default_rng([7, seed])
    trained = train(draw(n_reference, rng), seed)
    return [outcome(watch(trained, draw(size, rng))) for size in SIZES]


def shifted(seed: int) -> tuple[bool, bool]:
    """Whether a shift of one normal column is found, and found in that column."""
    rng = np.random.default_rng([8, seed])
    trained = train(mixed(2000, rng), seed)
    table = mixed(SHIFTED_ROWS, rng)
    table["normal 4"] += SHIFT  # the class does not depend on it
    found = watch(trained, table)
    named = any(check.drift and check.column == "normal 4" for check in found.checks)
    return found.verdict == "drift", named


def halved(name: str, seed: int) -> tuple[bool, bool]:
    """A model of two thirds of a real table, and the other third."""
    frame, target = load_built_in(name)
    frame = frame.rename(columns={target: "y"})
    order = np.random.default_rng([9, seed]).permutation(len(frame))
    cut = 2 * len(frame) // 3
    trained = train(frame.iloc[order[:cut]].reset_index(drop=True), seed)
    return outcome(watch(trained, frame.iloc[order[cut:]].reset_index(drop=True)))


def rate(hits: list[bool]) -> str:
    share = sum(hits) / len(hits)
    return f"{share:.1%} ± {math.sqrt(share * (1 - share) / len(hits)):.1%}"


def main() -> None:
    seeds = range(REPETITIONS)
    with Parallel(n_jobs=-1) as pool:
        print("| table from the same distribution | rows | false alarms | by the tests alone |")
        print("|---|---|---|---|")
        for name, draw, reference in (("mixed", mixed, 2000), ("coarse", coarse, 1000)):
            results = pool(delayed(drawn)(draw, reference, seed) for seed in seeds)
            for position, size in enumerate(SIZES):
                alarms = [one[position] for one in results]
                show(f"{name}, {reference:,} of training", size, alarms)
        for name in ("breast_cancer", "digits"):
            frame, _ = load_built_in(name)
            alarms = pool(delayed(halved)(name, seed) for seed in seeds)
            show(f"{name}, two parts", len(frame) - 2 * len(frame) // 3, alarms)
        found = pool(delayed(shifted)(seed) for seed in seeds)
    print(f"\nA shift of {SHIFT} standard deviations in one column of 20, {SHIFTED_ROWS} rows:")
    print(f"found {rate([one[0] for one in found])}, named {rate([one[1] for one in found])}")


def show(name: str, rows: int, alarms: list[tuple[bool, bool]]) -> None:
    columns = " | ".join(rate([one[i] for one in alarms]) for i in (0, 1))
    print(f"| {name} | {rows:,} | {columns} |", flush=True)


if __name__ == "__main__":
    main()
