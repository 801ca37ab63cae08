"""Put the version before back into production; twice goes back two.

mlflow run . -e rollback
mlflow run . -e rollback -P model_name=churn
"""

from collections.abc import Sequence

from steps import Parser, registry_name, run_step
from tabular.jobs.promote import rollback


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses, goes back, prints where to."""
    parser = Parser(__doc__)
    parser.option("model_name", "iris", registry_name, "the model in the registry")
    name = parser.read(arguments).model_name
    outcome = rollback(model_name=name, say=print)
    print(f"{name} version {outcome.version} is in Production: {outcome.reason}")


if __name__ == "__main__":
    run_step(main)
