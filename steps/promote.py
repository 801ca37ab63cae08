"""Put the best registered version of a model into production.

mlflow run . -e promote
mlflow run . -e promote -P model_name=churn -P metric=roc_auc -P dry_run=true
"""

from collections.abc import Sequence

from steps import Parser, one_of, registry_name, run_step, truth
from tabular.gate import Decision
from tabular.metrics import METRICS
from tabular.promotion import promote


def show(model_name: str, decision: Decision, *, dry_run: bool = False) -> None:
    """Prints what was decided and why."""
    verb = "would go" if dry_run else "goes"
    what = f"{verb} to Production" if decision.changed else "stays in Production"
    print(f"{model_name} version {decision.version} {what}: {decision.reason}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses, compares, prints the decision."""
    parser = Parser(__doc__)
    parser.option("model_name", "iris", registry_name, "in the registry")
    parser.option("metric", "f1_macro", one_of(*METRICS), "compared on the holdout")
    parser.option("dry_run", False, truth, "compare, and move nothing")
    options = vars(parser.read(arguments))
    show(options["model_name"], promote(**options, say=print), dry_run=options["dry_run"])


if __name__ == "__main__":
    run_step(main)
