"""Score a table: its rows with the model's label and probabilities as further columns.

mlflow run . -e score
mlflow run . -e score -P model=models:/churn@champion -P data=new.parquet -P output=scored.parquet
mlflow run . -e score -P coverage=0.9 -P reasons=3
"""

from collections.abc import Sequence

from steps import TABLE_OR_LOG, Parser, one_of, real, run_step, whole
from tabular.jobs.score import ENGINES, score


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses, scores, prints the counts."""
    parser = Parser(__doc__)
    parser.option(
        "model", "models:/iris@champion", str, "URI of any model that MLflow loads as a pyfunc"
    )
    parser.option("data", "iris", str, TABLE_OR_LOG)
    parser.option(
        "output", "", str, "file, or folder of Parquet; empty for the data's name with _scored"
    )
    parser.option(
        "engine", "local", one_of(*ENGINES), "local: this process; spark: a Spark cluster"
    )
    parser.option(
        "coverage", 0.0, real(0, 1), "coverage of prediction sets, such as 0.9; 0 for none"
    )
    parser.option("reasons", 0, whole(0), "how many columns moved each row's probability; 0: none")
    parser.option(
        "reasons_for", "", str, "class whose probability that is; empty for the predicted one"
    )
    outcome = score(**vars(parser.read(arguments)), say=print)
    rate = outcome.scored / max(outcome.seconds, 1e-3)
    print(
        f"{outcome.output}: {outcome.scored:,} rows scored by {outcome.model}, {rate:,.0f} a second"
    )
    if outcome.side:
        rows = "1 row" if outcome.rejected == 1 else f"{outcome.rejected:,} rows"
        print(f"{outcome.side}: {rows} that could not be scored, and why")


if __name__ == "__main__":
    run_step(main)
