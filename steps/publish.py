"""Copy a version to another tracking server and register it there; nothing is promoted.

mlflow run . -e publish -P to=http://company:5000
mlflow run . -e publish -P model=models:/churn/3 -P to=http://company:5000 -P name=churn_emea
"""

from collections.abc import Sequence

from steps import Parser, registry_name, run_step
from tabular.jobs.publish import publish
from tabular.table.addresses import without_password


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses, copies, prints the version there."""
    parser = Parser(__doc__)
    parser.option("model", "models:/iris@champion", str, "URI of a version made by this project")
    parser.option("to", "", str, "tracking URI of the server to publish to")
    parser.option("name", "", registry_name, "the model in its registry; empty for the same name")
    options = vars(parser.read(arguments))
    published = publish(**options, say=print)
    verb = "is now" if published.new else "is already"
    print(
        f"{published.source} {verb} {published.name} version {published.version} at "
        f"{without_password(options['to'])}"
    )


if __name__ == "__main__":
    run_step(main)
