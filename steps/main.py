"""From a table to a model in production: sweep, then promote.

mlflow run . -e main
mlflow run . -e main -P data=churn.csv -P target=Churn

Where the version in production was made of the same table for the same purpose, it does nothing.
"""

from collections.abc import Sequence

from steps import run_step, truth
from steps.promote import show as show_outcome
from steps.sweep import make_parser, make_plan
from steps.sweep import show as show_versions
from tabular.gate.rules import Rule
from tabular.jobs.promote import promote
from tabular.jobs.sweep import sweep


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses, sweeps, promotes."""
    parser = make_parser(__doc__)
    parser.option(
        "force", False, truth, "true: sweep also where Production was made of the same table"
    )
    options = vars(parser.read(arguments))
    force = options.pop("force")
    plan = make_plan(options)
    versions = sweep(plan, say=print, unless_same=not force, promotes=True)
    if not versions:
        return
    show_versions(versions)
    name = versions[0].name
    rule = Rule(metric=plan.metric)
    outcome = promote(model_name=name, rule=rule, version=0, force=False, dry_run=False, say=print)
    show_outcome(name, outcome)


if __name__ == "__main__":
    run_step(main)
