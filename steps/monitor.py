"""Compare a table with the one a model was trained on; exit code 3 is drift, 4 too few rows.

mlflow run . -e monitor
mlflow run . -e monitor -P model=models:/churn@champion -P data=march.csv -P ignore=joined
python -m steps.monitor --model models:/churn@champion --data march.csv || echo look at it
"""

import sys
from collections.abc import Sequence

from steps import KEY, LABELS, TABLE_OR_LOG, Parser, headings, one_of, real, run_step, whole
from tabular.drift.checks import DriftRule
from tabular.drift.verdict import Verdict
from tabular.jobs.monitor import Watch, monitor
from tabular.stats.metrics import OF_LABELS

EXIT: dict[Verdict, int] = {"fine": 0, "drift": 3, "too few rows to tell": 4}


def show(watch: Watch) -> None:
    """Prints the checks that are drift, or else the nearest to it."""
    print(f"{'of':<24} {'about':<18} {'effect':>8} {'limit':>8} {'p':>8}")
    drifted = [check for check in watch.drift.checks if check.drift]
    for check in (drifted or watch.drift.checks[:5])[:20]:
        print(
            f"{(check.column or 'answers')[:24]:<24} {check.about:<18} {check.effect:>8.4f} "
            f"{check.limit:>8.4f} {check.p_value:>8.4f}  {check.note}".rstrip()
        )
    print(f"drift.html in run {watch.run_id}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses, compares, prints, and ends with the verdict's exit code."""
    rule = DriftRule()
    parser = Parser(__doc__)
    parser.option("model", "models:/iris@champion", str, "URI of a version made by this project")
    parser.option("data", "iris", str, TABLE_OR_LOG)
    parser.option(
        "level", rule.level, real(1e-6, 0.5), "probability of a false alarm, of all checks together"
    )
    parser.option(
        "min_psi", rule.min_psi, real(0, 100), "smallest population stability index that is drift"
    )
    parser.option(
        "min_share", rule.min_share, real(0, 1), "smallest change of a share that is drift"
    )
    parser.option(
        "metric",
        "",
        one_of(*OF_LABELS, ""),
        f"watched where the table has labels: {', '.join(OF_LABELS)}; empty for cost where the "
        "model has costs, else f1_macro",
    )
    parser.option(
        "max_fall",
        rule.max_fall,
        real(0, 1),
        "largest fall of the metric that is no drift; of cost the largest rise, as a share of it",
    )
    parser.option("ignore", "", headings, "columns that may change, a comma list; empty for none")
    parser.option("seed", rule.seed, whole(0), "seed of the tests' draws")
    parser.option("labels", "", str, LABELS)
    parser.option("key", "", headings, KEY)
    options = vars(parser.read(arguments))
    given = {name: options.pop(name) for name in ("model", "data", "ignore", "labels", "key")}
    watch = monitor(**given, rule=DriftRule(**options), say=print)
    show(watch)
    if code := EXIT[watch.drift.verdict]:
        sys.exit(code)


if __name__ == "__main__":
    run_step(main)
