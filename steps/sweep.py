"""Search classifiers and hyperparameters on a labelled table, and register the best.

mlflow run . -e sweep
mlflow run . -e sweep -P data=churn.csv -P target=Churn -P trials=100 -P metric=roc_auc
"""

from collections.abc import Mapping, Sequence
from typing import Any

from steps import (
    NAME,
    TABLE,
    Parser,
    add_structure,
    names_of,
    one_of,
    registry_name,
    run_step,
    seconds,
    truth,
    whole,
)
from tabular.families.classifiers import CLASSIFIERS
from tabular.jobs.plan import Plan, default_metric
from tabular.jobs.sweep import sweep
from tabular.stats.metrics import METRICS
from tabular.store.registry import Version


def make_parser(description: str | None) -> Parser:
    """The parameters of a sweep, which `main` takes too."""
    parser = Parser(description)
    parser.option("data", "iris", str, TABLE)
    parser.option("target", "", str, "column to predict; empty for a built-in set's own")
    parser.option("model_name", "", registry_name, NAME)
    parser.option("trials", 40, whole(1), "configurations to evaluate, at least 1")
    parser.option(
        "timeout",
        0.0,
        seconds,
        "seconds for the whole command, from its start to its end; 0 for none",
    )
    parser.option(
        "classifiers",
        "all",
        names_of(*CLASSIFIERS),
        f"all for those the table allows, or a comma list of {', '.join(CLASSIFIERS)}",
    )
    parser.option(
        "metric",
        "",
        one_of(*METRICS, ""),
        "the objective: a metric; empty for cost where one is given, else f1_macro",
    )
    parser.option("jobs", -1, whole(1, also=-1), "configurations side by side; -1 for one per core")
    parser.option("seed", 42, whole(0), "of the split, the search and every fit")
    parser.option(
        "engine", "local", one_of("local", "spark"), "where trials are evaluated: local or spark"
    )
    parser.option("register", 1, whole(1), "how many of the best become versions")
    parser.option(
        "resume", "", str, "run id of a sweep of the same table to go on with; empty for a new one"
    )
    parser.option(
        "cost",
        "",
        str,
        "what it costs to predict a class for another one: JSON such as "
        '{"no": {"yes": 1}, "yes": {"no": 10}} by the true and the predicted class, or a file of '
        "JSON or CSV; empty for the most probable class",
    )
    parser.option(
        "at_least",
        "",
        str,
        "a rate that the decision of two classes has to hold, with confidence: precision, recall "
        "or specificity of the second class (precision:0.9) or of a named one (recall[no]:0.8); "
        "empty for none",
    )
    add_structure(parser)
    parser.option(
        "warm_start", True, truth, "true: begin with the recipe of the version in production"
    )
    return parser


def make_plan(options: Mapping[str, Any]) -> Plan:
    """What is asked for, from the options of `make_parser`."""
    metric = options["metric"] or default_metric(options["cost"])
    return Plan(**{**options, "metric": metric})


def show(versions: Sequence[Version]) -> None:
    """Prints each version with its score."""
    for version in versions:
        score = version.metrics["holdout_f1_macro"]
        cost = version.metrics.get("holdout_cost")
        words = "" if cost is None else f" and cost {cost:.4g}"
        print(
            f"{version.name} version {version.number}: f1_macro {score:.4f}{words} on the holdout"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses, searches, prints the versions."""
    show(sweep(make_plan(vars(make_parser(__doc__).read(arguments))), say=print))


if __name__ == "__main__":
    run_step(main)
