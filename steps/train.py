"""Train one classifier on a labelled table and register it.

    mlflow run . -e train -P classifier=random_forest -P n_estimators=500
    mlflow run . -e train -P data=churn.csv -P target=Churn

Any further parameter is a hyperparameter of the classifier, by scikit-learn's name.
"""

from collections.abc import Sequence

from steps import NAME, TABLE, Parser, add_structure, one_of, registry_name, run_step, whole
from tabular.families.classifiers import CLASSIFIERS
from tabular.families.hyperparameters import read_hyperparameters
from tabular.jobs.train import train


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses, trains, prints the version."""
    parser = Parser(__doc__)
    parser.option("data", "iris", str, TABLE)
    parser.option("target", "", str, "column to predict; empty for a built-in set's own")
    parser.option("model_name", "", registry_name, NAME)
    parser.option(
        "classifier",
        "logistic_regression",
        one_of(*CLASSIFIERS),
        f"one of {', '.join(CLASSIFIERS)}",
    )
    parser.option("seed", 42, whole(0), "of the split and every fit")
    add_structure(parser)
    options = vars(parser.read(arguments, extra=True))
    written = options.pop("extra")
    version = train(
        **options,
        hyperparameters=read_hyperparameters(options["classifier"], written),
        say=print,
    )
    score = version.metrics["holdout_f1_macro"]
    print(f"{version.name} version {version.number}: f1_macro {score:.4f} on the holdout")


if __name__ == "__main__":
    run_step(main)
