"""From a table to a model in production: sweep, then promote.

mlflow run . -e main
mlflow run . -e main -P data=churn.csv -P target=Churn
"""

from collections.abc import Sequence

from steps import run_step
from steps.promote import show as show_outcome
from steps.sweep import make_plan
from steps.sweep import show as show_versions
from tabular.gate.rules import Rule
from tabular.jobs.promote import promote
from tabular.jobs.sweep import sweep


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses, sweeps, promotes."""
    plan = make_plan(arguments, __doc__)
    versions = sweep(plan, say=print, promotes=True)
    show_versions(versions)
    name = versions[0].name
    rule = Rule(metric=plan.metric)
    outcome = promote(model_name=name, rule=rule, version=0, force=False, dry_run=False, say=print)
    show_outcome(name, outcome)


if __name__ == "__main__":
    run_step(main)
