"""Evaluate a model on a labelled table: metrics with intervals, slices, pictures, a report.

mlflow run . -e evaluate
mlflow run . -e evaluate -P model=models:/churn/3 -P data=march.csv -P against=models:/churn/2
mlflow run . -e evaluate -P model=runs:/<run id>/model -P data=march.csv -P target=Churn
mlflow run . -e evaluate -P data=march.csv -P labels=outcomes.csv -P key=customer
"""

from collections.abc import Sequence

from steps import KEY, LABELS, TABLE_OR_LOG, Parser, headings, one_of, real, run_step, whole
from tabular.jobs.evaluate import Evaluation, evaluate


def show(evaluation: Evaluation) -> None:
    """Prints each metric with its interval."""
    for name, one in evaluation.assessment.metrics.items():
        line = f"{name:<18} {one.value:.4f}"
        line += f"  ({between})" if (between := one.between(".4f")) else ""
        if gain := evaluation.gains.get(name):
            line += f"  gain {gain.value:+.4f}"
            line += f" ({between})" if (between := gain.between("+.4f")) else ""
        print(line)
    for part in evaluation.assessment.slices[:3]:
        print(
            f"weaker where {part.column} {part.values}: {part.accuracy.value:.1%} of {part.rows} "
            f"rows right, {part.rest:.1%} elsewhere"
        )
    for line in evaluation.groups.lines("f1_macro"):
        print(line)
    print(f"report.html in run {evaluation.run_id}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses, evaluates, prints the metrics."""
    parser = Parser(__doc__)
    parser.option("model", "models:/iris@champion", str, "URI of any classifier that MLflow loads")
    parser.option("data", "iris", str, TABLE_OR_LOG)
    parser.option("target", "", str, "column of the labels; empty for the one the model predicts")
    parser.option("against", "", str, "URI of a second model to compare with; empty for none")
    parser.option("rows", "all", one_of("all", "unseen"), "all, or unseen: those not trained on")
    parser.option("confidence", 0.95, real(0.5, 0.9999), "of the two-sided intervals")
    parser.option("resamples", 1000, whole(100), "draws of the bootstrap, at least 100")
    parser.option("seed", 42, whole(0), "seed of the bootstrap")
    parser.option("by", "", headings, "columns whose values are compared, a comma list")
    parser.option("labels", "", str, LABELS)
    parser.option("key", "", headings, KEY)
    show(evaluate(**vars(parser.read(arguments)), say=print))


if __name__ == "__main__":
    run_step(main)
