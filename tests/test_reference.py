"""The reference says what the code prints, reads and logs: no more and no less."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mlflow
import pandas as pd
import pyarrow.parquet
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from docs import reference
from docs.reference import described
from steps import evaluate, monitor, promote, rollback, score, sweep, train
from tabular.drift.estimate import ESTIMATED
from tabular.families.classifiers import CLASSIFIERS, hyperparameters
from tabular.search.cross_validation import Trial
from tabular.stats.by_group import DIFFERENCES
from tabular.stats.metrics import METRICS
from tabular.store.copies import FROM, ORIGIN
from tabular.store.trials import log_trial
from tests.conftest import ROOT, use_store
from tests.tables import mixed_table

PLACES = {
    "<metric>": "|".join(METRICS),
    "<objective>": "|".join(METRICS),
    "<estimated>": "|".join(ESTIMATED),
    "<gap>": "|".join(DIFFERENCES),
    "<class>": r"[\w.\- ]+",
    "<hyperparameter>": "|".join({name for one in CLASSIFIERS for name in hyperparameters(one)}),
    "<n>": r"\d+",
    "<time>": r"[0-9T:.Z-]+",
}
"""What may stand where a name has angle brackets, as a regular expression."""
VERSION = "### What a version's run carries"
SIDE_FILE = "Rows that could not be scored go to a side file, `<output>.rejected.<ending>`:"

pytestmark = pytest.mark.xdist_group("life")  # one life, in one process


@dataclass(frozen=True)
class Kind:
    """A kind of run.

    Args:
        title: its section in the reference.
        begins: regular expression of the run's name.
        command: entry point whose parameters it has.
        carries: it carries a version.
    """

    title: str
    begins: str
    command: str = ""
    carries: bool = False


KINDS = (
    Kind("`train`", "train ", "train", carries=True),
    Kind("`sweep`", "sweep ", "sweep"),
    Kind("A trial", r"t\d{3,} "),
    Kind("A child `best: …`", "best: ", carries=True),
    Kind("`promote`", "promote ", "promote"),
    Kind("`rollback`", "rollback ", "rollback"),
    Kind("`score`", "score ", "score"),
    Kind("`evaluate`", "evaluate ", "evaluate"),
    Kind("`monitor`", "monitor ", "monitor"),
)


def test_the_page_has_what_the_code_knows_now() -> None:
    text = reference.FILE.read_text(encoding="utf-8")
    assert reference.page(text) == text, "run: python -m docs.reference"


def test_a_table_that_is_gone_from_the_page_is_missed() -> None:
    text = reference.FILE.read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="no table 'metric' after '## Metrics'"):
        reference.page(text.replace("| metric | is | from |", "| name | is | from |"))


def test_every_variable_that_is_read_is_described() -> None:
    files = [
        f for room in ("custom_model", "tabular", "steps") for f in (ROOT / room).rglob("*.py")
    ]
    pattern = r"environ(?:\.get|\.setdefault)?[(\[]\s*\"([A-Z_]+)\""

    def named(files: list[Path], pattern: str) -> set[str]:
        return {name for file in files for name in re.findall(pattern, file.read_text("utf-8"))}

    def table(head: str) -> set[str]:
        return set(described("## Environment variables", head))

    libraries = {"MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "PYSPARK_SUBMIT_ARGS"}
    assert named(files, pattern) | libraries == table("of the commands")
    inside = named([*ROOT.glob("docker/*.py"), ROOT / "custom_model" / "artifact.py"], pattern) - {
        "UVICORN_HEADERS"
    }  # set for uvicorn
    inside |= named([*ROOT.glob("docker/*.sh")], r"\$\{([A-Z_]+):-")
    assert inside == table("inside")
    composed = named([*ROOT.glob("docker-compose*.yml")], r"\$\{([A-Z0-9_]+):")
    assert composed | {"COMPOSE_FILE"} == table("in `.env`") == set(reference.settings())


# --- a life in a store ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Iterator[Path]:
    """A small life: two trainings, two sweeps, two promotions and one refused, and what follows."""
    folder = tmp_path_factory.mktemp("life")
    before = mlflow.get_tracking_uri()
    use_store(folder, migrated)
    table = mixed_table()
    table.to_csv(folder / "mixed.csv", index=False)
    faulty = table.astype({"amount": object})
    faulty.loc[0, "amount"] = "much"
    faulty.to_csv(folder / "later.csv", index=False)
    data = ["--data", str(folder / "mixed.csv"), "--target", "label"]
    train.main([*data, "--C", "0.5"])
    promote.main(["--model_name", "mixed"])
    train.main([*data, "--classifier", "naive_bayes"])
    promote.main(["--model_name", "mixed"])  # refused
    searched = [*data, "--jobs", "1", "--classifiers"]
    sweep.main([*searched, "logistic_regression,naive_bayes", "--trials", "14"])  # one as it is
    calibrated = ["logistic_regression,extra_trees", "--trials", "4", "--register", "2"]
    calibrated += ["--at_least", "recall:0.3", "--cost", '{"no": {"yes": 1}, "yes": {"no": 5}}']
    sweep.main([*searched, *calibrated])
    log_failures()
    promote.main(
        ["--model_name", "mixed", "--force", "true", "--resamples", "100", "--by", "amount"]
    )
    rollback.main(["--model_name", "mixed"])
    of_version = ["--model", "models:/mixed/Production", "--data"]
    asked = ["--coverage", "0.9", "--reasons", "2", "--output", str(folder / "scored.csv")]
    score.main([*of_version, str(folder / "later.csv"), *asked])
    score.main([*of_version, data[1], "--output", str(folder / "scored.parquet")])
    against = ["--against", "models:/mixed/4", "--resamples", "100"]
    evaluate.main([*of_version, data[1], *against, "--by", "amount"])
    monitor.main([*of_version, data[1]])
    table["time"] = table["seen"].fillna(table["joined"])
    table.drop(columns="label").to_csv(folder / "asked.csv", index=False)
    table[["customer", "label"]].to_csv(folder / "late.csv", index=False)
    late = ["--labels", str(folder / "late.csv"), "--key", "customer"]
    monitor.main([*of_version, str(folder / "asked.csv")])
    for step in (evaluate, monitor):
        step.main([*of_version, str(folder / "asked.csv"), *late])
    yield folder
    mlflow.set_tracking_uri(before)


def log_failures() -> None:
    """Trials that were given up or failed, which no sweep of a healthy table is sure to have."""
    parent = next(run for run in runs() if run.info.run_name.startswith("sweep "))
    given_up = Trial(97, "svc", {"C": 1.0}, fold_scores=(0.1, 0.2), stopped=True, rows=90)
    log_trial(parent, given_up, "f1_macro")
    log_trial(parent, Trial(98, "svc", {"C": 2.0}, error="no convergence"), "f1_macro")


def runs() -> list[Run]:
    client = MlflowClient()
    return list(client.search_runs([one.experiment_id for one in client.search_experiments()]))


def files(run_id: str) -> set[str]:
    return {file.path for file in MlflowClient().list_artifacts(run_id)}


def texts(name: str) -> list[str]:
    """A file of every run that has one."""
    having = [run.info.run_id for run in runs() if name in files(run.info.run_id)]
    return [mlflow.artifacts.load_text(f"runs:/{run_id}/{name}") for run_id in having]


def same(found: set[str], names: set[str]) -> None:
    """Each name found is described, and each description found."""
    patterns = {name: re.compile(pattern_of(name)) for name in names}
    unknown = {name for name in found if not any(p.fullmatch(name) for p in patterns.values())}
    unseen = {name for name, p in patterns.items() if not any(map(p.fullmatch, found))}
    assert not unknown, f"not described: {sorted(unknown)}"
    assert not unseen, f"described, and never there: {sorted(unseen)}"


def pattern_of(name: str) -> str:
    parts = re.split(r"(<\w+>)", name)
    return "".join(f"(?:{PLACES.get(part) or re.escape(part)})" for part in parts)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.title.strip("`"))
def test_a_run_carries_what_is_described(folder: Path, kind: Kind) -> None:
    ours = [run for run in runs() if re.match(kind.begins, run.info.run_name)]
    assert ours

    def names(head: str, *titles: str) -> set[str]:
        return {name for title in titles for name in described(title, head)}

    title = f"### {kind.title}"
    titles = (title, VERSION) if kind.carries else (title,)
    params, metrics, tags, artifacts = set(), set(), set(), set()
    for run in ours:
        has = files(run.info.run_id)
        if kind.title == "A trial" and "holdout.parquet" in has:  # registered as it is
            same(set(run.data.metrics), names("metric", title, VERSION))
            same(has, names("artifact", VERSION))
            continue
        params |= set(run.data.params)
        metrics |= set(run.data.metrics)
        tags |= {name for name in run.data.tags if not name.startswith("mlflow.")}
        artifacts |= has
    given = set(reference.parameters(kind.command)) if kind.command else set()
    if kind.command == "promote":
        given = {"model_name", "metric", "mode"}
    same(params, given | names("parameter", title))
    same(metrics, names("metric", *titles))
    same(tags, names("tag", title))
    same(artifacts, names("artifact", *titles))


def test_every_kind_of_run_on_the_page_is_looked_at_here() -> None:
    text = reference.FILE.read_text(encoding="utf-8")
    section = text.partition("## Runs\n")[2].partition("### promotion.json")[0]
    assert re.findall(r"^### .*", section, re.M) == [
        VERSION,
        *(f"### {kind.title}" for kind in KINDS),
    ]


@pytest.mark.slow
def test_no_run_is_of_a_kind_that_is_not_described(folder: Path) -> None:
    names = [run.info.run_name for run in runs()]
    assert all(any(re.match(kind.begins, name) for kind in KINDS) for name in names)


@pytest.mark.slow
def test_the_registry_has_what_is_described(folder: Path) -> None:
    client = MlflowClient()
    versions = client.search_model_versions("name='mixed'")
    same(
        {tag for version in versions for tag in version.tags},
        set(described("## Registry", "tag of a version")) - {ORIGIN, FROM},  # see test_publish.py
    )
    model = client.get_registered_model("mixed")
    moves = set(described("## Registry", "tag of the model"))
    same(set(model.tags), moves - {"move.<time>.repair"})  # see test_interruptions.py
    for text in model.tags.values():
        assert list(json.loads(text)) == list(described("Members of a move:", "member"))
    client.set_registered_model_alias("mixed", "champion", "3")  # a move by hand is written down
    promote.main(["--model_name", "mixed"])
    model = client.get_registered_model("mixed")
    same(set(model.tags), moves)
    assert set(model.aliases) == set(described("## Registry", "alias"))


@pytest.mark.slow
def test_a_model_holds_what_is_described(folder: Path, tmp_path: Path) -> None:
    place = Path(mlflow.artifacts.download_artifacts("models:/mixed/1", dst_path=str(tmp_path)))
    found = {str(file.relative_to(place)) for file in place.rglob("*") if file.is_file()}
    found -= {"registered_model_meta"}  # of the download
    found = {name for name in found if not name.startswith("__pycache__/")}  # of MLflow's loading
    served = {name for name in found if name.startswith("artifacts/served/")}
    copied = (ROOT / "custom_model" / "served").glob("*.py")
    assert served == {f"artifacts/served/{file.name}" for file in copied}
    same(found - served | {"artifacts/served/*.py"}, set(described("## Model", "file")))
    model = mlflow.models.Model.load(str(place))
    assert set(model.metadata) == set(described("## Model", "metadata"))
    bundle = json.loads((place / "artifacts" / "bundle.json").read_text("utf-8"))
    members = described("### bundle.json", "member")
    assert list(bundle) == list(members)
    assert set(bundle["columns"][0]) == set(described("A feature in `columns`:", "member"))
    for name in ("about", "compiled"):
        assert all(f"`{member}`" in members[name] for member in bundle[name])
    unasked = {name for name in described("### Answers", "column") if name.startswith("p")}
    same(set(model.signature.outputs.input_names()), unasked)
    params = {param.name for param in model.signature.params}
    assert params == set(described("### Answers", "`params`"))


@pytest.mark.slow
def test_files_of_results_have_the_members_and_columns_described(folder: Path) -> None:
    given = pd.read_csv(folder / "mixed.csv").columns
    answers = set(described("### Answers", "column"))
    same(set(pd.read_csv(folder / "scored.csv").columns.difference(given)), answers)
    rejected = list(pd.read_csv(folder / "scored.rejected.csv").columns)
    assert rejected == [*described(SIDE_FILE, "column"), *given]
    metadata = pyarrow.parquet.read_schema(folder / "scored.parquet").metadata
    assert {b"model_uri", b"run_id"} <= set(metadata)
    decisions = [json.loads(text) for text in texts("promotion.json")]
    assert set().union(*decisions) == set(described("### promotion.json", "member"))
    checks = list(described("### drift.csv and drift.json", "column"))
    assert texts("drift.csv")[0].splitlines()[0].split(",") == checks
    said = described("### `sweep`", "artifact")["leaderboard.csv"]
    for column in texts("leaderboard.csv")[0].splitlines()[0].split(","):
        assert re.sub(r"^cv_.*", "cv_<metric>", column) in said
