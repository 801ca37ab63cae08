"""Put the best registered version of a model into production, if it passes the gate.

mlflow run . -e promote
mlflow run . -e promote -P model_name=churn -P metric=roc_auc -P dry_run=true
mlflow run . -e promote -P version=3 -P force=true
"""

from collections.abc import Sequence

from steps import Parser, one_of, real, registry_name, run_step, truth, whole
from tabular.gate import Rule
from tabular.metrics import METRICS
from tabular.promotion import Outcome, promote


def show(model_name: str, outcome: Outcome, *, dry_run: bool = False) -> None:
    """Prints what was decided and why."""
    if outcome.moved:
        verb = "would go" if dry_run else "goes"
        print(f"{model_name} version {outcome.version} {verb} to Production: {outcome.reason}")
    elif outcome.version is None:
        print(f"{model_name} has no version in Production: {outcome.reason}")
    else:
        print(f"{model_name} version {outcome.version} stays in Production: {outcome.reason}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses, compares, prints the decision."""
    rule = Rule()
    parser = Parser(__doc__)
    parser.option("model_name", "iris", registry_name, "in the registry")
    parser.option("metric", rule.metric, one_of(*METRICS), "compared on common held-out rows")
    parser.option("dry_run", False, truth, "compare, and move nothing")
    parser.option("version", 0, whole(0), "the only challenger; 0 for every newer version")
    parser.option("force", False, truth, "promote against the statistics, never without proof")
    parser.option("mode", rule.mode, one_of("superior", "best"), "with confidence, or just higher")
    parser.option("floor", "", str, "worst value of the metric; empty for any")
    parser.option("min_gain", rule.min_gain, real(-1, 1), "gain to be exceeded")
    parser.option("confidence", rule.confidence, real(0.5, 0.9999), "one-sided")
    parser.option("resamples", rule.resamples, whole(100), "of the bootstrap")
    parser.option("seed", rule.seed, whole(0), "of the bootstrap")
    parser.option("max_mcnemar", rule.max_mcnemar, real(0, 1), "largest p of McNemar's test")
    parser.option("max_class_loss", rule.max_class_loss, real(0, 1), "fall of a class's recall")
    parser.option("max_loss_rise", rule.max_loss_rise, real(0, 100), "rise of the log loss")
    parser.option("max_latency_ratio", rule.max_latency_ratio, real(0, 1e6), "for one row")
    options = vars(parser.read(arguments))
    name, dry_run, version, force = (
        options.pop(key) for key in ("model_name", "dry_run", "version", "force")
    )
    floor = options.pop("floor")
    limit = real(-1e9, 1e9)(floor) if floor else None
    outcome = promote(
        model_name=name,
        rule=Rule(**options, floor=limit),
        version=version,
        force=force,
        dry_run=dry_run,
        say=print,
    )
    show(name, outcome, dry_run=dry_run)


if __name__ == "__main__":
    run_step(main)
