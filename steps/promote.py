"""Put the best registered version of a model into production, if it passes the gate.

mlflow run . -e promote
mlflow run . -e promote -P model_name=churn -P metric=roc_auc -P dry_run=true
mlflow run . -e promote -P version=3 -P force=true
"""

from collections.abc import Callable, Sequence

from steps import Parser, headings, one_of, real, registry_name, run_step, truth, whole
from tabular.gate.rules import Rule
from tabular.jobs.promote import Promotion, promote
from tabular.stats.by_group import DIFFERENCES
from tabular.stats.metrics import METRICS


def show(model_name: str, outcome: Promotion, *, dry_run: bool = False) -> None:
    """Prints what was decided and why; after a dry run nothing was moved."""
    if outcome.moved:
        verb = "would go" if dry_run else "goes"
        print(f"{model_name} version {outcome.version} {verb} to Production: {outcome.reason}")
    elif outcome.version is None:
        print(f"{model_name} has no version in Production: {outcome.reason}")
    else:
        print(f"{model_name} version {outcome.version} stays in Production: {outcome.reason}")


def limits(*possible: str) -> Callable[[str], dict[str, float]]:
    """Reads a number from 0 to 1 for all names, or `name:number` in a comma list for some."""

    def read(text: str) -> dict[str, float]:
        if not text or ":" not in text:
            return dict.fromkeys(possible, float(real(0, 1)(text) or 0)) if text else {}
        pairs = [part.partition(":") for part in headings(text)]
        return {one_of(*possible)(name.strip()): float(real(0, 1)(n) or 0) for name, _, n in pairs}

    return read


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses, compares, prints the decision."""
    rule = Rule()
    parser = Parser(__doc__)
    parser.option("model_name", "iris", registry_name, "the model in the registry")
    parser.option(
        "metric",
        "",
        one_of(*METRICS, ""),
        "compared on rows that neither version was trained on; empty for cost where a version has "
        "costs, else f1_macro",
    )
    parser.option("dry_run", False, truth, "true: compare and decide, prove and move nothing")
    parser.option(
        "version", 0, whole(0), "the only challenger; 0 for every version newer than Production's"
    )
    parser.option(
        "force", False, truth, "true: promote whatever the gate says, but never without the proof"
    )
    parser.option(
        "mode",
        rule.mode,
        one_of("superior", "best"),
        "superior: better with confidence; best: the higher value",
    )
    parser.option(
        "floor",
        "",
        real(-1e9, 1e9, empty=True),
        "worst value of the metric to let in; empty for any",
    )
    parser.option("min_gain", rule.min_gain, real(-1e9, 1e9), "gain of the metric to be exceeded")
    parser.option(
        "confidence", rule.confidence, real(0.5, 0.9999), "of one-sided intervals and tests"
    )
    parser.option("resamples", rule.resamples, whole(100), "draws of the bootstrap, at least 100")
    parser.option("seed", rule.seed, whole(0), "seed of the bootstrap")
    parser.option(
        "max_mcnemar", rule.max_mcnemar, real(0, 1), "largest p-value of McNemar's test; 1 for any"
    )
    parser.option(
        "max_class_loss", rule.max_class_loss, real(0, 1), "largest fall of the recall of a class"
    )
    parser.option("max_loss_rise", rule.max_loss_rise, real(0, 100), "largest rise of the log loss")
    parser.option(
        "max_latency_ratio", rule.max_latency_ratio, real(0, 1e6), "most times as long for one row"
    )
    parser.option("by", "", headings, "columns whose values are compared, a comma list")
    parser.option(
        "max_gap",
        "",
        limits(*DIFFERENCES),
        "largest difference between the values of by: a number for every difference, or a comma "
        "list such as equalized_odds:0.1; empty for any",
    )
    options = vars(parser.read(arguments))
    options["by"] = tuple(options["by"])
    if options["max_gap"] and not options["by"]:
        parser.error("max_gap needs by: the columns whose values are compared")
    name, dry_run, version, force = (
        options.pop(key) for key in ("model_name", "dry_run", "version", "force")
    )
    outcome = promote(
        model_name=name,
        rule=Rule(**options),
        version=version,
        force=force,
        dry_run=dry_run,
        say=print,
    )
    show(name, outcome, dry_run=dry_run)


if __name__ == "__main__":
    run_step(main)
