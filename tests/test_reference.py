"""The reference says what the code prints, reads and logs: no more and no less."""

import importlib.util
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import mlflow
import pandas as pd
import pyarrow.parquet
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from steps import evaluate, monitor, promote, rollback, score, sweep, train
from tabular.search.cross_validation import Trial
from tabular.stats.metrics import MEANING, METRICS
from tabular.store.runs import log_trial
from tests.conftest import ROOT, use_store
from tests.tables import mixed_table


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "docs" / "reference.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["reference"] = module
    spec.loader.exec_module(module)
    return module


reference = load()


def test_the_page_is_what_the_code_prints_now() -> None:
    page = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    assert page == reference.page(), "run: python docs/reference.py > docs/reference.md"


def test_every_metric_has_its_meaning() -> None:
    assert list(MEANING) == list(METRICS)


def test_every_variable_that_is_read_is_described() -> None:
    files = [
        f for room in ("custom_model", "tabular", "steps") for f in (ROOT / room).rglob("*.py")
    ]
    pattern = r"environ(?:\.get|\.setdefault)?[(\[]\s*\"([A-Z_]+)\""

    def named(files: list[Path], pattern: str) -> set[str]:
        return {name for file in files for name in re.findall(pattern, file.read_text("utf-8"))}

    assert named(files, pattern) == set(reference.COMMANDS)
    inside = named([*ROOT.glob("docker/*.py")], pattern) - {"UVICORN_HEADERS"}  # set for uvicorn
    inside |= named([*ROOT.glob("docker/*.sh")], r"\$\{([A-Z_]+):-")
    assert inside == set(reference.CONTAINER)
    composed = named([*ROOT.glob("docker-compose*.yml")], r"\$\{([A-Z0-9_]+):")
    assert composed | {"COMPOSE_FILE"} == set(reference.STACK) == set(reference.stack_defaults())


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
    sweep.main([*searched, *calibrated])
    log_failures()
    promote.main(["--model_name", "mixed", "--force", "true", "--resamples", "100"])
    rollback.main(["--model_name", "mixed"])
    of_version = ["--model", "models:/mixed/Production", "--data"]
    score.main([*of_version, str(folder / "later.csv"), "--output", str(folder / "scored.csv")])
    score.main([*of_version, data[1], "--output", str(folder / "scored.parquet")])
    against = ["--against", "models:/mixed/2", "--resamples", "100"]
    evaluate.main([*of_version, data[1], *against])
    monitor.main([*of_version, data[1]])
    yield folder
    mlflow.set_tracking_uri(before)


def log_failures() -> None:
    """Trials that were given up or failed, which no sweep of a healthy table is sure to have."""
    parent = next(run for run in runs() if run.info.run_name.startswith("sweep "))
    given_up = Trial(97, "svc", {"C": 1.0}, fold_scores=(0.1, 0.2), stopped=True)
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


def same(found: set[str], described: set[str]) -> None:
    """Each name found is described, and each description found."""
    patterns = {name: re.compile(pattern_of(name)) for name in described}
    unknown = {name for name in found if not any(p.fullmatch(name) for p in patterns.values())}
    unseen = {name for name, p in patterns.items() if not any(map(p.fullmatch, found))}
    assert not unknown, f"not described: {sorted(unknown)}"
    assert not unseen, f"described, and never there: {sorted(unseen)}"


def pattern_of(name: str) -> str:
    parts = re.split(r"(<\w+>)", name)
    return "".join(f"(?:{reference.PLACES.get(part) or re.escape(part)})" for part in parts)


@pytest.mark.slow
@pytest.mark.parametrize("kind", reference.KINDS, ids=lambda kind: kind.title.strip("`"))
def test_a_run_carries_what_is_described(folder: Path, kind: SimpleNamespace) -> None:
    ours = [run for run in runs() if re.match(kind.begins, run.info.run_name)]
    assert ours
    carried = reference.VERSION if kind.carries else SimpleNamespace(metrics={}, artifacts={})
    params, metrics, tags, artifacts = set(), set(), set(), set()
    for run in ours:
        has = files(run.info.run_id)
        if kind.title == "A trial" and "holdout.parquet" in has:  # registered as it is
            same(set(run.data.metrics), {*kind.metrics, *reference.VERSION.metrics})
            same(has, set(reference.VERSION.artifacts))
            continue
        params |= set(run.data.params)
        metrics |= set(run.data.metrics)
        tags |= {name for name in run.data.tags if not name.startswith("mlflow.")}
        artifacts |= has
    given = set(reference.parameters(kind.command)) if kind.command else set()
    if kind.command == "promote":
        given = {"model_name", "metric", "mode"}
    same(params, given | set(kind.params))
    same(metrics, {*kind.metrics, *carried.metrics})
    same(tags, set(kind.tags))
    same(artifacts, {*kind.artifacts, *carried.artifacts})


@pytest.mark.slow
def test_no_run_is_of_a_kind_that_is_not_described(folder: Path) -> None:
    names = [run.info.run_name for run in runs()]
    assert all(any(re.match(kind.begins, name) for kind in reference.KINDS) for name in names)


@pytest.mark.slow
def test_the_registry_has_what_is_described(folder: Path) -> None:
    client = MlflowClient()
    versions = client.search_model_versions("name='mixed'")
    same({tag for version in versions for tag in version.tags}, set(reference.VERSION_TAGS))
    model = client.get_registered_model("mixed")
    moves = set(reference.MODEL_TAGS) - {"move.<time>.repair"}  # see test_interruptions.py
    same(set(model.tags), moves)
    for text in model.tags.values():
        assert list(json.loads(text)) == list(reference.members(reference.Move))
    client.set_registered_model_alias("mixed", "champion", "3")  # a move by hand is written down
    promote.main(["--model_name", "mixed"])
    model = client.get_registered_model("mixed")
    same(set(model.tags), set(reference.MODEL_TAGS))
    assert set(model.aliases) == set(reference.ALIASES)


@pytest.mark.slow
def test_a_model_holds_what_is_described(folder: Path, tmp_path: Path) -> None:
    place = Path(mlflow.artifacts.download_artifacts("models:/mixed/1", dst_path=str(tmp_path)))
    found = {str(file.relative_to(place)) for file in place.rglob("*") if file.is_file()}
    found -= {"registered_model_meta"}  # of the download
    found = {name for name in found if not name.startswith("__pycache__/")}  # of MLflow's loading
    served = {name for name in found if name.startswith("artifacts/served/")}
    copied = (ROOT / "custom_model" / "served").glob("*.py")
    assert served == {f"artifacts/served/{file.name}" for file in copied}
    same(found - served | {"artifacts/served/*.py"}, set(reference.MODEL_FILES))
    model = mlflow.models.Model.load(str(place))
    assert set(model.metadata) == set(reference.METADATA)
    bundle = json.loads((place / "artifacts" / "bundle.json").read_text("utf-8"))
    assert list(bundle) == list(reference.BUNDLE)
    assert set(bundle["columns"][0]) == set(reference.members(reference.Column))
    for name in ("about", "compiled"):
        said = reference.BUNDLE[name]
        assert all(f"`{member}`" in said for member in bundle[name])
    same(set(model.signature.outputs.input_names()), set(reference.ANSWER))
    assert [param.name for param in model.signature.params] == list(reference.REQUEST_PARAMS)


@pytest.mark.slow
def test_files_of_results_have_the_members_and_columns_described(folder: Path) -> None:
    given = pd.read_csv(folder / "mixed.csv").columns
    same(set(pd.read_csv(folder / "scored.csv").columns.difference(given)), set(reference.ANSWER))
    rejected = list(pd.read_csv(folder / "scored.rejected.csv").columns)
    assert rejected == [*reference.REJECTED, *given]
    metadata = pyarrow.parquet.read_schema(folder / "scored.parquet").metadata
    assert {b"model_uri", b"run_id"} <= set(metadata)
    decisions = [json.loads(text) for text in texts("promotion.json")]
    assert set().union(*decisions) == set(reference.PROMOTION)
    assert tuple(texts("drift.csv")[0].splitlines()[0].split(",")) == reference.CHECK_COLUMNS
    assert set(reference.CHECK_COLUMNS) <= set(reference.members(reference.Check))
    sweeps = next(kind for kind in reference.KINDS if kind.command == "sweep")
    said = sweeps.artifacts["leaderboard.csv"]
    for column in texts("leaderboard.csv")[0].splitlines()[0].split(","):
        assert re.sub(r"^cv_.*", "cv_<metric>", column) in said
